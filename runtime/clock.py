"""The audio clock: sleep until an absolute time, as a sound card's interrupt would wake a player.

`time.sleep` takes a duration and is about 60 µs late; `clock_nanosleep` with `TIMER_ABSTIME` does not drift.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

CLOCK_MONOTONIC = 1  # that of time.perf_counter_ns
TIMER_ABSTIME = 1


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


_nanosleep = ctypes.CDLL(None).clock_nanosleep
_until = _Timespec()
_arguments = (CLOCK_MONOTONIC, TIMER_ABSTIME, ctypes.byref(_until), None)


def sleep_until(nanoseconds: int) -> None:
    """Sleep until that time of the monotonic clock; not at all if it has passed. For one thread only."""
    _until.seconds, _until.nanoseconds = divmod(nanoseconds, 1_000_000_000)
    while (error := _nanosleep(*_arguments)) == errno.EINTR:
        pass
    if error:
        raise OSError(error, os.strerror(error))


def ticks(block: int, sample_rate: int) -> Callable[[int], int]:
    """When tick i is, nanoseconds after tick 0: a function of i that does not add up rounding."""
    return lambda index: index * block * 1_000_000_000 // sample_rate
