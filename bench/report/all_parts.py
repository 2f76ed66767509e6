"""The parts of a report's page, each for one board: plots with captions, tables; None where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas

from ..output.numbers import digits
from ..output.page import Figure, Part, Table
from ..output.plots import GREY
from ..results.columns import INSTRUCTIONS, PACED, TIME
from ..stats.node_parts import parts
from ..stats.step_times import ticks
from .notes import reading, weights_lines
from .part_plots import LADDER, PARTS, Row, cost_plot, lines, memory_plot, parts_plot, spread_plot, watched_plot
from .report import Board, columns, rows
from .slow_steps import table as causes_table
from .slow_steps import together, worst

MEANT = (
    "late wake-up: paced; the step started later than 99 % of steps, or was short enough and yet missed for its start",
    "after a slow step: paced; it missed, and the step before had ended after its tick",
    "preempted: interrupted by another task; waited: slept, as for a lock or a disk; both more often than the median",
    "cpu, memory, io pressure: tasks waited 1 % of the time more than usual around it",
    "frequency drop: 5 % or more below the run's median; throttled: the Raspberry Pi limited its clock",
    "nothing known: none of what was recorded coincided more often than by chance",
)
DEAREST = 10  # nodes of a profile
WATCHED = {"celsius": ("temperature", "°C"), "mhz": ("frequency", "MHz")}


def _legend(cases: Sequence[Row]) -> dict[str, str]:
    """Series -> colour."""
    return {row["series"]: row["colour"] for row in sorted(cases, key=lambda row: row["series"])}


def cost(board: Board) -> Part:
    """RTF or MIPS against the block, and the table of a terminal."""
    cases = board.cases
    figures = []
    for mode in sorted({row["mode"] for row in cases}):
        part = [row for row in cases if row["mode"] == mode]
        label = f"{'RTF' if board.clock == TIME else 'MIPS'} against block, {mode}: {', '.join(_legend(part))}"
        figures.append(Figure(cost_plot(part, cases, label), _cost_caption(mode, board.clock)))
    shown = columns(board.cases, board.clock)
    return Part(
        "What a step costs",
        legend=_legend(cases),
        figures=[figure for figure in figures if figure.svg],
        tables=[Table(list(shown), rows(board.cases, shown))],
        notes=[*reading(board), *weights_lines(cases)],
    )


def _cost_caption(mode: str, clock: str) -> str:
    if clock == INSTRUCTIONS:
        return "Million instructions for a second of audio: p50, and up to the dearest step. Larger blocks share work."
    band = f"{mode.capitalize()}: line p50, band up to p99.9 (up to the maximum where steps are too few)"
    if mode == PACED:
        return (
            f"{band}; dotted: p50 of the same back to back. Of the time of the step alone: RTF holds no "
            "lateness, so that a step may be too late though it stays below the dashed line (see misses)."
        )
    return f"{band}. What stays below the dashed line is in time."


def spread(board: Board) -> Part | None:
    """How step times are distributed; instruction counts repeat instead."""
    if board.clock == INSTRUCTIONS:
        return None
    cases = board.cases
    pairs = sorted({(row["mode"], row["block"]) for row in cases})
    figures = [_spread_figure(board, [row for row in cases if (row["mode"], row["block"]) == pair]) for pair in pairs]
    paced = " Paced: from the tick of a step to its end." if any(row["mode"] == PACED for row in cases) else ""
    return Part(
        "How step times vary",
        "How many of all steps take longer than the time below. Nothing is left out: the dot is the longest."
        f"{paced} A curve that ends left of the dashed line was never late.",
        _legend(cases),
        figures,
    )


def _spread_figure(board: Board, cases: list[Row]) -> Figure:
    """Of the cases of one block and mode."""
    block, mode, budget = (cases[0][name] for name in ("block", "mode", "budget"))
    curves = [(row["colour"], _took(board, row)) for row in cases]
    label = f"How many steps of block {block}, {mode}, take longer than a time: {', '.join(_legend(cases))}"
    late, steps = (sum(row[name] for row in cases) for name in ("misses", "n"))
    caption = f"Block {block}, {mode}: {late:.0f} of {steps} steps later than {budget / 1e6:g} ms."
    return Figure(spread_plot(curves, budget, label), caption)


def _took(board: Board, row: Row) -> np.ndarray:
    """What each step of a case took, in ns; on the audio clock counted from its tick."""
    taken = []
    for run in board.results.repeats(row["case"]):
        samples, rate = board.results.samples(run), board.results.entry(run)["sample_rate"]
        steps = samples["step_ns"]
        waited = samples["start_ns"] - ticks(steps.size, row["block"], rate) if row["mode"] == PACED else 0
        taken.append(waited + steps)
    return np.concatenate(taken)


def slow(board: Board) -> Part | None:
    """What slow steps coincided with; nothing delays a count of instructions."""
    if not board.slow:
        return None
    total = together("all", board.slow)
    unknown = f" Not recorded everywhere: {', '.join(sorted(total.unknown))}." if total.unknown else ""
    return Part(
        "Why steps were slow",
        "Slow is above p99 of its case, or too late. Of each cause: how many slow steps it coincided with, more often "
        "than by chance, and what these took beyond the median. A step counts for each of its causes."
        f"{unknown}",
        notes=MEANT,
        tables=[causes_table(board.slow, total), *([worst(board.results, board.cases)] if total.slow else [])],
    )


def memory(board: Board) -> Part:
    """Of each series the case with the highest peak."""
    cases = [max(line, key=lambda row: row["peak_kb"]) for line in lines(board.cases).values()]
    label = f"Private memory after each stage, and the peak: {', '.join(row['name'] for row in cases)}"
    return Part(
        "Where the memory goes",
        legend=dict(LADDER.values()),
        figures=[
            Figure(
                memory_plot(cases, label),
                "Private memory of the process, stage by stage; of each model the block with the highest peak. The "
                "mark is that peak: all that was resident, with the files it shares, such as libraries.",
            )
        ],
    )


def watched(board: Board) -> Part | None:
    """Temperature and frequency over time, or a sentence that they were not measured."""
    if board.clock == INSTRUCTIONS:
        return None
    telemetry = dict(list(board.results.telemetry.groupby("case", observed=True)))
    found = [(board.results.entry(run), row) for row in board.cases for run in board.results.repeats(row["case"])]
    found.sort(key=lambda pair: pair[0].get("measured_at") or 0)
    runs = [(row["colour"], telemetry[entry["id"]]) for entry, row in found if entry["id"] in telemetry]
    known = [column for column in WATCHED if any(samples[column].notna().any() for _, samples in runs)]
    missing = " and ".join(name for column, (name, _) in WATCHED.items() if column not in known)
    return Part(
        "Temperature and frequency",
        f"Not measured: {missing}. This board shows none." if missing else "",
        _legend(board.cases) if known else {},
        [_watched_figure(runs, column) for column in known],
    )


def _watched_figure(runs: list[tuple[str, pandas.DataFrame]], column: str) -> Figure:
    name, unit = WATCHED[column]
    svg = watched_plot(runs, column, unit, f"{name} while measuring, one case after another")
    caption = "in the order of measuring, the time between cases left out; each thin line is the end of a case."
    return Figure(svg, f"{name.capitalize()} {caption}")


def profiles(board: Board) -> Part | None:
    """What ONNX Runtime's own profiler said of the cases that were profiled."""
    profiled = board.profiles
    if not profiled:
        return None
    scale, unit = (1e6, "M instructions") if board.clock == INSTRUCTIONS else (1e3, "µs")
    bars = [(name, {part: ns / scale for part, ns in parts(profile["nodes"]).items()}) for name, profile in profiled]
    legend = {part: PARTS.get(part, GREY) for part in dict.fromkeys(part for _, costs in bars for part in costs)}
    label = f"{unit} a step in each part of the model: {', '.join(name for name, _ in profiled)}"
    caption = (
        f"{unit} a step in each part of the model, by ONNX Runtime's profiler, its own cost taken off. The tables "
        "below say what all nodes take together, and what a step takes without the profiler."
    )
    return Part(
        "Where the time goes",
        legend=legend,
        figures=[Figure(parts_plot(bars, f"{unit} a step", label), caption)],
        tables=[_nodes(name, profile, scale, unit) for name, profile in profiled],
    )


def _nodes(name: str, profile: dict[str, Any], scale: float, unit: str) -> Table:
    """The dearest nodes of a case."""
    nodes = sorted(profile["nodes"], key=lambda node: -node["ns"])
    total = sum(node["ns"] for node in nodes) or 1
    cells = [
        [node["name"], node["op"], node["part"], digits(node["ns"] / scale), f"{node['ns'] / total:.1%}"]
        for node in nodes[:DEAREST]
    ]
    sums = f"all take {digits(total / scale)} {unit}, a plain step {digits(profile['plain_ns'] / scale)} {unit}"
    title = f"{name}: the dearest {len(cells)} of {len(nodes)} nodes; {sums}"
    return Table(["node", "operator", "part", unit, "share"], cells, title)
