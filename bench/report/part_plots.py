"""The plots of a report: what a step costs, how it varies, what takes the memory, how warm the board became.

Cases are rows of `Results.pooled()` with more columns: `series`, what is drawn as one line, its `colour`, and a `name`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from ..output.plots import COLOURS, GREY, INK, PAPER, block_axis, log_axis, note, panel, svg
from ..results.columns import PACED, TIME

Row = Mapping[str, Any]

POINTS = 200  # of a curve: more can't be seen
# What a process has added to its memory by the end of each stage, the first four before the model comes.
LADDER = {
    "python_kb": ("interpreter", "#b9bcc2"),
    "numpy_kb": ("numpy", "#9a9ea6"),
    "buffers_kb": ("the runner's own arrays", "#7b8088"),
    "onnxruntime_kb": ("ONNX Runtime", "#5c6068"),
    "session_kb": ("session with the model", COLOURS[0]),
    "private_kb": ("first and later steps", COLOURS[1]),
}
PARTS: dict[str, str] = dict(zip(("decoder", "synth", "noise", "reverb"), COLOURS, strict=False))


def lines(cases: Sequence[Row]) -> dict[str, list[Row]]:
    """The cases of each series, by block."""
    ordered = sorted(cases, key=lambda row: row["block"])
    names = sorted({row["series"] for row in cases})
    return {name: [row for row in ordered if row["series"] == name] for name in names}


def cost_plot(cases: Sequence[Row], everything: Sequence[Row], label: str) -> str:
    """RTF (where instructions are counted: MIPS) against the block: a line at p50, a band up to p99.9.

    `cases` are drawn, on axes that hold `everything`; of steps on the audio clock, p50 back to back is dotted beside.
    Nothing when no case has steps enough for a figure.
    """
    cases, everything = ([row for row in part if not math.isnan(row["p50"])] for part in (cases, everything))
    if not cases:
        return ""
    timed = cases[0]["clock"] == TIME
    with panel() as (figure, axes):
        for line in lines(cases).values():
            _cost_line(axes, line)
        if cases[0]["mode"] == PACED:
            _dotted(axes, [row for row in everything if row["mode"] != PACED])
        block_axis(axes, [row["block"] for row in everything])
        loads = [load for row in everything for load in (_load(row, row["p50"]), _load(row, _worst(row)))]
        log_axis(axes.yaxis, min(loads), max(loads + [1.0] * timed))
        if timed:
            axes.axhline(1, linestyle="--", color=INK, linewidth=1)
            note(axes, axes.get_xlim()[1], 1, "real time", (0, 3), horizontalalignment="right")
        axes.set_ylabel("RTF" if timed else "MIPS")
        axes.grid()
        return svg(figure, label)


def _worst(row: Row) -> float:
    """p99.9 in ns, or the maximum where n is too small for it."""
    return row["max"] if math.isnan(row["p99.9"]) else row["p99.9"]


def _load(row: Row, cost: float) -> float:
    """A cost of a step as RTF; of instructions, as millions in a second of audio."""
    return cost / row["budget"] * (1 if row["clock"] == TIME else 1e3)


def _cost_line(axes: Any, line: Sequence[Row]) -> None:
    blocks, colour = [row["block"] for row in line], line[0]["colour"]
    middle, top = ([_load(row, cost(row)) for row in line] for cost in (lambda row: row["p50"], _worst))
    axes.fill_between(blocks, middle, top, color=colour, alpha=0.15, linewidth=0)
    axes.vlines(blocks, middle, top, color=colour, linewidth=1, alpha=0.5)
    axes.plot(blocks, middle, marker="o", color=colour)


def _dotted(axes: Any, cases: Sequence[Row]) -> None:
    for line in lines(cases).values():
        loads = [_load(row, row["p50"]) for row in line]
        axes.plot([row["block"] for row in line], loads, ":", color=line[0]["colour"], linewidth=1)


def longer_than(steps_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step times, falling, and the share of steps that took as long or longer; thinned out, with both ends kept."""
    ordered = np.sort(steps_ns)[::-1]
    ranks = np.unique(np.round(np.geomspace(1, ordered.size, POINTS)).astype(int))
    return ordered[ranks - 1], ranks / ordered.size


