"""Costs beside the teacher's as people read them: a table for each board, and a sentence for each student."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..output.numbers import digits, number
from ..output.tables import Table
from ..stats.step_times import REPEATS
from ..terms import BURST, INSTRUCTIONS, TIME

Row = dict[str, Any]

MODES = {BURST: "back to back", "paced": "on the audio clock"}
MIB = {"peak_kb": 1024, "model_kb": 1024, "weight_bytes": 1024**2, "file_bytes": 1024**2}
ONCE = {
    "first": "first step",
    "session": "load: making the session",
    "model_kb": "memory of the model (MiB)",
    "peak_kb": "peak memory (MiB)",
    "weight_bytes": "weights (MiB)",
    "file_bytes": "file: weights and graph (MiB)",
}
MEMORY = (
    "memory of the model: private memory after the run minus that after importing ONNX Runtime; weights mapped from "
    "the file count in the peak only"
)
TIMED = (
    "burst: steps run back to back; paced: on the audio clock",
    "smallest block: the smallest measured on the audio clock without a miss, and for how many seconds; "
    "tonearm sweep --smallest-block searches for it",
    "p99.9 without a ratio: too few steps, or the models differ by less than the longest empty step",
)
COUNTED = "virtual board: M instructions are counts that repeat to 0.1%, not the speed of any real board"
FEW = (
    f"time intervals come from fewer than {REPEATS} runs; run-to-run variation is not included "
    f"(measure with tonearm sweep --repeats {REPEATS})"
)
INTERVALS = f"intervals: 95%, of {REPEATS} runs or more; of p99.9 at least 90%, as if steps were independent"


def cost_tables(labels: Sequence[str], costs: Sequence[Row]) -> list[Table]:
    """A table for each board, a column for each model, of the rows of `costs.block_costs`."""
    boards = dict.fromkeys(row["board"] for row in costs)
    return [_table(board, labels, [row for row in costs if row["board"] == board]) for board in boards]


def _table(board: str, labels: Sequence[str], costs: list[Row]) -> Table:
    rows = []
    for mode in dict.fromkeys(row["mode"] for row in costs):
        by_label = {row["model"]: row for row in costs if row["mode"] == mode}
        rows += _step_lines(labels, by_label)
    first = {row["model"]: row for row in reversed(costs)}  # back to back, if that was measured
    for name, title in ONCE.items():
        scale, unit = (MIB[name], "") if name in MIB else _time(costs[0])
        rows.append(_line(title + unit, name, scale, labels, first))
    if costs[0]["clock"] == TIME:
        rows.append(["smallest block, samples", *(_each(_smallest, labels, first))])
    return Table("", [f"on {board}", *labels], rows, texts=(f"on {board}",))


def _step_lines(labels: Sequence[str], by_label: dict[str, Row]) -> list[list[str]]:
    first = next(iter(by_label.values()))
    scale, unit = _time(first)
    threads = f", {first['threads']:.0f} threads" if first["threads"] > 1 else ""
    mode = f", {first['mode']}" if first["clock"] == TIME else ""
    where = f"{mode}, block {first['block']:.0f}{threads}"
    lines = [_line(f"p50{where}{unit}", "p50", scale, labels, by_label)]
    if first["clock"] == TIME:
        lines.append(_line(f"p99.9{where}{unit}", "p99.9", scale, labels, by_label))
        lines.append([f"RTF{where}", *_each(lambda row: _known(row["rtf"]), labels, by_label)])
    return lines


def _time(row: Row) -> tuple[float, str]:
    return 1e6, " (M instructions)" if row["clock"] == INSTRUCTIONS else " (ms)"


def _line(title: str, name: str, scale: float, labels: Sequence[str], by_label: dict[str, Row]) -> list[str]:
    teacher = by_label.get(labels[0], {}).get(name, math.nan)

    def cell(row: Row) -> str:
        return _known(row[name], scale) + (_beside(name, row, teacher) if row["model"] != labels[0] else "")

    return [title, *_each(cell, labels, by_label)]


def _each(cell: Callable[[Row], str], labels: Sequence[str], by_label: dict[str, Row]) -> list[str]:
    return [cell(by_label[label]) if label in by_label else "-" for label in labels]


def _known(value: float, scale: float = 1) -> str:
    return "-" if math.isnan(value) else number(value / scale)


def _beside(name: str, row: Row, teacher: float) -> str:
    """` (0.13 x, 0.12 to 0.14)`."""
    ratio = row.get(f"{name}_ratio", row[name] / teacher if teacher > 0 else math.nan)
    if math.isnan(ratio):
        return ""
    low, high = row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan)
    return f" ({number(ratio)} x)" if math.isnan(low + high) else f" ({number(ratio)} x, {_span(low, high)})"


def _span(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"


def _smallest(row: Row) -> str:
    if math.isnan(row["smallest"]):
        return "-"
    return (
        f"{row['smallest']:.0f} (no miss in {digits(row['smallest_seconds'])} s)" if row["smallest"] else "none in time"
    )


def cost_notes(labels: Sequence[str], costs: Sequence[Row]) -> list[str]:
    """What is to be known about the tables."""
    said = [MEMORY] if costs else []
    timed = [row["repeats"] for row in costs if row["clock"] == TIME]
    if timed:
        said += [*TIMED, INTERVALS if min(timed) >= REPEATS else FEW]
    if any(row["clock"] == INSTRUCTIONS for row in costs):
        said.append(COUNTED)
    without = [label for label in labels if label not in [row["model"] for row in costs]]
    if without:
        said.append(f"no cost of {', '.join(without)}: measure all models at the same block with tonearm sweep")
    return said


def cost_sentences(teacher: str, costs: Sequence[Row]) -> dict[str, list[str]]:
    """Student -> for each board, what its costs beside the teacher's say; nothing where that was not measured."""
    found: dict[str, list[str]] = {}
    told: set[tuple[str, str]] = set()
    for row in costs:
        what = row["model"], row["board"]
        if row["model"] != teacher and not math.isnan(row["p50_ratio"]) and what not in told:
            told.add(what)
            alike = [one for one in costs if [one[name] for name in ("board", "mode")] == [row["board"], row["mode"]]]
            repeats = min(one["repeats"] for one in alike if one["model"] in (teacher, row["model"]))
            found.setdefault(row["model"], []).append(cost_sentence(teacher, row, int(repeats)))
    return found


