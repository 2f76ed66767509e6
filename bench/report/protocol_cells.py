"""What was measured under a published protocol: the steps of each model at each block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...runtime.bundle import FP32
from ..terms import INSTRUCTIONS, PROTOCOLS, TORCH

if TYPE_CHECKING:
    from ..results.frames import Results


class Cell(NamedTuple):
    """One model at one block: the steps of all repeats, ns or instructions."""

    protocol: str
    board: str
    cpu: str
    kernel: str
    clock: str
    cores: int
    engine: str
    version: str
    model: str
    weights: str
    parameters: int
    block: int
    sample_rate: int
    threads: int
    peak_kb: int
    runs: tuple[np.ndarray, ...]

    @property
    def milliseconds(self) -> float:
        """The length of the block."""
        return 1000 * self.block / self.sample_rate

    @property
    def counted(self) -> bool:
        """Whether the steps are counts of instructions."""
        return self.clock == INSTRUCTIONS

    def mean_std(self, unit: float) -> tuple[float, float]:
        """Of all steps, in `unit` nanoseconds."""
        steps = np.concatenate(self.runs)
        return float(steps.mean()) / unit, float(steps.std(ddof=1)) / unit if steps.size > 1 else math.nan


def cells(results: Results) -> list[Cell]:
    """The newest measurement of each case that belongs to a protocol."""
    rows = results.pooled()
    ours = rows["case"][rows["protocol"].isin(PROTOCOLS)]
    return [
        _cell(results.entry(case), [results.samples(one)["step_ns"] for one in results.repeats(case)]) for case in ours
    ]


def _cell(entry: dict[str, Any], runs: Sequence[np.ndarray]) -> Cell:
    record, facts = entry["record"], entry["facts"]
    precision = entry["precision"]
    return Cell(
        **{key: entry[key] for key in ("protocol", "board", "clock", "engine", "weights", "sample_rate")},
        **{key: facts[key] for key in ("cpu", "kernel")},
        **{key: record["request"][key] for key in ("block", "threads")},
        cores=facts.get("cores", 0),
        version=record["torch" if entry["engine"] == TORCH else "onnxruntime"],
        model=record["model"] + (f" {precision}" if precision != FP32 else ""),
        parameters=sum(entry["parameters"].values()),
        peak_kb=record["memory"]["run"]["peak_kb"],
        runs=tuple(runs),
    )
