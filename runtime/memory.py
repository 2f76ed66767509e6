"""Memory of this process, as the kernel sees it, and no more of it than the board has.

`VmHWM` from `/proc/self/status`, never `ru_maxrss`: that one is inherited, and a child of a 600 MB parent
shows 618 MB instead of 8.
"""

from __future__ import annotations

import resource
from pathlib import Path


def memory() -> dict[str, int]:
    """`peak_kb`, `resident_kb` and `private_kb` (what would be free again if the process ended)."""
    status = _table("/proc/self/status")
    rollup = _table("/proc/self/smaps_rollup")
    return {
        "peak_kb": status.get("VmHWM", 0),
        "resident_kb": status.get("VmRSS", 0),
        "private_kb": rollup.get("Private_Clean", 0) + rollup.get("Private_Dirty", 0),
    }


def limit_memory() -> None:
    """From now on this process gets no more than the board has free: what wants more fails, nothing else is killed.

    A graph says what it needs only as it runs; the limit is on data, for what is mapped from files costs nothing.
    """
    board = _table("/proc/meminfo")
    free = 1024 * (board.get("MemAvailable", 0) + board.get("SwapFree", 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if free and (soft == resource.RLIM_INFINITY or free < soft):
        resource.setrlimit(resource.RLIMIT_DATA, (free, hard))


def _table(path: str) -> dict[str, int]:
    """The lines `Name:   123 kB` of a file in /proc."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines)
    return {row[0].rstrip(":"): int(row[1]) for row in fields if len(row) == 3 and row[2] == "kB"}
