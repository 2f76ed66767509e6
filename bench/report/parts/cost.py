"""What a step costs: RTF or MIPS against the block, and the table of a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...output.page import Figure, Part
from ...output.plots import INK, block_axis, log_axis, note, panel, svg
from ...output.tables import Table
from ...terms import INSTRUCTIONS, PACED, TIME
from ..board import Board, Row, legend, lines
from ..notes import reading, weights_lines
from ..table import columns, rows


def cost(board: Board) -> Part:
    """RTF or MIPS against the block, and the table of a terminal."""
    cases = board.cases
    figures = []
    for mode in sorted({row["mode"] for row in cases}):
        part = [row for row in cases if row["mode"] == mode]
        label = f"{'RTF' if board.clock == TIME else 'MIPS'} against block, {mode}: {', '.join(legend(part))}"
        figures.append(Figure(cost_plot(part, cases, label), _cost_caption(mode, board.clock)))
    shown = columns(board.cases, board.clock)
    return Part(
        "What a step costs",
        legend=legend(cases),
        figures=[figure for figure in figures if figure.svg],
        tables=[Table("", list(shown), rows(board.cases, shown))],
        notes=[*reading(board), *weights_lines(cases)],
    )


def _cost_caption(mode: str, clock: str) -> str:
    if clock == INSTRUCTIONS:
        return (
            "Million instructions for a second of audio: p50, with a band up to the costliest step. Larger blocks "
            "share fixed work."
        )
    band = f"{mode.capitalize()}: line p50, band up to p99.9 (up to the maximum where steps are too few)"
    if mode == PACED:
        return (
            f"{band}; dotted: p50 of the same back to back. RTF counts the step itself, not how late "
            "it started: a step below the dashed line may still be too late (see misses)."
        )
    return f"{band}. Steps below the dashed line are in time."


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
