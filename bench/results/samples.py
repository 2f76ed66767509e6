"""A case's arrays: read from its .npz, and refused unless they fit together."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from ...runtime.clip import UNREADABLE, read_arrays
from ...runtime.measure import COUNTERS
from ...runtime.telemetry import COLUMNS as TELEMETRY
from ..errors import ResultsError

Arrays = dict[str, np.ndarray]

NEEDED = ("first_ns", "warmup_ns", "step_ns")
PER_STEP = ("step_ns", "start_ns", *COUNTERS)
SINGLE = ("first_ns", "origin_ns")
WHOLE = (*NEEDED, *PER_STEP, *SINGLE, "instructions", "gc_ns", "silent", "floor_before_ns", "floor_after_ns")
LARGEST = 1 << 60  # nanoseconds: 36 years; sums of a few stay below 2**63


def read_samples(source: Path | IO[bytes], name: str) -> Arrays:
    """The arrays that the runner wrote, whole numbers as they are stored; older runners have fewer of them.

    Args:
        source: the .npz.
        name: what it is called where it is no good.

    Raises:
        ResultsError: it can't be read, or its arrays are not what `runtime.measure` gives.
    """
    try:
        arrays = read_arrays(source)
        _check(arrays)
    except UNREADABLE as error:
        hint = "run the same sweep again to measure it anew"
        raise ResultsError(f"{name} is damaged or missing: {error!r}; {hint}") from error
    return arrays


def _check(arrays: Arrays) -> None:
    missing = [name for name in NEEDED if name not in arrays]
    if missing or not arrays["step_ns"].size:
        raise ValueError(f"no {missing[0]}" if missing else "no steps")
    steps = arrays["step_ns"].size
    for name in WHOLE:
        if name in arrays:
            _check_whole(name, arrays[name])
    counted = steps if "instructions" in arrays and arrays["instructions"].size else 0
    sizes = [*((name, steps) for name in PER_STEP), *((name, 1) for name in SINGLE), ("instructions", counted)]
    for name, size in sizes:
        if name in arrays and arrays[name].size != size:
            raise ValueError(f"{name} has {arrays[name].size} values, not {size}")
    if "start_ns" in arrays:
        _check_order(arrays["start_ns"], arrays["step_ns"])
    if "telemetry" in arrays:
        _check_telemetry(arrays["telemetry"])


def _check_whole(name: str, values: np.ndarray) -> None:
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"{name} is {values.dtype} of shape {values.shape}, not a row of whole numbers")
    if not values.size:
        return
    least = -LARGEST if name == "gc_ns" else 0  # garbage may be collected before the first step
    if values.min() < least or values.max() > LARGEST:
        raise ValueError(f"{name} is from {values.min()} to {values.max()}")


def _check_order(starts: np.ndarray, steps: np.ndarray) -> None:
    early = np.flatnonzero(starts[1:] < (starts + steps)[:-1])
    if early.size:
        raise ValueError(f"step {early[0] + 1} starts before the one before it has ended")


def _check_telemetry(values: np.ndarray) -> None:
    if values.dtype.kind != "f" or values.ndim != 2 or values.shape[1] != len(TELEMETRY):
        raise ValueError(f"telemetry is {values.dtype} of shape {values.shape}, not floats of (n, {len(TELEMETRY)})")
    times, throttled = values[:, 0], values[:, TELEMETRY.index("throttled")]
    if not np.isfinite(times).all() or np.any(np.diff(times) < 0) or np.any(np.abs(values) > LARGEST):
        raise ValueError("telemetry is not in order of time, or beyond measure")
    if np.any(throttled < 0) or np.any(throttled >= 1 << 32):
        raise ValueError("throttled are no bits")