def cost_sentence(teacher: str, row: Row, repeats: int) -> str:
    """What a student's row says of its time and memory, whatever it is; `repeats`: fewest runs of either model.

    A difference of time counts beyond its interval and what the board can tell; one of memory beyond that of repeats.
    """
    counted = row["clock"] == INSTRUCTIONS
    what, how = ("instructions", "") if counted else ("time", f" {MODES[row['mode']]}")
    where = f"at blocks of {row['block']:.0f}{how} on {row['board']}"
    interval = "" if math.isnan(row["p50_low"]) else f" ({_span(row['p50_low'], row['p50_high'])}{_of_few(repeats)})"
    if row["p50_differs"]:
        said = f"{row['model']} takes {number(row['p50_ratio'])} of {teacher}'s {what} {where}{interval}"
    else:
        limit = "to 0.1%" if counted else "beyond what these runs can tell"
        said = f"{row['model']} and {teacher}: no difference in {what} {limit} {where}{interval}"
    memory = row["peak_kb_ratio"]
    if math.isnan(memory):
        return said
    return said + (
        f", and {number(memory)} of its peak memory" if row["peak_kb_differs"] else ", and as much peak memory"
    )


def _of_few(repeats: int) -> str:
    """Too few runs for the interval to include how much runs differ."""
    if repeats >= REPEATS:
        return ""
    return f"; from {'one run' if repeats == 1 else 'two runs'}, run-to-run variation not included"
