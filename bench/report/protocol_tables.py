"""What was measured under a published protocol, in the layout of the published tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from ..output.numbers import count, digits, mean_std, thousands
from ..output.tables import Bold, Table
from ..stats.step_times import REPEATS, compare_cases
from ..terms import DDX7, ONNXRUNTIME, PAPER, PAPER_THREADS, TORCH
from .protocol_cells import Cell

PUBLISHED = (
    (256, "0.079 (0.005)", "0.231 (0.0124)"),
    (128, "0.158 (0.011)", Bold("0.466 (0.0229)")),
    (64, "0.343 (0.039)", "1.04 (0.192)"),
    (32, Bold("0.637 (0.042)"), "1.88 (0.111)"),
    (16, "1.31 (0.169)", "3.71 (0.188)"),
    (8, "2.51 (0.161)", "7.39 (0.32)"),
    (4, "5.01 (0.215)", "15.2 (1.19)"),
)
CONDITIONS = {
    DDX7: (
        "rt_factor = time to compute / length of the audio: mean and (std) of {n} renders of each length, on 1 thread; "
        "bold: the smallest latency whose mean is below 1. Here each render continues from the states of the one "
        "before, and a warm-up comes first."
    ),
    PAPER: (
        "Mean and (std) of {n} calls. Unlike in the published harness, states are carried from buffer to buffer, the "
        "weights are those named below, the warm-up is apart, and memory is the process's peak, not bytes of weights."
    ),
}
COUNTED = "virtual board: its clock counts instructions (M = million), not time, so there is no real-time factor."
GAIN = "PyTorch: the same model uncompiled, on this machine. Gain: ratio of the medians and its 95% interval."
FEW_RUNS = f" It comes from fewer than {REPEATS} runs, so run-to-run variation is not included."


def tables(measured: Sequence[Cell]) -> list[Table]:
    """The tables of each protocol and board; another kernel or ONNX Runtime is another board."""
    made, measured = [], _told_apart(measured)
    ours = [cell for cell in measured if cell.engine == ONNXRUNTIME]
    for key, part in _grouped(ours, lambda cell: (cell.protocol, *_board(cell), cell.version)):
        beside = [cell for cell in measured if cell.engine == TORCH and (cell.protocol, *_board(cell)) == key[:-1]]
        made += (_ddx7 if key[0] == DDX7 else _paper)(part, beside)
    return made


def _told_apart(measured: Sequence[Cell]) -> list[Cell]:
    """Two weights of one model are two models."""
    weights = {cell.model: {other.weights for other in measured if other.model == cell.model} for cell in measured}
    return [
        cell._replace(model=f"{cell.model}, {cell.weights}") if len(weights[cell.model]) > 1 else cell
        for cell in measured
    ]


def _board(cell: Cell) -> tuple[str, str, str, str]:
    return cell.board, cell.cpu, cell.kernel, cell.clock


def _grouped(values: Iterable[Cell], key: Any) -> list[tuple[Any, list[Cell]]]:
    return [(found, list(group)) for found, group in groupby(sorted(values, key=key), key)]


def _models(part: Sequence[Cell]) -> list[tuple[str, str]]:
    """Name and heading of each model, the one with most parameters first."""
    sizes = {cell.model: cell.parameters for cell in part}
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return [(model, f"{model} ({thousands(parameters)})") for model, parameters in ordered]


def _ddx7(part: Sequence[Cell], beside: Sequence[Cell]) -> list[Table]:
    """The page's table of this board, that of PyTorch beside it, and the page's own."""
    first, models = part[0], _models(part)
    columns = {model: {cell.milliseconds: cell for cell in part if cell.model == model} for model, _ in models}
    rows = _rows(part, [_column(column) for column in columns.values()])
    notes = [COUNTED if first.counted else CONDITIONS[DDX7].format(n=_calls(part)), *_not_real_time(part, models)]
    notes += _weights(part)
    title = f"The DDX7 page's protocol on {_where(first)}: " + (
        "M instructions a render" if first.counted else "rt_factor, mean (std)"
    )
    made = [Table(title, ["latency ms", *(heading for _, heading in models)], rows, notes)]
    if beside:
        made.append(_ddx7_beside(part, beside))
    if not first.counted:
        title = (
            "For reference, published and not measured here: DDX7 page (Caspe et al., 2022), PyTorch, laptop i7-6700HQ"
        )
        published = [[str(latency), *texts] for latency, *texts in PUBLISHED]
        made.append(Table(title, ["latency ms", "DDX7 (400k)", "HpN baseline (4.5M)"], published, []))
    return made


def _ddx7_beside(part: Sequence[Cell], beside: Sequence[Cell]) -> Table:
    headings, columns = ["latency ms"], []
    for model, heading in _models(beside):
        theirs = {cell.milliseconds: cell for cell in beside if cell.model == model}
        ours = {cell.milliseconds: cell for cell in part if cell.model == model}
        headings += [heading, "gain"]
        columns += [_column(theirs), {key: gain(ours[key], theirs[key]) for key in theirs if key in ours}]
    title = f"The same models in {_engine(beside[0])}, on {beside[0].board}"
    return Table(title, headings, _rows(beside, columns), [_about_gain(beside)])


def _column(column: dict[float, Cell]) -> dict[float, str]:
    """A model's cells by latency, the smallest one in real time bold; on a virtual board counts."""
    unit = {latency: 1e6 if cell.counted else 1e6 * latency for latency, cell in column.items()}
    found = {latency: cell.mean_std(unit[latency]) for latency, cell in column.items()}
    texts = {latency: mean_std(*values) for latency, values in found.items()}
    real_time = [latency for latency in found if found[latency][0] < 1 and not column[latency].counted]
    if real_time:
        texts[min(real_time)] = Bold(texts[min(real_time)])
    return texts


