"""Statistics of step times, and only those that the sample supports.

The p-th percentile is bounded from above, with 95 % confidence and for any distribution, by the greatest of n
samples when `1 - p^n >= 0.95`: p99.9 needs 2 995 steps, p99 299, p50 five. Below that there is no number.
"""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.95
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


def steps_needed(percentile: float) -> int:
    """The smallest sample whose maximum bounds the percentile with 95 % confidence."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percentile / 100))


def percentile_name(percentile: float) -> str:
    """`p50`, `p99`, `p99.9`."""
    return f"p{percentile:g}"


def summarise(step_ns: np.ndarray, budget_ns: float) -> dict[str, float]:
    """Percentiles, mean, spread, maximum and misses of step times in nanoseconds; NaN where n is too small."""
    n = step_ns.size
    row = {
        percentile_name(p): float(np.percentile(step_ns, p)) if n >= steps_needed(p) else math.nan for p in PERCENTILES
    }
    misses = int(np.count_nonzero(step_ns > budget_ns))
    return {
        **row,
        "max": float(step_ns.max()),
        "mean": float(step_ns.mean()),
        "std": float(step_ns.std(ddof=1)) if n > 1 else math.nan,
        "misses": misses,
        "miss_rate_bound": min(1.0, 3 / n) if misses == 0 else math.nan,
    }
