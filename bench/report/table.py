"""The main table of a board: which columns tell something, and their cells as text."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

from ..output.numbers import digits, percent
from ..results.column_spec import NONE
from ..results.columns import COLUMN
from ..stats.step_times import PERCENTILES, percentile_name, steps_needed
from ..terms import INSTRUCTIONS, PACED, TIME
from .board import Row, differs

# Columns in their order; of these, what tells something (`_tells`) is shown.
MAYBE = ("weights", "precision", "engine", "block", "threads", "mode", "n", "repeats", "budget")
MAYBE += ("p50", "p99", "p99.9", "max", "mips", "rtf", "misses", "xruns_3", "late_p99")
SIZES = ("peak_kb", "model_kb", "first")
CLOCKS = {"mips": INSTRUCTIONS, "rtf": TIME, "misses": TIME}  # of which clock alone
HEADINGS = {"threads": "thr.", "rtf": "RTF", "xruns_3": "xruns 3/4"}  # where this table is narrower than others
TEXTS = ("model", "weights", "engine", "precision", "mode")
NEEDS = {percentile_name(p): steps_needed(p) for p in PERCENTILES} | {"rtf": steps_needed(50), "mips": steps_needed(50)}
NEEDS["late_p99"] = NEEDS["p99"]
FOLDED = 20  # columns of a terminal that a text can do with, in several lines
# What a terminal can do without, the first first.
SPARE = ("first", "late_p99", "model_kb", "budget", "peak_kb", "n", "repeats", "xruns_3", "max", "p99.9", "p99", "rtf")


def columns(cases: Sequence[Row], clock: str) -> dict[str, str]:
    """What the table shows of a board's cases: heading with unit -> column; nothing that says nothing."""
    shown = ("model", *filter(functools.partial(_tells, cases, clock), MAYBE), *SIZES)
    return {HEADINGS.get(name) or COLUMN[name].titled(clock == INSTRUCTIONS): name for name in shown}


def _tells(cases: Sequence[Row], clock: str, column: str) -> bool:
    """Whether the column has something to say of these cases."""
    if column in ("mode", "xruns_3", "late_p99"):
        return any(row["mode"] == PACED for row in cases)
    if column in ("weights", "precision", "engine", "n"):
        return differs(cases, column)
    if column in ("threads", "repeats"):
        return any(row[column] > 1 for row in cases)
    if column in ("p99", "p99.9"):
        return clock == TIME or not all(math.isnan(row[column]) for row in cases)
    return clock == CLOCKS.get(column, clock)


def narrow(shown: Mapping[str, str], table: Sequence[Sequence[str]], width: int) -> dict[str, str]:
    """The columns that a terminal of `width` characters has room for, given the cells of all."""
    widths = {column[0]: 2 + max(map(len, column)) for column in zip(shown, *table, strict=True)}
    widths |= {heading: min(widths[heading], FOLDED) for heading in shown if heading in TEXTS}
    kept = dict(shown)
    for column in SPARE:
        if sum(widths[heading] for heading in kept) > width - 2:  # the edges of the table
            kept = {heading: name for heading, name in kept.items() if name != column}
    return kept


def cell(column: str, row: Row) -> str:
    """One value as text; a percentile that the sample can't support says so, what does not apply is a dash."""
    value = row[column]
    if column == "xruns_3" and row["mode"] == PACED:
        return f"{row['xruns_3']:.0f}/{row['xruns_4']:.0f}"
    if isinstance(value, float) and math.isnan(value) and column in NEEDS and row["n"] < NEEDS[column]:
        return f"n < {NEEDS[column]}" if row["mode"] == PACED or column != "late_p99" else NONE
    if column == "misses" and not math.isnan(value):
        rate = f"({digits(100 * row['miss_rate'], 2)}%)"
        return f"{value:.0f} {rate}" if value else f"0, < {percent(row['miss_rate_high'])}"
    return COLUMN[column].figure(value)


def rows(cases: Sequence[Row], shown: Mapping[str, str]) -> list[list[str]]:
    """The table's cells as text."""
    return [[cell(column, row) for column in shown.values()] for row in cases]
