"""Why steps were slow, over all runs of a case and over all cases of a board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .causes import NOTHING, blame
from .columns import PACED
from .figures import duration
from .page import Table

if TYPE_CHECKING:
    from .frames import Results

SAID = 4  # causes in a sentence


@dataclass(frozen=True)
class Slow:
    """The slow steps of a case, or of several: how many of `steps` were `slow`, and how many of these `missed`.

    `causes`: cause -> (slow steps that it coincided with, what these took beyond the median, ns), the dearest first.
    """

    name: str
    steps: int
    slow: int
    missed: int
    causes: dict[str, tuple[int, float]]
    unknown: frozenset[str]


def slow_of(results: Results, row: Mapping[str, Any]) -> Slow:
    """Of the runs that are pooled in a row, whose `name` it takes."""
    paced = row["budget"] if row["mode"] == PACED else None
    found = []
    for case in results.repeats(row["case"]):
        frame = blame(results.samples(case), row["budget"], paced)
        causes = {line["cause"]: (line["steps"], line["excess_ns"]) for line in frame.to_dict("records")}
        about = frame.attrs
        counts = (about["steps"], about["slow"], about["missed"])
        found.append(Slow(row["name"], *counts, causes, frozenset(about["unknown"])))
    return together(row["name"], found)


def together(name: str, parts: Iterable[Slow]) -> Slow:
    """Several as one."""
    parts, causes = list(parts), {}
    for part in parts:
        for cause, (steps, excess_ns) in part.causes.items():
            known = causes.get(cause, (0, 0.0))
            causes[cause] = (known[0] + steps, known[1] + excess_ns)
    ranked = dict(sorted(causes.items(), key=lambda item: -item[1][1]))
    steps, slow, missed = (sum(getattr(part, count) for part in parts) for count in ("steps", "slow", "missed"))
    return Slow(name, steps, slow, missed, ranked, frozenset().union(*(part.unknown for part in parts)))


def sentence(slow: Slow) -> str:
    """What slow steps coincided with, the dearest first."""
    head = f"slow steps: {slow.slow} of {slow.steps} (above p99 of their case, or too late: {slow.missed})"
    known = [cause for cause in slow.causes if cause != NOTHING]
    parts = [f"{cause} {_of(slow, cause)}" for cause in known[:SAID]]
    rest = f"; {NOTHING}: {_of(slow, NOTHING)}" if NOTHING in slow.causes else ""
    return f"{head}; coincided with {', '.join(parts)}{rest}" if parts else head + rest


def _of(slow: Slow, cause: str) -> str:
    steps, excess_ns = slow.causes[cause]
    return f"{steps} ({steps / slow.slow:.0%}, {duration(excess_ns)})"


def table(parts: list[Slow], total: Slow) -> Table:
    """A row for each case, and one for all if there are several."""
    lines = [*parts, total] if len(parts) > 1 else parts
    causes = list(total.causes)
    rows = [
        [part.name, *map(str, (part.steps, part.slow, part.missed)), *(_cell(part, cause) for cause in causes)]
        for part in lines
    ]
    return Table(["case", "steps", "slow", "too late", *causes], rows)


def _cell(slow: Slow, cause: str) -> str:
    steps, excess_ns = slow.causes.get(cause, (0, 0.0))
    return f"{steps} ({duration(excess_ns)})" if steps else "-"