def spread_plot(curves: Sequence[tuple[str, np.ndarray]], budget_ns: float, label: str) -> str:
    """How often a step takes longer than a time: (colour, step times in ns) of each case, and the deadline."""
    drawn = [(colour, *longer_than(times / 1e6)) for colour, times in curves]
    budget, rarest = budget_ns / 1e6, min(share[0] for _, _, share in drawn)
    with panel() as (figure, axes):
        for colour, times, share in drawn:
            axes.plot(times, share, color=colour, drawstyle="steps-post")
            axes.plot(times[:1], share[:1], "o", color=colour, clip_on=False)
        log_axis(axes.xaxis, min(times[-1] for _, times, _ in drawn), max(budget, *(times[0] for _, times, _ in drawn)))
        ticks = [10.0**-power for power in range(9) if 10.0**-power >= rarest]
        axes.set(yscale="log", ylim=(rarest * 0.8, 1.3), xlabel="ms")
        axes.set_yticks(
            ticks, ["all" if tick == 1 else f"1 in {round(1 / tick):,}".replace(",", " ") for tick in ticks]
        )
        axes.set_yticks([], minor=True)
        axes.axvline(budget, linestyle="--", color=INK, linewidth=1)
        note(axes, budget, 1, "deadline", (-3, 4), horizontalalignment="right")
        axes.grid()
        return svg(figure, label)


def memory_plot(rows: Sequence[Row], label: str) -> str:
    """Private memory after each stage of a case's process, on top of each other, and the peak of all its memory."""
    bars = [(row["name"], [(width, LADDER[stage][1]) for stage, width in steps_up(row)]) for row in rows]
    peaks = [row["peak_kb"] / 1024 for row in rows]
    return _bars(bars, "MiB", label, peaks)


def steps_up(row: Row) -> list[tuple[str, float]]:
    """What each stage that was recorded added to the private memory, in MiB; one that gave memory back added none."""
    found, highest = [], 0.0
    for stage in LADDER:
        if not math.isnan(row[stage]):
            found.append((stage, max(0.0, row[stage] - highest) / 1024))
            highest = max(highest, row[stage])
    return found


def parts_plot(bars: Sequence[tuple[str, Mapping[str, float]]], unit: str, label: str) -> str:
    """What each part of a model takes of a step: (name, part -> cost in `unit`) of each case."""
    coloured = [(name, [(cost, PARTS.get(part, GREY)) for part, cost in parts.items()]) for name, parts in bars]
    return _bars(coloured, unit, label)


def _bars(
    bars: Sequence[tuple[str, Sequence[tuple[float, str]]]], unit: str, label: str, marks: Sequence[float] = ()
) -> str:
    """Lying stacked bars of (length, colour), the name of each above it, and a mark on each."""
    with panel(0.6 + 0.55 * len(bars)) as (figure, axes):
        for row, (name, parts) in enumerate(bars):
            left = np.cumsum([0.0, *(length for length, _ in parts)])
            for start, (length, colour) in zip(left, parts, strict=False):
                axes.barh(row, length, 0.42, start, color=colour, edgecolor=PAPER, linewidth=0.8)
            axes.text(0, row - 0.3, name, fontsize=10, verticalalignment="bottom")
            if marks:
                axes.vlines(marks[row], row - 0.3, row + 0.3, color=INK, linewidth=2)
        axes.set(ylim=(len(bars) - 0.6, -0.75), yticks=[], xlabel=unit)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(left=0)
        return svg(figure, label)


def watched_plot(runs: Sequence[tuple[str, pandas.DataFrame]], column: str, unit: str, label: str) -> str:
    """A column of the telemetry over the time measured: (colour, samples) of each case in turn."""
    with panel() as (figure, axes):
        begin = 0.0
        for colour, samples in runs:
            known = samples[column].notna().to_numpy()
            seconds, values = samples["seconds"].to_numpy()[known], samples[column].to_numpy()[known]
            if seconds.size:
                times, values = extremes(seconds - seconds[0], values)
                axes.plot((begin + times) / 60, values, color=colour)
                begin += float(times[-1])
            axes.axvline(begin / 60, color=INK, alpha=0.2, linewidth=0.6)
        axes.set(xlabel="minutes of measuring", ylabel=unit, xlim=(0, begin / 60))
        axes.grid(axis="y")
        return svg(figure, label)


def extremes(seconds: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A thinned-out course: of each stretch its least and greatest value, in the order they came."""
    if values.size <= POINTS:
        return seconds, values
    kept = []
    for stretch in np.array_split(np.arange(values.size), POINTS // 2):
        kept += sorted({stretch[np.argmin(values[stretch])], stretch[np.argmax(values[stretch])]})
    return seconds[kept], values[kept]
