"""Results as people read them: a table for each board with notes below, in a terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from ..output.console import out, plain_table
from ..output.markdown import safe, table
from ..output.numbers import digits, percent
from ..output.plots import COLOURS
from ..results.columns import INSTRUCTIONS, PACED, TIME
from ..results.pooling import boards
from ..stats.step_times import PERCENTILES, percentile_name, steps_needed
from .notes import notes
from .protocol_tables import protocol_markdown, protocol_tables
from .slow_steps import Slow, slow_of

if TYPE_CHECKING:
    from ..results.frames import Results

Row = Mapping[str, Any]

TEXTS = ("model", "weights", "engine", "precision", "mode")
NEEDS = {percentile_name(p): steps_needed(p) for p in PERCENTILES} | {"rtf": steps_needed(50), "mips": steps_needed(50)}
NEEDS["late_p99"] = NEEDS["p99"]
FOLDED = 20  # columns of a terminal that a text can do with, in several lines
TELLING = {"weights": ", {}", "precision": ", {}", "engine": ", {}", "threads": ", {} thread(s)"}
# What a terminal can do without, the first first.
SPARE = ("first", "late_p99", "model_kb", "budget", "peak_kb", "n", "repeats", "xruns_3", "max", "p99.9", "p99", "rtf")


@dataclass(frozen=True)
class Board:
    """The results of one board: another kernel, Python or ONNX Runtime is another board.

    `cases` are rows of `Results.pooled()` with `series` (what is drawn as one line: model, and what else differs), its
    `colour`, and `name` (series, block and mode).
    """

    name: str
    clock: str
    cases: list[Row]
    results: Results

    @property
    def title(self) -> str:
        """Which board, in a line."""
        first = self.cases[0]
        return f"{self.name}: {first['cpu']}, Linux {first['kernel']}" + (
            f", ONNX Runtime {first['onnxruntime']}" if first["onnxruntime"] else ""
        )

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """The recorded line of each run of the cases."""
        return [self.results.entry(run) for row in self.cases for run in self.results.repeats(row["case"])]

    @cached_property
    def profiles(self) -> list[tuple[str, dict[str, Any]]]:
        """The name of each case that was profiled, in whichever of its runs, and its newest profile."""
        known = [(row["name"], self._profile(row["case"])) for row in self.cases]
        return [(name, profile) for name, profile in known if profile]

    def _profile(self, case: str) -> dict[str, Any] | None:
        kept = [self.results.entry(run).get("profile") for run in self.results.repeats(case)]
        return next((profile for profile in reversed(kept) if profile), None)

    @cached_property
    def slow(self) -> list[Slow]:
        """Why steps of each case were slow; nothing where instructions are counted, which nothing delays."""
        return [slow_of(self.results, row) for row in self.cases] if self.clock == TIME else []


def sections(results: Results) -> list[Board]:
    """The boards, in the order of their names; what was measured under a published protocol has its own tables."""
    cases = results.pooled()
    found = boards(cases.loc[cases["protocol"] == ""])
    parts = [(name, clock, part.to_dict("records")) for name, clock, part in found]
    return [Board(name, clock, _with_series(rows), results) for name, clock, rows in parts]


def _with_series(cases: list[Any]) -> list[Row]:
    telling = [(column, text) for column, text in TELLING.items() if _differs(cases, column)]
    series = [row["model"] + "".join(text.format(row[column]) for column, text in telling) for row in cases]
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(sorted(set(series)))}
    mode = ", {mode}" if _differs(cases, "mode") else ""
    return [
        {**row, "series": name, "colour": colours[name], "name": name + f", block {{block}}{mode}".format(**row)}
        for row, name in zip(cases, series, strict=True)
    ]


def _differs(cases: Sequence[Row], column: str) -> bool:
    """Whether a column tells cases apart; of weights: those of one model."""
    if column == "weights":
        return len({(row["model"], row["weights"]) for row in cases}) > len({row["model"] for row in cases})
    return len({row[column] for row in cases}) > 1


def columns(cases: Sequence[Row], clock: str) -> dict[str, str]:
    """What the table shows of a board's cases: heading with unit -> column; nothing that says nothing."""
    unit = "M" if clock == INSTRUCTIONS else "ms"
    paced = any(row["mode"] == PACED for row in cases)
    tails = [name for name in ("p99", "p99.9") if clock == TIME or not all(math.isnan(row[name]) for row in cases)]
    return {
        "model": "model",
        **{column: column for column in ("weights", "precision", "engine") if _differs(cases, column)},
        "block": "block",
        **({"thr.": "threads"} if {row["threads"] for row in cases} != {1} else {}),
        **({"mode": "mode"} if paced else {}),
        **({"steps": "n"} if _differs(cases, "n") else {}),
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


def terminal_tables(results: Results, width: int | None = None) -> list[RenderableType]:
    """A titled table for each board, with what is to be known about it below, and those of published protocols.

    Columns that don't fit into `width` characters, by default the terminal's, are left out, the least telling first;
    which ones is said below.
    """
    return [
        *(_terminal(board, width or out.width) for board in sections(results)),
        *protocol_tables(results, styled=out.is_terminal),
    ]


def _terminal(board: Board, width: int) -> Group:
    shown = columns(board.cases, board.clock)
    kept = narrow(shown, rows(board.cases, shown), width)
    left_out = [heading for heading in shown if heading not in kept]
    more = [f"in --markdown and --html also: {', '.join(left_out)}"] if left_out else []
    cells = plain_table(list(kept), rows(board.cases, kept), TEXTS)
    return Group(Text(board.title), cells, Text("\n".join([*notes(board), *more])))


def markdown(results: Results) -> str:
    """The tables and notes of all boards as GitHub's Markdown."""
    return "\n".join([*map(_markdown, sections(results)), protocol_markdown(results)]).rstrip() + "\n"


def _markdown(board: Board) -> str:
    shown = columns(board.cases, board.clock)
    lines = [
        f"### {safe(board.title)}",
        "",
        table(list(shown), (map(safe, row) for row in rows(board.cases, shown)), TEXTS),
        "",
        *(f"- {safe(line)}" for line in notes(board)),
        "",
    ]
    return "\n".join(lines)
