"""Whether a paced run was in time, and what keeps a block from being so: judged from step times alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .step_times import missed, steps_needed, summarise, ticks

ENOUGH = steps_needed(99.9)
BUFFERS = 2  # the block that is computed and the one that is played: the least a sound card has
TIGHT = 0.9  # of the budget: a median above it leaves nothing for what varies
COMPUTE, DISPATCH, JITTER = "compute", "dispatch", "jitter"


@dataclass(frozen=True)
class Verdict:
    """A paced run: whether every block was in time, and the figures, ns; NaN where `n` steps are too few."""

    in_time: bool
    n: int
    p50: float
    p99_9_high: float
    misses: int

    @property
    def is_proven(self) -> bool:
        """In time, of so many steps that p99.9 is known to be."""
        return self.in_time and self.n >= ENOUGH


def verdict(arrays: Mapping[str, np.ndarray], block: int, sample_rate: int, steps: int) -> Verdict:
    """Judge a paced run that was to have `steps` steps.

    It is in time when no block was missed, all steps were done, and the upper 95% bound of p99.9 is within the budget.
    Below 2 995 steps there is no such bound: nothing was missed, and no more is proven.
    """
    budget = 1e9 * block / sample_rate
    start, times = arrays["start_ns"], arrays["step_ns"]
    late = missed(start, times, ticks(times.size, block, sample_rate), budget, BUFFERS)
    row = summarise(times, budget, late)
    in_time = not row["misses"] and times.size >= steps and not row["p99.9_high"] > budget
    return Verdict(in_time, times.size, row["p50"], row["p99.9_high"], int(row["misses"]))


def fixed_cost(medians: Mapping[int, float]) -> float:
    """What a call costs whatever its block, by a line `a + b * block` through the median step times; NaN for one block.

    Weighted so that relative errors count: the medians of the smallest blocks tell most of it.
    """
    if len(medians) < 2:
        return math.nan
    blocks, times = (np.array(list(values), float) for values in (medians.keys(), medians.values()))
    _, fixed = np.polyfit(blocks, times, 1, w=1 / times)
    return max(0.0, float(fixed))


def limit(budget: float, median: float, fixed: float) -> str:
    """What keeps a block of this budget from being in time.

    `jitter`: the median leaves time to spare, it is the tail or late wake-ups. Else what the median is made of:
    `dispatch`, if what every call costs takes more than half of the budget, or `compute`.
    """
    if median <= TIGHT * budget:
        return JITTER
    return DISPATCH if fixed > budget / 2 else COMPUTE
