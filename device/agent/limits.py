"""What a process of this login may do, which no file says: tried, and put back at once."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Any

UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
TIMEX_BYTES = 512  # more than a struct timex takes anywhere


def limits() -> dict[str, Any]:
    """Scheduling, locked memory, libraries, the clock."""
    return {
        "uid": os.getuid(),
        "rtprio": resource.getrlimit(resource.RLIMIT_RTPRIO)[0],
        "memlock_bytes": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        "fifo": fifo(),
        "libstdcpp": loads("libstdc++.so.6"),
        "clock_synchronised": synchronised(),
    }


def fifo() -> str:
    """Whether the scheduling class for real time can be had: granted, refused, or missing in this Python."""
    if not hasattr(os, "sched_setscheduler"):
        return "missing"
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, before, parameters)
    except OSError:
        return "refused"
    return "granted"


def loads(library: str) -> bool:
    """Whether the loader finds the library: it alone knows where it looks."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def synchronised() -> bool | None:
    """Whether the kernel's clock follows a time server; asking changes nothing (modes = 0)."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    return None if state < 0 else state != UNSYNCHRONISED
