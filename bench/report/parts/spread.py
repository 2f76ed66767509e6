"""How step times vary: how many steps take longer than a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...output.page import Figure, Part
from ...output.plots import INK, POINTS, log_axis, note, panel, svg
from ...stats.step_times import ticks
from ...terms import INSTRUCTIONS, PACED
from ..board import Board, Row, legend


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
        "The share of steps that take longer than the time on the axis. No step is left out: the dot is the longest."
        f"{paced} A curve that ends left of the dashed line was never late.",
        legend(cases),
        figures,
    )


def _spread_figure(board: Board, cases: list[Row]) -> Figure:
    """Of the cases of one block and mode."""
    block, mode, budget = (cases[0][name] for name in ("block", "mode", "budget"))
    curves = [(row["colour"], _took(board, row)) for row in cases]
    label = f"How many steps of block {block}, {mode}, take longer than a time: {', '.join(legend(cases))}"
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
