"""Instructions of this process, counted by the processor where the kernel lets us (perf_event_open)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable

SYSCALL = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "arm": 364, "i686": 336}
# What a 32-bit Python on a 64-bit kernel is.
NARROW = {"x86_64": "i686", "aarch64": "arm", "armv8l": "arm", "armv7l": "arm", "armv6l": "arm"}
HARDWARE, INSTRUCTIONS = 0, 1
INHERIT, EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
CLOSE_ON_EXEC = 1 << 3
REASONS = {
    errno.ENOENT: "the processor has no usable instruction counter",
    errno.EACCES: "the kernel allows it to root only: kernel.perf_event_paranoid",
    errno.EPERM: "the kernel allows it to root only: kernel.perf_event_paranoid",
    errno.ENOSYS: "the kernel has no perf_event_open",
}


class _Attributes(ctypes.Structure):
    """`perf_event_attr`, its first version."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("breakpoint_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
    ]


def count_instructions() -> tuple[Callable[[], int] | None, str]:
    """A function that says how many user instructions this process has retired, its later threads included.

    Returns:
        The function and `granted`, or None and why not.
    """
    machine = platform.machine()
    if ctypes.sizeof(ctypes.c_void_p) == 4:
        machine = NARROW.get(machine, machine)
    if machine not in SYSCALL:
        return None, f"the system call is not known on {machine}"
    flags = INHERIT | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR
    attributes = _Attributes(type=HARDWARE, size=ctypes.sizeof(_Attributes), config=INSTRUCTIONS, flags=flags)
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    fd = syscall(SYSCALL[machine], ctypes.byref(attributes), 0, -1, -1, ctypes.c_ulong(CLOSE_ON_EXEC))
    if fd < 0:
        return None, REASONS.get(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return lambda: int.from_bytes(os.read(fd, 8), "little"), "granted"
