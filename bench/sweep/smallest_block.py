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
from ..stats.verdict import ENOUGH, Verdict, fixed_cost, limit, verdict
from ..terms import BURST, PACED
from .cases import Case
from .plan import Plan, seconds_as_steps

# A proof lasts for both unless seconds are asked for: p99.9 takes so many steps, of large blocks more than a minute.
SECONDS = 60.0
# Enough for a median, and short: two seconds of audio, of large blocks some more.
PROBE_SECONDS, PROBE_LEAST, PROBE_MOST = 2, 30, 300

Measure = Callable[[Case], Mapping[str, np.ndarray]]


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
