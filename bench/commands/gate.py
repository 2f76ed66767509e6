"""The command that refuses what got slower, larger or later."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from ..compare.gate import MEASURES, MISSES, SAME, SIZES, UNSURE, WORSE, Change, Gated
from ..compare.gate import gate as judge
from ..errors import BenchError
from ..output.console import out, say
from ..output.numbers import count, digits
from ..output.tables import Table
from ..results.frames import Results
from ..results.store import load
from ..terms import INSTRUCTIONS


def gate(options: argparse.Namespace) -> None:
    """Compare results before and after a change; `BenchError` where something got worse."""
    old, new = _load(options.old, options.new, options.different)
    gated = judge(old, new, options.different)
    told = [change for change in gated.changes if change.verdict != SAME]
    if told:
        headings = ["case", "measure", "old", "new", "change", "allowed", "verdict"]
        out.print(Table("", headings, list(map(_cells, told)), texts=("case", "measure", "verdict")))
    _remark(gated, options)
    text = _summary(gated)
    if gated.only_old or any(change.verdict in WORSE for change in told):
        raise BenchError(text)
    out.print(text, soft_wrap=True)


def _load(old: Path, new: Path, different: bool) -> tuple[Results, Results]:
    """Both; `ResultsError` names what differs between boards of one name."""
    load(old, new, different=different)
    return load(old), load(new)


def _cells(change: Change) -> list[str]:
    unit, scale = _unit(change)
    values = [digits(value / scale, 4) for value in (change.old, change.new)]
    what, points = f"{MEASURES[change.measure]} ({unit})", " points" if change.measure == MISSES else ""
    return [change.case, what, *values, f"{change.ratio - 1:+.2%}{points}", _allowed(change), change.verdict]


def _unit(change: Change) -> tuple[str, float]:
    """And how much of what is kept it is."""
    if change.measure == MISSES:
        return "% of steps", 0.01
    if change.measure in SIZES:
        return "MiB", 1024**2 if change.measure == "file_bytes" else 1024
    return "M instructions" if change.clock == INSTRUCTIONS else "ms", 1e6


def _allowed(change: Change) -> str:
    return f"{change.allowed:.2%}" if math.isfinite(change.allowed) else "unknown"


def _remark(gated: Gated, options: argparse.Namespace) -> None:
    for case in gated.only_old:
        say(f"{case}: in {options.old}, but missing in {options.new}")
    for case in gated.only_new:
        say(f"{case}: in {options.new}, not in {options.old}, so not compared")


def _summary(gated: Gated) -> str:
    """`2 slower, 1 larger, 3 too noisy to tell, 21 the same, of 27 figures of 4 cases; widest allowance ...`."""
    verdicts = [change.verdict for change in gated.changes]
    changed = [verdict for verdict in dict.fromkeys(verdicts) if verdict not in (SAME, UNSURE)]
    gone = [f"{count(len(gated.only_old), 'case')} missing"] if gated.only_old else []
    parts = [f"{verdicts.count(verdict)} {verdict}" for verdict in changed + [UNSURE] * (UNSURE in verdicts)]
    cases = count(len({change.case for change in gated.changes}), "case")
    said = ", ".join([*gone, *parts, f"{verdicts.count(SAME)} the same"])
    widest = max(gated.changes, key=lambda change: change.allowed)
    where = f"{MEASURES[widest.measure]} of {widest.case}"
    figures = count(len(verdicts), "figure")
    return f"{said}, of {figures} of {cases}; widest allowance {_allowed(widest)}, {where}"
