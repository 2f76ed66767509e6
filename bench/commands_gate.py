"""The command that refuses what got slower or larger."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import Commands, add_command
from .console import count, out, plain_table, say
from .errors import BenchError, ResultsError

if TYPE_CHECKING:
    from .frames import Results
    from .gate import Change, Gated

WHY = """
exit status 1 when a case got slower or larger by more than the larger of
  the floor   0.5 % on a virtual board, which counts instructions and repeats to 0.02 %;
              5 % elsewhere, as the same program's times differ by so much from day to day
  its noise   three times the range of its repeats' medians, or, of one run, half the interval of its median;
              one run can't show how much runs differ, so repeat them (tonearm sweep --repeats 3)
what counts   p50 of the steps, peak memory, the model's memory, the size of graph and weights; on a virtual board
              also the first step and making the session, whose times vary too much elsewhere
"""


def add_gate(commands: Commands) -> None:
    """`tonearm gate`."""
    command = add_command(
        commands,
        "gate",
        "compare new results with old ones: exit status 1 when a case got slower or larger",
        "gate results-before results",
    )
    command.epilog = f"{WHY.strip()}\n\n{command.epilog}"
    command.add_argument("old", type=Path, metavar="OLD", help="a folder made by tonearm sweep")
    command.add_argument("new", type=Path, metavar="NEW", help="another, of the same cases")
    command.add_argument(
        "--different",
        action="store_true",
        help="compare across kernels, Pythons or ONNX Runtimes of a board, to judge an upgrade",
    )
    command.set_defaults(run=_gate)


def _gate(options: argparse.Namespace) -> None:
    from .gate import LARGER, SAME, SLOWER, gate

    old, new = _load(options.old, options.new, options.different)
    gated = gate(old, new, options.different)
    changed = [change for change in gated.changes if change.verdict != SAME]
    if changed:
        headings = ["case", "measure", "old", "new", "change", "allowed", ""]
        out.print(plain_table(headings, map(_cells, changed), ("case", "measure", "")))
    _remark(gated, options)
    worse = [change for change in changed if change.verdict in (SLOWER, LARGER)]
    text = _summary(gated, changed)
    if worse:
        raise BenchError(text)
    out.print(text, soft_wrap=True)


def _load(old: Path, new: Path, different: bool) -> tuple[Results, Results]:
    """Both; `ResultsError` names what differs between boards of one name."""
    from .results import load

    found = load(old), load(new)
    try:
        load(old, new, different=different)
    except ResultsError as error:
        raise ResultsError(f"{error}; --different compares them all the same") from error
    return found


def _cells(change: Change) -> list[str]:
    from .columns import INSTRUCTIONS
    from .gate import MEASURES, SIZES

    time = "M instructions" if change.clock == INSTRUCTIONS else "ms"
    unit, scale = (
        ("MB", 1024**2 if change.measure == "file_bytes" else 1024) if change.measure in SIZES else (time, 1e6)
    )
    values = [f"{value / scale:.4g}" for value in (change.old, change.new)]
    name = f"{MEASURES[change.measure]} ({unit})"
    return [change.case, name, *values, f"{change.ratio - 1:+.2%}", f"{change.allowed:.2%}", change.verdict]


def _remark(gated: Gated, options: argparse.Namespace) -> None:
    for cases, here, there in ((gated.only_old, options.old, options.new), (gated.only_new, options.new, options.old)):
        for case in cases:
            say(f"{case}: in {here}, not in {there}, so not compared")


def _summary(gated: Gated, changed: list[Change]) -> str:
    """`2 slower, 1 larger, 21 the same, of 4 cases`."""
    verdicts = [change.verdict for change in changed]
    parts = [f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)]
    same = f"{len(gated.changes) - len(changed)} the same"
    cases = count(len({change.case for change in gated.changes}), "case")
    return f"{', '.join([*parts, same])}, of {count(len(gated.changes), 'figure')} of {cases}"
