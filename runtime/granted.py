"""What the board grants to this process: a core, real-time priority, locked memory; asked for only on request."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

PRIORITY = 80
MCL_CURRENT = 1  # not future memory: where the lock is limited, every later allocation would fail
POLICIES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}
POLICIES |= {os.SCHED_BATCH: "SCHED_BATCH", os.SCHED_IDLE: "SCHED_IDLE"}
GOVERNOR = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"


def ask(threads: int, paced: bool) -> dict[str, str]:
    """Ask for one core (for one thread) and for real-time priority; what was refused, with why.

    The priority is for steps on the audio clock: where steps are back to back, the kernel holds real-time tasks back
    for 50 ms of every second, which would be measured.
    """
    refused: dict[str, str] = {}
    if threads == 1:
        _try("affinity", refused, os.sched_setaffinity, 0, {max(os.sched_getaffinity(0))})
    if paced:
        _try("scheduling", refused, os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    else:
        refused["scheduling"] = "not asked for: the kernel throttles real-time tasks that never pause"
    return refused


def lock_memory(refused: dict[str, str]) -> None:
    """Ask that what the process has in memory now stays there."""
    _try("memory_lock", refused, _lock)


def _lock() -> None:
    if ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _try(what: str, refused: dict[str, str], function: Any, *arguments: Any) -> None:
    try:
        function(*arguments)
    except OSError as error:
        refused[what] = error.strerror or "refused"


def granted(refused: dict[str, str], system: str = "/") -> dict[str, Any]:
    """What this process has now: `affinity`, `scheduling`, `memory_lock`, `governor` (of its first core), `refused`."""
    cores, policy = sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0)
    name = POLICIES.get(policy & ~os.SCHED_RESET_ON_FORK, str(policy))
    priority = os.sched_getparam(0).sched_priority
    return {
        "affinity": cores,
        "scheduling": f"{name} {priority}" if priority else name,
        "memory_lock": _locked(),
        "governor": _read(Path(system) / GOVERNOR.format(cores[0])).strip(),
        "refused": refused,
    }


def _locked() -> bool:
    lines = _read(Path("/proc/self/status")).splitlines()
    return any(line.startswith("VmLck:") and line.split()[1] != "0" for line in lines)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
