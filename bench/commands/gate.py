"""The command that refuses what got slower, larger or later."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BenchError
from ..output.console import out, say
from ..output.numbers import count, digits
from ..output.tables import Table
from .arguments import Commands, add_command

if TYPE_CHECKING:
    from ..compare.gate import Change, Gated
    from ..results.frames import Results

WHY = """
exit status 1 when a case of OLD is not in NEW (measure both by the same command), or one got worse by more than
  the floor   0.5 % on a virtual board, which counts instructions and repeats to 0.1 %;
              5 % elsewhere, as times of the same program differ by that much from day to day
  its noise   three times the range of its repeats, or, of one run, half the interval of its median;
              one run can't show how much runs differ, so repeat it (tonearm sweep --repeats 3)
what counts   p50 of the steps, peak memory, the model's memory, the size of graph and weights
  by time     also p99.9 (p99 where that tells more) and the rate of misses, where their 95 % bounds leave a gap
  by count    (virtual board) also the first step and making the session, whose times vary too much elsewhere
too noisy to tell: the change is within the noise, but the noise exceeds 20 %; neither pass nor fail: measure again
runs that the search for the smallest block stopped at a miss are left out
"""


def add_gate(commands: Commands) -> None:
    """`tonearm gate`."""
    command = add_command(
        commands,
        "gate",
        "compare new results with old ones: exit status 1 when a case got slower, larger or later, or is gone",
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
    from ..compare.gate import SAME, WORSE, gate

    old, new = _load(options.old, options.new, options.different)
    gated = gate(old, new, options.different)
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
    from ..results.store import load

    load(old, new, different=different)
    return load(old), load(new)


def _cells(change: Change) -> list[str]:
    from ..compare.gate import MEASURES, MISSES

    unit, scale = _unit(change)
    values = [digits(value / scale, 4) for value in (change.old, change.new)]
    what, points = f"{MEASURES[change.measure]} ({unit})", " points" if change.measure == MISSES else ""
    return [change.case, what, *values, f"{change.ratio - 1:+.2%}{points}", _allowed(change), change.verdict]


def _unit(change: Change) -> tuple[str, float]:
    """And how much of what is kept it is."""
    from ..compare.gate import MISSES, SIZES
    from ..terms import INSTRUCTIONS

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
    from ..compare.gate import MEASURES, SAME, UNSURE

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
