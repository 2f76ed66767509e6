"""A case as its board recorded it: what the columns of its row are made of."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...runtime.telemetry import COLUMNS as TELEMETRY
from ..errors import ResultsError
from ..stats.step_times import lateness, missed, steps_needed, summarise, ticks, xruns
from ..terms import BUFFERS, BURST, INSTRUCTIONS, ONNXRUNTIME, PACED
from .fields import number, text, whole
from .samples import Arrays


@contextlib.contextmanager
def refusing(case: dict[str, Any]) -> Iterator[None]:
    """`ResultsError` where the block finds that the case lacks something, or has it in another form."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ResultsError(f"case {case.get('id')} is no result: {error!r}") from error


class Measured:
    """A case as recorded, and the steps of one run of it, or of several together; columns are made of it.

    Its properties raise whatever they meet where the case is of another form: see `refusing`.
    """

    def __init__(self, case: dict[str, Any], runs: Sequence[Arrays]) -> None:
        """The line of the newest run, and the samples of all, the newest last."""
        self.case, self.runs, self.samples = case, runs, runs[-1]
        self.record, self.request, self.facts = case["record"], case["record"]["request"], case["facts"]
        self.engine = text(case.get("engine", ONNXRUNTIME))
        self.block, self.rate = whole(self.request["block"]), whole(case["sample_rate"])
        self.budget = 1e9 * self.block / self.rate

    @property
    def is_counted(self) -> bool:
        """Whether its steps are counts of instructions, which meet or miss no deadline."""
        return self.case["clock"] == INSTRUCTIONS

    @property
    def is_paced(self) -> bool:
        """Whether its steps were on the audio clock."""
        return self.request.get("mode", BURST) == PACED

    @cached_property
    def granted(self) -> dict[str, Any]:
        """What the board granted, once the texts are texts that reports show and no column holds."""
        granted = self.record.get("granted", {})
        for said in (
            self.record.get("torch", ""),
            granted.get("instructions", ""),
            *granted.get("refused", {}).values(),
        ):
            text(said)
        return granted

    @cached_property
    def summary(self) -> dict[str, float]:
        """`stats.summarise` of all steps."""
        costs = np.concatenate([step_costs(self.case, run) for run in self.runs])
        return summarise(costs, self.budget, self._missed if self.is_paced else None)

    def load(self, name: str) -> float:
        """A figure of `summary` as a share of real time; NaN of a count of instructions."""
        return math.nan if self.is_counted else self.summary[name] / self.budget

    def timed(self, name: str) -> float:
        """A figure of `summary` that only time has: NaN of a count of instructions."""
        return math.nan if self.is_counted else float(self.summary[name])

    @cached_property
    def _clocked(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """When each step of each run started, how long it took, and its tick."""
        sizes = [(run["start_ns"], run["step_ns"]) for run in self.runs]
        return [(start, step, ticks(step.size, self.block, self.rate)) for start, step in sizes]

    @cached_property
    def _missed(self) -> np.ndarray:
        return np.concatenate([missed(*run, self.budget, BUFFERS[0]) for run in self._clocked])

    @cached_property
    def _late(self) -> np.ndarray:
        return np.concatenate([lateness(*run) for run in self._clocked])

    def xruns(self, buffers: int) -> float:
        """Blocks that a sound card of so many buffers would have replaced by silence; NaN but on the audio clock."""
        if self.is_counted or not self.is_paced:
            return math.nan
        return float(sum(xruns(*run, self.budget, buffers) for run in self._clocked))

    def late(self, percentile: float) -> float:
        """A percentile of how late steps started, ns, 100 for the maximum; NaN but on the audio clock."""
        if self.is_counted or not self.is_paced:
            return math.nan
        return float(self._late.max()) if percentile == 100 else _percentile(self._late, percentile)

    @property
    def instructions(self) -> float:
        """The median of the instructions a step; NaN where they were not counted in every run."""
        counted = [run.get("instructions", np.empty(0, np.int64)) for run in self.runs]
        return _percentile(np.concatenate(counted), 50) if all(map(np.size, counted)) else math.nan

    def counted(self, name: str) -> float:
        """The sum of a counter over the newest run's steps; NaN where it was not read."""
        return float(self.samples[name].sum(dtype=np.int64)) if name in self.samples else math.nan

    @cached_property
    def before(self) -> dict[str, np.ndarray]:
        """The first look of telemetry, column -> values."""
        return dict(zip(TELEMETRY, self._telemetry[:1].T, strict=True))

    @cached_property
    def looks(self) -> dict[str, np.ndarray]:
        """What telemetry saw during the timed steps, column -> values; all there is if they were over between looks."""
        every, samples = self._telemetry, self.samples
        end = samples["start_ns"][-1] if "start_ns" in samples else samples["step_ns"].sum()
        during = every[(every[:, 0] >= 0) & (every[:, 0] <= end)]
        return dict(zip(TELEMETRY, (during if len(during) > 1 else every).T, strict=True))

    @property
    def _telemetry(self) -> np.ndarray:
        return self.samples.get("telemetry", np.empty((0, len(TELEMETRY))))

    def pressure(self, name: str) -> float:
        """The share of the time in which a task waited for it, 0 to 1."""
        looks = self.looks["t_ns"], self.looks[f"pressure_{name}_us"]
        return float(share(*(values[[0, -1]] for values in looks))[1]) if looks[0].size else math.nan

    @property
    def floors(self) -> list[np.ndarray]:
        """Times of empty steps, before and after, where they were measured."""
        names = ("floor_before_ns", "floor_after_ns")
        return [self.samples[name] for name in names if name in self.samples and self.samples[name].size]

    def private_kb(self, stage: str) -> float:
        """Private memory after a stage, kB; NaN where it was not looked at."""
        weighed = {name: number(one["private_kb"]) for name, one in self.record["memory"].items()}
        return weighed["run"] if stage == "run" else weighed.get(stage, math.nan)

    def seconds(self, what: str) -> float:
        """How long something took before the steps, ns; NaN where it is not known."""
        return number(self.record["seconds"].get(what)) * 1e9

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Numbers in each part of the model."""
        return {part: whole(count) for part, count in self.case["parameters"].items()}


def step_costs(case: dict[str, Any], run: Arrays) -> np.ndarray:
    """What each step cost: its time; on a virtual board the instructions of the process, where they were counted.

    Its clock counts the kernel's own, too, whose ticks fall into other steps each time.
    """
    counted = run.get("instructions", np.empty(0, np.int64))
    return counted if case["clock"] == INSTRUCTIONS and counted.size else run["step_ns"]


def _percentile(values: np.ndarray, percentile: float) -> float:
    """Without its bounds, for which all would have to be sorted."""
    return float(np.percentile(values, percentile)) if values.size >= steps_needed(percentile) else math.nan


def lateness_of(case: dict[str, Any], samples: Arrays) -> np.ndarray | None:
    """By how much each step started later than it could have, int64 nanoseconds; None where steps are back to back."""
    request = case["record"]["request"]
    if request.get("mode") != PACED:
        return None
    tick = ticks(samples["step_ns"].size, request["block"], case["sample_rate"])
    return lateness(samples["start_ns"], samples["step_ns"], tick)


def share(t_ns: np.ndarray, waited_us: np.ndarray) -> np.ndarray:
    """How much of the time since the sample before was waited, 0 to 1; NaN in the first sample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.diff(waited_us, prepend=math.nan) * 1e3 / np.diff(t_ns, prepend=math.nan)
    return np.where(np.isfinite(found), found, math.nan)
