"""The main table of a board: which columns tell something, and their cells as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..output.numbers import digits, percent
from ..results.columns import INSTRUCTIONS, PACED, TIME
from ..stats.step_times import PERCENTILES, percentile_name, steps_needed
from .board import Row, differs

TEXTS = ("model", "weights", "engine", "precision", "mode")
NEEDS = {percentile_name(p): steps_needed(p) for p in PERCENTILES} | {"rtf": steps_needed(50), "mips": steps_needed(50)}
NEEDS["late_p99"] = NEEDS["p99"]
FOLDED = 20  # columns of a terminal that a text can do with, in several lines
# What a terminal can do without, the first first.
SPARE = ("first", "late_p99", "model_kb", "budget", "peak_kb", "n", "repeats", "xruns_3", "max", "p99.9", "p99", "rtf")


def columns(cases: Sequence[Row], clock: str) -> dict[str, str]:
    """What the table shows of a board's cases: heading with unit -> column; nothing that says nothing."""
    unit = "M" if clock == INSTRUCTIONS else "ms"
    paced = any(row["mode"] == PACED for row in cases)
    tails = [name for name in ("p99", "p99.9") if clock == TIME or not all(math.isnan(row[name]) for row in cases)]
    return {
        "model": "model",
        **{column: column for column in ("weights", "precision", "engine") if differs(cases, column)},
        "block": "block",
        **({"thr.": "threads"} if {row["threads"] for row in cases} != {1} else {}),
        **({"mode": "mode"} if paced else {}),
        **({"steps": "n"} if differs(cases, "n") else {}),
        **({"runs": "repeats"} if any(row["repeats"] > 1 for row in cases) else {}),
        "ms": "budget",
        f"p50 {unit}": "p50",
        **{f"{name} {unit}": name for name in tails},
        f"max {unit}": "max",
        **({"MIPS": "mips"} if clock == INSTRUCTIONS else {"RTF": "rtf", "misses": "misses"}),
        **({"xruns 3/4": "xruns_3", "late p99 µs": "late_p99"} if paced else {}),
        "peak MiB": "peak_kb",
        "model MiB": "model_kb",
        f"first {unit}": "first",
    }


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
    if column in ("xruns_3", "late_p99") and row["mode"] != PACED:
        return "-"
    if column == "xruns_3":
        return f"{row['xruns_3']:.0f}/{row['xruns_4']:.0f}"
    if isinstance(value, float) and math.isnan(value):
        return f"n < {NEEDS[column]}" if column in NEEDS and row["n"] < NEEDS[column] else "-"
    if column == "misses":
        return (
            f"{value:.0f} ({digits(100 * row['miss_rate'], 2)}%)" if value else f"0, < {percent(row['miss_rate_high'])}"
        )
    if column == "late_p99":
        return f"{value / 1e3:.0f}"
    return _figure(column, value)


def _figure(column: str, value: Any) -> str:
    if column in ("p50", "p99", "p99.9", "max", "first"):
        return f"{value / 1e6:.3f}"
    if column.endswith("_kb"):
        return f"{value / 1024:.1f}"
    if column == "budget":
        return f"{value / 1e6:g}"
    if column == "mips":
        return f"{value:.0f}"
    return digits(value) if isinstance(value, float) else str(value)


def rows(cases: Sequence[Row], shown: Mapping[str, str]) -> list[list[str]]:
    """The table's cells as text."""
    return [[cell(column, row) for column in shown.values()] for row in cases]
