"""Temperature and frequency over the time of measuring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas

from ...output.page import Figure, Part
from ...output.plots import INK, POINTS, panel, svg
from ...terms import INSTRUCTIONS
from ..board import Board, legend

WATCHED = {"celsius": ("temperature", "°C"), "mhz": ("frequency", "MHz")}


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
        f"Not measured: {missing}. This board reports none." if missing else "",
        legend(board.cases) if known else {},
        [_watched_figure(runs, column) for column in known],
    )


def _watched_figure(runs: list[tuple[str, pandas.DataFrame]], column: str) -> Figure:
    name, unit = WATCHED[column]
    svg = watched_plot(runs, column, unit, f"{name} while measuring, one case after another")
    caption = "in the order of measuring, without the pauses between cases; a thin line ends each case."
    return Figure(svg, f"{name.capitalize()} {caption}")


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
