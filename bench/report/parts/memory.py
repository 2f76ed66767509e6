"""Where the memory goes: private memory stage by stage, and the peak."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...output.page import Figure, Part
from ...output.plots import COLOURS, stacked_bars
from ..board import Board, Row, lines

# What a process has added to its memory by the end of each stage, the first four before the model comes.
LADDER = {
    "python_kb": ("interpreter", "#b9bcc2"),
    "numpy_kb": ("numpy", "#9a9ea6"),
    "buffers_kb": ("the runner's own arrays", "#7b8088"),
    "onnxruntime_kb": ("ONNX Runtime", "#5c6068"),
    "session_kb": ("session with the model", COLOURS[0]),
    "private_kb": ("first and later steps", COLOURS[1]),
}


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
                "mark is that peak: all resident memory, shared files such as libraries included.",
            )
        ],
    )


def memory_plot(rows: Sequence[Row], label: str) -> str:
    """Private memory after each stage of a case's process, on top of each other, and the peak of all its memory."""
    bars = [(row["name"], [(width, LADDER[stage][1]) for stage, width in steps_up(row)]) for row in rows]
    peaks = [row["peak_kb"] / 1024 for row in rows]
    return stacked_bars(bars, "MiB", label, peaks)


def steps_up(row: Row) -> list[tuple[str, float]]:
    """What each stage that was recorded added to the private memory, in MiB; one that gave memory back added none."""
    found, highest = [], 0.0
    for stage in LADDER:
        if not math.isnan(row[stage]):
            found.append((stage, max(0.0, row[stage] - highest) / 1024))
            highest = max(highest, row[stage])
    return found