def _rows(part: Sequence[Cell], columns: Sequence[dict[float, str]]) -> list[list[str]]:
    latencies = sorted({cell.milliseconds for cell in part}, reverse=True)
    return [[f"{latency:g}", *(column.get(latency, "") for column in columns)] for latency in latencies]


def _not_real_time(part: Sequence[Cell], models: Sequence[tuple[str, str]]) -> list[str]:
    in_time = {cell.model for cell in part if cell.counted or cell.mean_std(1e6 * cell.milliseconds)[0] < 1}
    return [f"{model} is not in real time at any of these latencies." for model, _ in models if model not in in_time]


def _paper(part: Sequence[Cell], beside: Sequence[Cell]) -> list[Table]:
    """A table for each model: buffers and threads, PyTorch beside."""
    made = []
    for model, heading in _models(part):
        ours = sorted((cell for cell in part if cell.model == model), key=lambda cell: (cell.threads, cell.block))
        theirs = {(cell.threads, cell.block): cell for cell in beside if cell.model == model}
        made.append(_paper_model(heading, ours, theirs))
    return made


def _paper_model(heading: str, ours: Sequence[Cell], theirs: dict[tuple[int, int], Cell]) -> Table:
    first, other = ours[0], next(iter(theirs.values()), None)
    headings = ["threads", "buffer samples", *(["M instructions"] if first.counted else ["ms", "RTF"]), "peak MiB"]
    headings += ["PyTorch ms", "PyTorch RTF", "PyTorch peak MiB", "gain"] if other else []
    rows = []
    for cell in ours:
        there = theirs.get((cell.threads, cell.block))
        extra = ["", "", "", ""] if other else []
        extra = [*_cost(there), gain(cell, there)] if there else extra
        rows.append([str(cell.threads), str(cell.block), *_cost(cell), *extra])
    title = f"The paper's harness, {heading}, on {_where(first)}" + (f", beside {_engine(other)}" if other else "")
    notes = [*([COUNTED] if first.counted else []), CONDITIONS[PAPER].format(n=_calls(ours)), *_left_out(ours)]
    return Table(
        title, headings, rows, [*notes, *_weights(ours), *([_about_gain(list(theirs.values()))] if other else [])]
    )


def _cost(cell: Cell) -> list[str]:
    """Time, its share of real time (not on a virtual board), and peak memory."""
    cost = [mean_std(*cell.mean_std(1e6))]
    cost += [] if cell.counted else [digits(cell.mean_std(1e6 * cell.milliseconds)[0])]
    return [*cost, f"{cell.peak_kb / 1024:.1f}"]


def _weights(part: Sequence[Cell]) -> list[str]:
    return sorted({f"{cell.model}: {cell.weights}" for cell in part})


def _left_out(part: Sequence[Cell]) -> list[str]:
    left = [str(threads) for threads in PAPER_THREADS if threads > part[0].cores > 0]
    return (
        [f"{part[0].board} has {count(part[0].cores, 'core')}, so {', '.join(left)} threads are left out."]
        if left
        else []
    )


def _where(cell: Cell) -> str:
    return f"{cell.board}: {cell.cpu}, Linux {cell.kernel}, {_engine(cell)}"


def _engine(cell: Cell) -> str:
    return f"eager PyTorch {cell.version}" if cell.engine == TORCH else f"ONNX Runtime {cell.version}"


def _calls(part: Sequence[Cell]) -> str:
    counts = sorted({sum(map(len, cell.runs)) for cell in part})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _about_gain(beside: Sequence[Cell]) -> str:
    return GAIN + (FEW_RUNS if min(len(cell.runs) for cell in beside) < REPEATS else "")


def gain(ours: Cell, theirs: Cell) -> str:
    """How many times longer the other one takes: the ratio and its interval."""
    value, low, high = compare_cases(ours.runs, theirs.runs)
    return f"{digits(value)}x" + (f" [{digits(low)}, {digits(high)}]" if math.isfinite(low) else "")
