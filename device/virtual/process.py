"""QEMU's processes of a machine: found by what they were started with, as a file with a number may be stale."""

import contextlib
import os
import signal
from itertools import pairwise
from pathlib import Path

PID_FILE = "pid"


def processes(folder: Path) -> list[int]:
    """Those of the machine in `folder`, which run as this user; no other program is ever among them."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_of(int(name), folder)]  # noqa: PTH208


def is_running(folder: Path) -> bool:
    """Whether the machine in `folder` runs."""
    with contextlib.suppress(OSError, ValueError):
        if _is_of(int((folder / PID_FILE).read_text()), folder):  # looked at first: it is quick
            return True
    return bool(processes(folder))


def send(folder: Path, number: signal.Signals) -> None:
    """Signal the machine; never one that has taken over a process id meanwhile."""
    for process in processes(folder):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process)
            try:
                if _is_of(process, folder):
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)


def _is_of(process: int, folder: Path) -> bool:
    try:
        is_ours = Path(f"/proc/{process}").stat().st_uid == os.geteuid()
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    started = (b"-pidfile", str(folder / PID_FILE).encode())
    is_qemu = os.path.basename(words[0]).startswith(b"qemu-system-")  # noqa: PTH119
    return is_ours and is_qemu and started in pairwise(words)
