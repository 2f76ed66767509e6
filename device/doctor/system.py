"""The doctor's rules about the system: can a runtime be installed, does it start, is the clock right.

Each takes checked facts that hold what the rule needs (see `doctor`), and gives a finding or nothing.
"""

from __future__ import annotations

from typing import Any

from ..kinds import could_have_64_bits, is_arm, kernel_bits
from .finding import PROBLEM, REMARK, Finding

RUNTIME_MB = 160  # wheels of NumPy and ONNX Runtime, and the same unpacked, while both are there
RELEASE_MB = 20  # the largest model here, once
CLOCK_SECONDS = 60
YEAR = 365 * 86400
MEMLOCK_MB = 96  # a teacher peaks at 81 MB
OLD_PYTHON = {(3, 9): "1.19.2", (3, 10): "1.23.2"}  # the newest ONNX Runtime that has wheels for it

# github.com/microsoft/onnxruntime/issues/23957 (Raspberry Pi 4), synaptics-synap/examples/issues/14 (SL1680)
KNOWN_BAD = {("1.21.0", "Cortex-A72"), ("1.21.0", "Cortex-A73")}


def bits(facts: dict[str, Any]) -> Finding | None:
    """ONNX Runtime has no 32-bit wheels."""
    if facts["bits"] == 64:
        return None
    kernel, debian = kernel_bits(facts), facts.get("system_onnxruntime")
    system = f"a 32-bit system{' under a 64-bit kernel' if kernel == 64 else ''} ({facts['machine']})"
    if debian:
        return Finding(REMARK, f"{system} with Debian's ONNX Runtime {debian}", "ONNX Runtime has no wheels for it", "")
    why = "ONNX Runtime has no wheels for 32-bit systems"
    if could_have_64_bits(facts):
        return Finding(PROBLEM, f"{system} on a 64-bit processor", why, "write a 64-bit system image to its card")
    if is_arm(facts):
        return Finding(PROBLEM, system, f"{why}; Debian 13 has it", "sudo apt install python3-onnxruntime")
    return Finding(PROBLEM, system, why, "use another board")


def libc(facts: dict[str, Any]) -> Finding | None:
    """ONNX Runtime has wheels for glibc only."""
    if facts["libc"] == "glibc":
        return None
    return Finding(
        PROBLEM,
        f"the C library is {facts['libc'] or 'not glibc'}",
        "ONNX Runtime has wheels for glibc only",
        "write an image with glibc to its card: Debian, Raspberry Pi OS, Ubuntu",
    )


def python(facts: dict[str, Any]) -> Finding | None:
    """An old Python gets an old ONNX Runtime."""
    newest = OLD_PYTHON.get(tuple(facts["python"][:2]))
    if newest is None:
        return None
    version = ".".join(map(str, facts["python"]))
    why = f"ONNX Runtime {newest} is the newest with wheels for it: don't compare it with boards that run another"
    return Finding(REMARK, f"its Python is {version}", why, "sudo apt full-upgrade   # or a newer system image")


def library(facts: dict[str, Any]) -> Finding | None:
    """NumPy's and ONNX Runtime's wheels need the C++ library and do not bring it."""
    if facts["libstdcpp"]:
        return None
    why = "ONNX Runtime does not start without it"
    return Finding(PROBLEM, "the C++ library (libstdc++.so.6) is missing", why, "sudo apt install libstdc++6")


def known_bad(facts: dict[str, Any]) -> Finding | None:
    """A wheel that dies of an instruction that this processor does not have."""
    parts = {core["part"] for core in facts["cpus"]}
    for runtime in facts["runtimes"]:
        hit = sorted(part for part in parts if (runtime["onnxruntime"], part) in KNOWN_BAD)
        if hit:
            return Finding(
                PROBLEM,
                f"{runtime['path']} has ONNX Runtime {runtime['onnxruntime']}, which does not run on a {hit[0]}",
                "it crashes with an illegal instruction when it is imported",
                f"rm -r {facts['root']}/{runtime['path']}   # the next deploy installs another",
            )
    return None


