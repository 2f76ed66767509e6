"""Cost against sound, or size: which models are beaten by no other in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas

from ..output.page import Figure
from ..output.plots import COLOURS, INK, PAPER, log_axis, note, panel, svg
from ..terms import TIME
from .comparison import Comparison
from .cost_text import MODES

ROOM = 1.15  # on both sides, for names


class Point(NamedTuple):
    """A model: what it costs, and how far it is from what is wanted; less is better in both."""

    name: str
    cost: float
    loss: float


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in one without being beaten in the other, by cost."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, point.loss)):
        if not found or point.loss < found[-1].loss:
            found.append(point)
    return found


def pareto(comparison: Comparison, table: pandas.DataFrame) -> list[Figure]:
    """A plot for each board where two models or more were measured, back to back unless there is paced only.

    Against the distance to the recordings, or, where nothing was played or weights are random, parameters.

    Args:
        comparison: whose models they are.
        table: as from `compare.table`.
    """
    if "board" not in table:
        return []
    heard = bool(comparison.phrases) and all(entry.provenance.is_trained for entry in comparison.entries)
    found = []
    for board, part in table.dropna(subset=["board"]).groupby("board", sort=False):
        rows: list[dict[str, Any]] = part[part["mode"] == part["mode"].iloc[0]].to_dict("records")  # type: ignore[assignment]
        timed = rows[0]["clock"] == TIME
        points = [Point(row["model"], row["rtf"] if timed else row["p50"] / 1e6, _loss(row, heard)) for row in rows]
        points = [point for point in points if math.isfinite(point.cost)]
        if len(points) > 1:
            unit = "RTF (p50)" if timed else "M instructions a step"
            found.append(Figure(_plot(points, unit, heard, str(board)), _caption(points, rows[0], heard)))
    return found


def _loss(row: dict[str, Any], heard: bool) -> float:
    return row["mss"] if heard else row["decoder"] + row["synth"] + row["reverb"]


def _caption(points: Sequence[Point], row: dict[str, Any], heard: bool) -> str:
    names = ", ".join(point.name for point in front(points))
    how = f", {MODES[row['mode']]}" if row["clock"] == TIME else ""
    against = "the distance to the recordings" if heard else "parameters, as no sound was judged"
    return (
        f"{row['board']}, blocks of {row['block']:.0f}{how}: cost against {against}; left and low is better. "
        f"Filled, and on the line: beaten by no other in both ({names})."
    )


def _plot(points: Sequence[Point], unit: str, heard: bool, board: str) -> str:
    best = front(points)
    loss = "MSS to the recordings" if heard else "parameters"
    with panel() as (figure, axes):
        axes.step(*zip(*[(point.cost, point.loss) for point in best], strict=True), "--", where="post", color=INK, lw=1)
        for point, colour in zip(points, COLOURS * len(points), strict=False):
            face = colour if point in best else PAPER
            axes.plot(point.cost, point.loss, "o", markersize=8, color=colour, markerfacecolor=face)
        costs, losses = [point.cost for point in points], [point.loss for point in points]
        log_axis(axes.xaxis, min(costs) / ROOM, max(costs) * ROOM)
        if heard:
            axes.margins(y=0.15)
        else:
            log_axis(axes.yaxis, min(losses) / ROOM, max(losses) * ROOM)
        middle = math.sqrt(min(costs) * max(costs))
        for point in points:
            side = ("left", (7, 5)) if point.cost <= middle else ("right", (-7, 5))
            note(axes, point.cost, point.loss, point.name, side[1], horizontalalignment=side[0])
        axes.set(xlabel=unit, ylabel=loss)
        axes.grid()
        return svg(figure, f"{unit} on {board} against {loss}: {', '.join(point.name for point in points)}")
