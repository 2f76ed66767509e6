"""Where the time goes: what ONNX Runtime's profiler said of the parts of a model and its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...output.numbers import digits
from ...output.page import Figure, Part
from ...output.plots import COLOURS, GREY, stacked_bars
from ...output.tables import Table
from ...stats.node_parts import parts
from ...terms import INSTRUCTIONS
from ..board import Board

COSTLIEST = 10  # nodes of a profile
PARTS: dict[str, str] = dict(zip(("decoder", "synth", "noise", "reverb"), COLOURS, strict=False))


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
        "below give the sum of all nodes, and a step without the profiler."
    )
    return Part(
        "Where the time goes",
        legend=legend,
        figures=[Figure(parts_plot(bars, f"{unit} a step", label), caption)],
        tables=[_nodes(name, profile, scale, unit) for name, profile in profiled],
    )


def _nodes(name: str, profile: dict[str, Any], scale: float, unit: str) -> Table:
    """The costliest nodes of a case."""
    nodes = sorted(profile["nodes"], key=lambda node: -node["ns"])
    total = sum(node["ns"] for node in nodes) or 1
    cells = [
        [node["name"], node["op"], node["part"], digits(node["ns"] / scale), f"{node['ns'] / total:.1%}"]
        for node in nodes[:COSTLIEST]
    ]
    sums = f"all take {digits(total / scale)} {unit}, a plain step {digits(profile['plain_ns'] / scale)} {unit}"
    title = f"{name}: the costliest {len(cells)} of {len(nodes)} nodes; {sums}"
    return Table(title, ["node", "operator", "part", unit, "share"], cells)


def parts_plot(bars: Sequence[tuple[str, Mapping[str, float]]], unit: str, label: str) -> str:
    """What each part of a model takes of a step: (name, part -> cost in `unit`) of each case."""
    coloured = [(name, [(cost, PARTS.get(part, GREY)) for part, cost in parts.items()]) for name, parts in bars]
    return stacked_bars(coloured, unit, label)