def disk(facts: dict[str, Any]) -> Finding | None:
    """Room for a runtime, or where one is, for a release."""
    needed = RELEASE_MB if facts["runtimes"] else RUNTIME_MB
    if facts["free_bytes"] >= needed * 1e6:
        return None
    return Finding(
        PROBLEM,
        f"{facts['free_bytes'] / 1e6:.0f} MB are free below {facts['root']}",
        f"{'a release' if facts['runtimes'] else 'the runtime'} takes up to {needed} MB while it is installed",
        "sudo apt clean; df -h; sudo du -xh / | sort -h | tail   # and remove what is not needed",
    )


def writable(facts: dict[str, Any]) -> Finding | None:
    """Where we install must be written to."""
    root, why = facts["root"], "nothing can be installed there"
    if facts.get("read_only"):
        return Finding(PROBLEM, f"{root} is on a file system mounted read-only", why, _remount("rw"))
    if not facts["writable"]:
        fix = f'sudo mkdir -p {root} && sudo chown "$USER" {root}'
        return Finding(PROBLEM, f"this user may not write to {root}", why, fix)
    return None


def executable(facts: dict[str, Any]) -> Finding | None:
    """Where we install, programs must be allowed to run."""
    if not facts["noexec"]:
        return None
    why = "ONNX Runtime's library can't be loaded from there"
    return Finding(PROBLEM, f"{facts['root']} is on a file system mounted noexec", why, _remount("exec"))


def _remount(option: str) -> str:
    return f'sudo mount -o remount,{option} "$(findmnt -no TARGET -T ~)"   # and its line in /etc/fstab'


def clock(facts: dict[str, Any]) -> Finding | None:
    """A clock that is off by more than a minute."""
    off = facts["clock_off_seconds"]
    if abs(off) <= CLOCK_SECONDS:
        return None
    years, days = abs(off) / YEAR, abs(off) / 86400
    much = f"{years:.1f} years" if years >= 1 else f"{days:.1f} days" if days >= 1 else f"{abs(off):.0f} s"
    return Finding(
        PROBLEM,
        f"its clock is {much} {'ahead of' if off > 0 else 'behind'} this machine's",
        "logs and results get wrong dates, downloads (TLS) fail, and newer files look older",
        "sudo timedatectl set-ntp true   # or without internet: sudo date -u -s 'YYYY-MM-DD HH:MM:SS'",
    )


def synchronised(facts: dict[str, Any]) -> Finding | None:
    """Nothing corrects the clock."""
    if facts["clock_synchronised"]:
        return None
    why = "it drifts, and a board without a clock battery starts with an old date"
    return Finding(REMARK, "its clock is not set by a time server", why, "sudo timedatectl set-ntp true")


def realtime(facts: dict[str, Any]) -> Finding | None:
    """SCHED_FIFO keeps other processes from a step on the audio clock."""
    if facts["fifo"] == "granted":
        return None
    why = "any other process may delay a step that has a deadline"
    if facts["fifo"] == "missing":
        what = f"this Python ({facts['implementation']}) can't ask for a real-time priority (SCHED_FIFO)"
        return Finding(PROBLEM, what, why, "sudo apt install python3   # the distribution's own can")
    limit = f", the limit rtprio is {facts['rtprio']}" if "rtprio" in facts else ""
    return Finding(PROBLEM, f"this user gets no real-time priority (SCHED_FIFO){limit}", why, _limits("rtprio 95"))


def locking(facts: dict[str, Any]) -> Finding | None:
    """Memory that is not locked can be swapped out."""
    limit = facts["memlock_bytes"]
    if facts["uid"] == 0 or limit == -1 or limit >= MEMLOCK_MB * 1e6:
        return None
    what = f"this user may lock {limit / 1e6:.1f} MB of memory (the limit memlock)"
    why = f"a model needs up to {MEMLOCK_MB} MB; what is not locked can be swapped out"
    return Finding(REMARK, what, why, _limits("memlock unlimited"))


def _limits(words: str) -> str:
    return f'echo "$USER - {words}" | sudo tee -a /etc/security/limits.d/tonearm.conf   # then log in again'
