"""Statistics of step times, and only those that the sample supports.

A percentile comes with bounds that hold for any distribution: the number of n independent samples below the p-th
percentile is binomial, so that two of the ordered samples enclose it with 95% confidence each. The greatest sample is
a bound from above when `1 - p^n >= 0.95`: p99.9 needs 2 995 steps, p99 299, p50 five. Below that there is no number.
Steps of one run are not quite independent (frequency, temperature, the clip), which only repeats can show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)

RESAMPLES = 1000
RESAMPLED_STEPS = 5000  # of each resample at most: a longer run makes the interval narrower, not the work longer
REPEATS = 3  # from so many on, the difference between runs is seen in the runs


class Ratio(NamedTuple):
    """A ratio and its 95% interval, NaN where the data support none."""

    value: float
    low: float
    high: float


def steps_needed(percentile: float) -> int:
    """The smallest sample whose maximum bounds the percentile with 95% confidence."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percentile / 100))


def percentile_name(percentile: float) -> str:
    """`p50`, `p99`, `p99.9`."""
    return f"p{percentile:g}"


def summarise(step_ns: np.ndarray, budget_ns: float, miss: np.ndarray | None = None) -> dict[str, float]:
    """Percentiles with their bounds, maximum, mean, spread and misses of step times; NaN where n is too small.

    `miss` `(n,)` tells which steps ended too late (`missed`); without it, those longer than `budget_ns`. Keys: `p50`,
    `p50_low`, `p50_high` ... `p99.9_high`, `max`, `mean`, `std`, `misses`, `miss_rate`, `miss_rate_high`.
    """
    n = step_ns.size
    misses = int(np.count_nonzero(step_ns > budget_ns if miss is None else miss))
    return {
        **percentiles(step_ns),
        "max": float(step_ns.max()) if n else math.nan,
        "mean": float(step_ns.mean()) if n else math.nan,
        "std": float(step_ns.std(ddof=1)) if n > 1 else math.nan,
        "misses": misses,
        "miss_rate": misses / n if n else math.nan,
        "miss_rate_high": rate_high(misses, n),
    }


def percentiles(values: np.ndarray) -> dict[str, float]:
    """`p50`, `p50_low`, `p50_high` ... `p99.9_high`: each bound is one-sided, 95%.

    The value and the upper bound are NaN below `steps_needed`; the lower one needs fewer.
    """
    n, ordered = values.size, np.sort(values)
    found, row = np.percentile(ordered, PERCENTILES) if n else [math.nan] * len(PERCENTILES), {}
    for p, value in zip(PERCENTILES, found, strict=True):
        name, (below, above) = percentile_name(p), bounding_ranks(n, p)
        row[name] = float(value) if above <= n else math.nan
        row[f"{name}_low"] = float(ordered[below - 1]) if below > 0 else math.nan
        row[f"{name}_high"] = float(ordered[above - 1]) if above <= n else math.nan
    return row


def bounding_ranks(n: int, percentile: float) -> tuple[int, int]:
    """Ranks from 1 of the ordered samples that bound the percentile from below and above; 0, n + 1 for "none"."""
    if not n:
        return 0, 1
    below = _binomial_quantile(1 - CONFIDENCE, n, percentile / 100)
    return below, _binomial_quantile(CONFIDENCE, n, percentile / 100) + 1


def _binomial_quantile(probability: float, n: int, p: float) -> int:
    """The least k with `P(B <= k) >= probability`."""
    from scipy import special  # a third of a second, which commands without statistics need not wait

    guess = max(0, math.ceil(special.bdtrik(probability, n, p)))
    return guess - 1 if guess > 0 and special.bdtr(guess - 1, n, p) >= probability else guess


def rate_high(events: int, n: int) -> float:
    """The one-sided 95% upper bound of a rate after `events` in `n` (Clopper and Pearson): about 3 / n after none."""
    if not n or events == n:
        return 1.0 if n else math.nan
    from scipy import special

    return float(special.betaincinv(events + 1, n - events, CONFIDENCE))


def ticks(n: int, block: int, sample_rate: int) -> np.ndarray:
    """When each of n blocks may start, int64 nanoseconds since the first: `i * block / sample_rate`, rounded down.

    Whole seconds apart from the rest, as the product would pass 2**63 within hours.
    """
    seconds, samples = np.divmod(np.arange(n, dtype=np.int64) * block, sample_rate)
    return seconds * 10**9 + samples * 10**9 // sample_rate


def lateness(start_ns: np.ndarray, step_ns: np.ndarray, tick_ns: np.ndarray) -> np.ndarray:
    """How long after it could have each step started: after its tick, or after the step before if that was later."""
    ready = tick_ns.copy()
    ready[1:] = np.maximum(tick_ns[1:], (start_ns + step_ns)[:-1])
    return start_ns - ready


