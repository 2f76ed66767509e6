"""Several folders of results as one, unless a board of one is another one elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ResultsError
from ..terms import ONNXRUNTIME
from .measured import refusing
from .pooling import Run

# What tells a board and its software from another of the same name.
FACTS = ("hostname", "model", "cpu", "kernel")
VERSIONS = ("python", ONNXRUNTIME)
Fingerprint = tuple[tuple[str, str], ...]


def joined(read: dict[Path, list[Run]], different: bool) -> list[Run]:
    """The runs of all folders, older before newer.

    A copy of a run counts once. Another run of the same identity is renamed (`ID-2`, `ID-3`...): a repeat.

    Args:
        read: folder -> its runs.
        different: join even what is of one board's name but not of one board; their runs are never pooled.

    Raises:
        ResultsError: names what differs, unless `different`.
    """
    if not different:
        _check_same_boards(read)
    runs = sorted((run for runs in read.values() for run in runs), key=_measured_at)
    found: dict[str, Run] = {}
    for run in runs:
        name = _free_name(run.entry, found)
        apart = str(_fingerprint(run.entry)) if different else ""
        found.setdefault(name, Run({**run.entry, "id": name}, run.samples, apart))
    return list(found.values())


def _measured_at(run: Run) -> float:
    with refusing(run.entry):
        return float(run.entry.get("measured_at", 0))


def _free_name(entry: dict[str, Any], found: dict[str, Run]) -> str:
    """The identity of a copy that is there, or one that no other run has."""
    name, again = entry["id"], 1
    while name in found and {**found[name].entry, "id": entry["id"]} != entry:
        again += 1
        name = f"{entry['id']}-{again}"
    return name


def _fingerprint(entry: dict[str, Any]) -> Fingerprint:
    with refusing(entry):
        facts = [(name, str(entry["facts"].get(name, ""))) for name in FACTS]
        return (*facts, *((name, str(entry["record"].get(name, ""))) for name in VERSIONS))


def _check_same_boards(read: dict[Path, list[Run]]) -> None:
    """One folder may hold a board before and after an update; what another holds of it must be among that."""
    known: dict[str, tuple[Path, set[Fingerprint]]] = {}
    for folder, runs in read.items():
        for name, prints in _by_board(runs).items():
            before, others = known.setdefault(name, (folder, prints))
            if not (prints <= others or others <= prints):
                raise ResultsError(_difference(name, (before, others), (folder, prints)))
            known[name] = (before if others >= prints else folder, prints | others)


def _by_board(runs: list[Run]) -> dict[str, set[Fingerprint]]:
    """Board and engine -> what it was."""
    found: dict[str, set[Fingerprint]] = {}
    for run in runs:
        with refusing(run.entry):
            name = f"{run.entry['board']} ({run.entry.get('engine', ONNXRUNTIME)})"
            found.setdefault(name, set()).add(_fingerprint(run.entry))
    return found


def _difference(name: str, *two: tuple[Path, set[Fingerprint]]) -> str:
    (here, ours), (there, theirs) = two
    one, other = max(ours - theirs), max(theirs - ours)
    what, was, now = next((key, a, b) for (key, a), (_, b) in zip(one, other, strict=True) if a != b)
    return (
        f"{name} has {what} {was or 'unknown'} in {here}, {now or 'unknown'} in {there}: different boards are combined "
        "only on request (--different, or load(..., different=True))"
    )
