"""Why steps were slow, over all runs of a case and over all cases of a board."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..output.numbers import count, duration
from ..output.tables import Table
from ..stats.causes import NOTHING, blame, slow_steps
from ..stats.step_times import steps_needed
from ..terms import PACED

if TYPE_CHECKING:
    from ..results.frames import Results

NEEDED = steps_needed(99)
WORST = 10  # slow steps shown one by one
SAID = 4  # causes in a sentence


@dataclass(frozen=True)
class Slow:
    """The slow steps of a case, or of several: how many of `steps` were `slow`, and how many of these `missed`.

    `unjudged`: cases with too few steps for p99, of which only those too late are slow. `causes`: cause -> (slow steps
    that it coincided with, what these took beyond the median, ns), the dearest first.
    """

    name: str
    steps: int
    slow: int
    missed: int
    unjudged: int
    causes: dict[str, tuple[int, float]]
    unknown: frozenset[str]


def slow_of(results: Results, row: Mapping[str, Any]) -> Slow:
    """Of the runs that are pooled in a row, whose `name` it takes."""
    paced = row["budget"] if row["mode"] == PACED else None
    found = []
    for case in results.repeats(row["case"]):
        frame = blame(results.samples(case), row["budget"], paced, row["p99"])
        causes = {line["cause"]: (line["steps"], line["excess_ns"]) for line in frame.to_dict("records")}
        about = frame.attrs
        counts = (about["steps"], about["slow"], about["missed"], 0)
        found.append(Slow(row["name"], *counts, causes, frozenset(about["unknown"])))
    return replace(together(row["name"], found), unjudged=int(math.isnan(row["p99"])))


def together(name: str, parts: Iterable[Slow]) -> Slow:
    """Several as one."""
    parts, causes = list(parts), {}
    for part in parts:
        for cause, (steps, excess_ns) in part.causes.items():
            known = causes.get(cause, (0, 0.0))
            causes[cause] = (known[0] + steps, known[1] + excess_ns)
    ranked = dict(sorted(causes.items(), key=lambda item: -item[1][1]))
    counts = {name: sum(getattr(part, name) for part in parts) for name in ("steps", "slow", "missed", "unjudged")}
    unknown = frozenset().union(*(part.unknown for part in parts))
    return Slow(name, **counts, causes=ranked, unknown=unknown)


def sentence(slow: Slow) -> str:
    """What slow steps coincided with, the dearest first."""
    head = f"slow steps: {slow.slow} of {slow.steps} (above p99 of their case, or too late: {slow.missed})"
    if slow.unjudged:
        too_few = f"{count(slow.unjudged, 'case')} with n < {NEEDED}, too few for p99"
        head += f"; {too_few}: there, only steps that came too late count as slow"
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
        [part.name, str(part.steps), _slow(part), str(part.missed), *(_cell(part, cause) for cause in causes)]
        for part in lines
    ]
    return Table("", ["case", "steps", "slow", "too late", *causes], rows)


def worst(results: Results, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The longest of all slow steps, late starts included, and what each coincided with; `rows` have a `name`."""
    found = [line for row in rows for run in results.repeats(row["case"]) for line in _worst_of(results, row, run)]
    longest = sorted(found, key=lambda line: -line[0])[:WORST]
    title = f"The {len(longest)} longest slow steps" if len(longest) > 1 else "The slow step"
    headings = ["case", "run", "step", "took ms", "started late ms", "coincided with"]
    return Table(title, headings, [cells for _, cells in longest])


def _worst_of(results: Results, row: Mapping[str, Any], run: str) -> list[tuple[float, list[str]]]:
    """Of a run: how long each of its longest slow steps took, and its cells."""
    paced = row["budget"] if row["mode"] == PACED else None
    steps = slow_steps(results.samples(run), row["budget"], paced, row["p99"]).to_dict("records")
    steps.sort(key=lambda step: -_took(step))
    repeat = str(results.entry(run).get("repeat", 0))
    return [
        (_took(step), [row["name"], repeat, str(step["step"]), *_times(step, paced), str(step["causes"])])
        for step in steps[:WORST]
    ]


def _took(step: Mapping[Any, Any]) -> float:
    return step["step_ns"] + step["late_ns"]


def _times(step: Mapping[Any, Any], paced: float | None) -> list[str]:
    return [f"{step['step_ns'] / 1e6:.3f}", f"{step['late_ns'] / 1e6:.3f}" if paced else "-"]


def _slow(part: Slow) -> str:
    return f"{part.slow} (p99: n < {NEEDED})" if part.unjudged else str(part.slow)


def _cell(slow: Slow, cause: str) -> str:
    steps, excess_ns = slow.causes.get(cause, (0, 0.0))
    return f"{steps} ({duration(excess_ns)})" if steps else "-"
