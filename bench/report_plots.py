"""The plots of a report: what a step costs, how it varies, what takes the memory, how warm the board became.

Cases are rows of `Results.pooled()` with two more columns: `series`, what is drawn as one line, and its `colour`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from .plots import COLOURS, GREY, INK, PAPER, block_axis, log_axis, note, panel, svg

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
PARTS = dict(zip(("decoder", "synth", "noise", "reverb"), COLOURS, strict=False))


def worst(cases: pandas.DataFrame) -> pandas.Series:
    """p99.9 in ns, or the maximum where n is too small for it."""
    return cases["p99.9"].fillna(cases["max"])


def cost_plot(cases: pandas.DataFrame, everything: pandas.DataFrame, label: str) -> str:
    """RTF (where instructions are counted: MIPS) against the block: a line at p50, a band up to `worst`.

    `cases` are drawn, on axes that hold `everything`; of a series that was also run back to back its p50 is dotted.
    Nothing when no case has steps enough for a figure.
    """
    cases, everything = (part.dropna(subset=["p50"]) for part in (cases, everything))
    if cases.empty:
        return ""
    timed = (cases["clock"] == "time").all()
    with panel() as (figure, axes):
        for _, line in cases.groupby("series", sort=False):
            _cost_line(axes, line)
        paced = set(cases["mode"]) == {"paced"}
        for _, line in everything[everything["mode"] == "burst"].groupby("series", sort=False):
            if paced:
                axes.plot(line["block"], _load(line, line["p50"]), ":", color=line["colour"].iloc[0], linewidth=1)
        block_axis(axes, everything["block"].tolist())
        low, high = _load(everything, everything["p50"]).min(), _load(everything, worst(everything)).max()
        log_axis(axes.yaxis, low, max(high, 1.0) if timed else high)
        if timed:
            axes.axhline(1, linestyle="--", color=INK, linewidth=1)
            note(axes, axes.get_xlim()[1], 1, "real time", (0, 3), horizontalalignment="right")
        axes.set_ylabel("RTF" if timed else "MIPS")
        axes.grid()
        return svg(figure, label)


def _load(cases: pandas.DataFrame, cost: pandas.Series) -> pandas.Series:
    """A cost of a step as RTF; of instructions, as millions in a second of audio."""
    return cost / cases["budget"] * np.where(cases["clock"] == "time", 1, 1e3)


def _cost_line(axes: Any, line: pandas.DataFrame) -> None:
    line = line.sort_values("block")
    colour, middle, top = line["colour"].iloc[0], _load(line, line["p50"]), _load(line, worst(line))
    axes.fill_between(line["block"], middle, top, color=colour, alpha=0.15, linewidth=0)
    axes.vlines(line["block"], middle, top, color=colour, linewidth=1, alpha=0.5)
    axes.plot(line["block"], middle, marker="o", color=colour)


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
            axes.plot(times, share, color=colour)
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


def memory_plot(cases: pandas.DataFrame, label: str) -> str:
    """Private memory after each stage of a case's process, on top of each other, and the peak of all its memory."""
    rows: list[dict[str, Any]] = cases.to_dict("records")  # type: ignore[assignment]
    bars = [(row["name"], [(width, LADDER[stage][1]) for stage, width in steps_up(row)]) for row in rows]
    peaks = [row["peak_kb"] / 1024 for row in rows]
    return _bars(bars, "MB", label, peaks)


def steps_up(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What each stage that was recorded added to the private memory, in MB; one that gave memory back added none."""
    found, highest = [], 0.0
    for stage in LADDER:
        if not np.isnan(row[stage]):
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
            samples = samples.dropna(subset=[column])
            seconds, values = extremes(samples["seconds"].to_numpy(), samples[column].to_numpy())
            axes.plot((begin + seconds) / 60, values, color=colour)
            begin += float(samples["seconds"].max()) if len(samples) else 0.0
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