def missed(
    start_ns: np.ndarray, step_ns: np.ndarray, tick_ns: np.ndarray, period_ns: float, buffers: int
) -> np.ndarray:
    """Which blocks a sound card of `buffers` buffers would not have had in time, bool.

    ```
    tick         i         i+1        i+2      the card plays the other k - 1 buffers meanwhile:
    step         [==== i ====]                 with 2, block i is due at tick i+1 and missed here; with 3, in time
    ```
    """
    n = tick_ns.size
    last = np.arange(n) + buffers - 1  # the tick at which it is due; beyond the run, ticks go on at the period
    due = tick_ns[np.minimum(last, n - 1)] + period_ns * np.maximum(0, last - (n - 1))
    return start_ns + step_ns > due


def xruns(start_ns: np.ndarray, step_ns: np.ndarray, tick_ns: np.ndarray, period_ns: float, buffers: int) -> int:
    """How many blocks a sound card of `buffers` buffers would have replaced by silence."""
    return int(np.count_nonzero(missed(start_ns, step_ns, tick_ns, period_ns, buffers)))


def compare_cases(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Ratio:
    """How much longer a step of case b takes than one of case a: `median b / median a`, with its 95% interval.

    `a` and `b` are the step times of each repeat, `(steps,)`. From three repeats of both on, the interval is that of
    `repeat_ratio`. Below, it is one of steps, which can't know how much runs differ, and none below five common steps:

    Moving-block bootstrap: both play the same clip, so that step i of one is paired with step i of the other, and
    stretches of sqrt(n) steps are drawn whole, as neighbours are alike. Of a run of n > 5 000 steps each resample
    holds 5 000, drawn from the whole run, and its deviations shrink by sqrt(5 000 / n); the ratio is that of all steps.
    """
    if min(len(a), len(b)) >= REPEATS:
        return repeat_ratio(a, b)
    if not a or not b:
        return Ratio(math.nan, math.nan, math.nan)
    pairs = [_same_steps(x, y) for x, y in zip(a, b, strict=False)]
    first, second = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return _around(_median_ratio(np.concatenate(a), np.concatenate(b)), *_step_deviations(first, second))


def repeat_ratio(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Ratio:
    """The geometric mean of the ratios of medians, repeat by repeat, with a 95% interval over repeats.

    A bootstrap of few values is too narrow: its deviations are widened by `t / z * sqrt(n / (n - 1))`, which makes it
    the t interval where ratios are normal (Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 3).
    """
    ratios = np.array([_median_ratio(x, y) for x, y in zip(a, b, strict=False)])
    n = ratios.size
    if n < 2 or not np.all(ratios > 0):
        return Ratio(float(np.exp(np.log(ratios).mean())) if n and np.all(ratios > 0) else math.nan, math.nan, math.nan)
    from scipy import special

    logs = np.log(ratios)
    drawn = np.random.default_rng(0).integers(0, n, (10 * RESAMPLES, n))
    deviations = logs[drawn].mean(1) - logs.mean()
    tail = (1 + CONFIDENCE) / 2
    widen = special.stdtrit(n - 1, tail) / special.ndtri(tail) * math.sqrt(n / (n - 1))
    return _around(float(np.exp(logs.mean())), deviations, widen)


def _same_steps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = min(a.size, b.size)
    return a[:n], b[:n]


def _median_ratio(a: np.ndarray, b: np.ndarray) -> float:
    if not a.size or not b.size or not np.median(a):
        return math.nan
    return float(np.median(b) / np.median(a))


def _step_deviations(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """How far the resamples' log ratios are from that of all steps, and the factor that brings them to n steps."""
    n = a.size
    if n < steps_needed(50) or np.median(a) <= 0 or np.median(b) <= 0:
        return np.full(1, math.nan), 1.0
    size = min(n, RESAMPLED_STEPS)
    length = max(1, math.isqrt(size))
    starts = np.random.default_rng(0).integers(0, n, (RESAMPLES, -(-size // length), 1))
    drawn = ((starts + np.arange(length)) % n).reshape(RESAMPLES, -1)[:, :size]
    logs = [np.log(np.median(x[drawn], axis=1, overwrite_input=True) / np.median(x)) for x in (a, b)]
    return logs[1] - logs[0], math.sqrt(size / n)


def _around(value: float, deviations: np.ndarray, factor: float) -> Ratio:
    """The interval that these deviations of the logarithm, times a factor, leave around a ratio."""
    tails = np.quantile(deviations, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = value * np.exp(factor * tails)
    return Ratio(value, float(low), float(high))


def noise(repeats: Sequence[np.ndarray]) -> float:
    """How much the median of a case varies by itself, as a share of it.

    With two repeats or more the range of their medians. With one, half the width of the interval of its median: on a
    clock that counts instructions that is how steps of the clip differ, which repeats exactly and is no noise.
    """
    medians = [float(np.median(steps)) for steps in repeats if steps.size]
    if len(medians) > 1:
        return (max(medians) - min(medians)) / float(np.median(medians))
    row = percentiles(repeats[0]) if repeats else {}
    return (row["p50_high"] - row["p50_low"]) / 2 / row["p50"] if row else math.nan
