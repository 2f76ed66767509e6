"""The smallest block of a model that a board computes in time, by bisection, and what keeps it from a smaller one.

```
blocks                64     128     256     512    1024
burst, some steps     x      .       .       .       .       p50 above the budget: no need to pace it
paced, 60 s or 2995 steps    x       ok      .               each ends with its first miss
                             ^ fails, by measurement         the next larger one is the smallest
```
A larger block leaves more time for what each call costs and for a wake-up that is late: blocks above one that is in
time are taken to be in time, those below one that is not are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.bundle import Bundle
from ..results.columns import BURST, PACED
from ..stats.step_times import missed, steps_needed, summarise, ticks
from .cases import Case
from .plan import Plan, seconds_as_steps

# A proof lasts for both unless seconds are asked for: p99.9 takes so many steps, of large blocks more than a minute.
SECONDS = 60.0
ENOUGH = steps_needed(99.9)
BUFFERS = 2  # the block that is computed and the one that is played: the least a sound card has
# Enough for a median, and short: two seconds of audio, of large blocks some more.
PROBE_SECONDS, PROBE_LEAST, PROBE_MOST = 2, 30, 300
TIGHT = 0.9  # of the budget: a median above it leaves nothing for what varies
COMPUTE, DISPATCH, JITTER = "compute", "dispatch", "jitter"

Measure = Callable[[Case], Mapping[str, np.ndarray]]


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


@dataclass(frozen=True)
class Found:
    """What the search of one model on one board gave."""

    bundle: Bundle
    threads: int
    seconds: float | None
    """That were asked for; None: a minute, or as many steps as p99.9 needs if they last longer."""
    block: int | None
    """The smallest that is in time; None: none of the bundle's."""
    verdict: Verdict | None
    """Of `block`; without one of the largest, where that was paced at all."""
    fails: int | None
    """The largest block that is not in time; None: the bundle has no smaller one than `block`."""
    missed_after: float
    """Seconds of audio until `fails` missed its first block; NaN where its median alone rules it out."""
    limit: str
    """What keeps `fails` from being in time; empty where there is none."""


def verdict(arrays: Mapping[str, np.ndarray], block: int, sample_rate: int, steps: int) -> Verdict:
    """Judge a paced run that was to have `steps` steps.

    It is in time when no block was missed, all steps were done, and the upper 95 % bound of p99.9 is within the budget.
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


def first_that_fits(blocks: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The smallest of the sorted blocks that fits, by bisection; it and the one below it have been asked about."""
    low, high = -1, len(blocks)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(blocks[middle]) else (middle, high)
    return blocks[high] if high < len(blocks) else None


def find(bundle: Bundle, blocks: Sequence[int], threads: int, seconds: float | None, measure: Measure) -> Found:
    """Search the bundle's smallest block that is in time as long as `paced_case`; `measure` gives a case's arrays."""
    blocks = sorted(blocks)
    budgets = {block: 1e9 * block / bundle.sample_rate for block in blocks}
    medians = {block: float(np.median(measure(burst_case(bundle, block, threads))["step_ns"])) for block in blocks}
    paced: dict[int, Verdict] = {}

    def fits(block: int) -> bool:
        if medians[block] > budgets[block]:
            return False
        case = paced_case(bundle, block, threads, seconds)
        paced[block] = verdict(measure(case), block, bundle.sample_rate, case.steps)
        return paced[block].in_time

    block = first_that_fits(blocks, fits)
    fails = max((other for other in blocks if block is None or other < block), default=None)
    why = limit(budgets[fails], medians[fails], fixed_cost(medians)) if fails else ""
    missed_after = paced[fails].n * budgets[fails] / 1e9 if fails in paced else math.nan
    return Found(bundle, threads, seconds, block, paced.get(block or blocks[-1]), fails, missed_after, why)


def burst_case(bundle: Bundle, block: int, threads: int) -> Case:
    """A first look at a block."""
    steps = seconds_as_steps(PROBE_SECONDS, bundle.sample_rate, block)
    return Case(bundle, block, threads, min(max(steps, PROBE_LEAST), PROBE_MOST), BURST)


def paced_case(bundle: Bundle, block: int, threads: int, seconds: float | None) -> Case:
    """The proof of a block, which ends with the first miss: so many seconds, or a minute and enough steps for p99.9."""
    steps = seconds_as_steps(seconds or SECONDS, bundle.sample_rate, block)
    steps = steps if seconds else max(steps, ENOUGH)
    return Case(bundle, block, threads, steps, PACED, stop_after_misses=1)


def all_cases(plan: Plan, bundle: Bundle, threads: int) -> tuple[list[Case], list[Case]]:
    """What a search may measure: all its first looks, and as many of the largest proofs as a bisection may take."""
    blocks = sorted(plan.blocks or bundle.graphs)
    proofs = [paced_case(bundle, block, threads, plan.seconds) for block in blocks]
    return [burst_case(bundle, block, threads) for block in blocks], proofs[-(len(blocks).bit_length()) :]
