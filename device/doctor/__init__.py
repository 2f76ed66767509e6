"""What will spoil a measurement on a board or a deploy to it, judged by the board's facts; each with the fix.

Nothing is asked of a board here: `doctor(examine(connection))`. What a rule needs and the board did not say is never
counted as fine, but listed by `unchecked`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import AgentError
from . import machine, system
from .finding import PROBLEM, Finding

Facts = dict[str, Any]


@dataclass(frozen=True)
class _Rule:
    about: str
    known: Callable[[Facts], bool]
    judge: Callable[[Facts], Finding | None]


def _has(*keys: str) -> Callable[[Facts], bool]:
    return lambda facts: all(key in facts for key in keys)


_RULES = (
    _Rule("64-bit system", _has("bits"), system.bits),
    _Rule("C library", _has("libc"), system.libc),
    _Rule("Python version", _has("python"), system.python),
    _Rule("C++ library", _has("libstdcpp"), system.library),
    _Rule("ONNX Runtime versions known to crash", _has("cpus", "runtimes"), system.known_bad),
    _Rule("free disk space", _has("free_bytes", "runtimes"), system.disk),
    _Rule("permission to write", _has("writable"), system.writable),
    _Rule("permission to load libraries", _has("noexec"), system.executable),
    _Rule("clock", _has("clock_off_seconds"), system.clock),
    _Rule("time server", _has("clock_synchronised"), system.synchronised),
    _Rule("governor", _has("policies"), machine.governor),
    _Rule("under-voltage", _has("throttled"), machine.under_voltage),
    _Rule("throttling", _has("throttled"), machine.throttling),
    _Rule("temperature", machine.knows_limit, machine.heat),
    _Rule("swap", _has("swaps"), machine.swap),
    _Rule("other processes", _has("load"), machine.load),
    _Rule("real-time priority", _has("fifo"), system.realtime),
    _Rule("locked memory", _has("memlock_bytes", "uid"), system.locking),
    _Rule("sound card", _has("sound"), machine.sound),
)


def doctor(facts: Facts) -> list[Finding]:
    """What is wrong with the board of these facts (`tonearm.device.facts.examine`), problems before remarks."""
    findings = [rule.judge(facts) for rule in _RULES if rule.known(facts)]
    return sorted((found for found in findings if found), key=lambda found: found.severity != PROBLEM)


def unchecked(facts: Facts) -> list[str]:
    """What could not be judged, because the board does not say it."""
    return [rule.about for rule in _RULES if not rule.known(facts)]


def python_too_old(error: AgentError) -> Finding:
    """For a board whose Python is so old that it says nothing but this."""
    return Finding(
        PROBLEM,
        str(error),
        "Tonearm needs a newer Python, and ONNX Runtime has no wheels for this one",
        "sudo apt full-upgrade   # or write a current system image: Debian 11 and newer have Python 3.9",
    )
