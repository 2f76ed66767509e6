"""The facts that a board reports, checked before they are used: a board may be broken or hostile."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any

from .errors import AgentError
from .ssh.connection import Connection
from .text import printable

_VERSION = re.compile(r"\d{1,3}\.\d{1,3}[\w.]*")
_MACHINE = re.compile(r"[a-z0-9_]{1,32}")
_LONGEST = 4096  # characters of a text: a path's limit
_MOST = 1024  # of anything that a board has several of

Check = Callable[[Any], Any]


def read_facts(connection: Connection) -> dict[str, Any]:
    """The board's facts: texts are printable, counts are whole numbers, versions look like versions.

    Keys: `hostname`, `model` (of the device tree), `machine`, `bits` (of its Python), `cpu`, `cores`, `memory_kb` (if
    it is known), `kernel`, `libc` and `libc_version`, `python` (three numbers), `implementation`, `governor`,
    `free_bytes`, `root` (where we put things), `current` (the current release).

    Raises:
        AgentError: when they make no sense.
    """
    said, _ = connection.ask("facts")
    return check_facts(connection.name, said)


def examine(connection: Connection, system: str = "/") -> dict[str, Any]:
    """All that `read_facts` gives and what takes longer to find out, for a person and for the doctor.

    What the board does not know is not there. Beside the keys of `_EXAMINED`: `clock_off_seconds`, by how much at
    least its clock is ahead of ours (below 0: behind), the time that the answer took being unknown.

    Args:
        connection: the board.
        system: the folder there which has its /proc, /sys and /etc; another one replays a recorded board.

    Raises:
        AgentError: when they make no sense.
    """
    asked = time.time()
    said, _ = connection.ask("examine", system=system)
    return check_examined(connection.name, said, asked, time.time())


def read_temperature(connection: Connection, system: str = "/") -> float | None:
    """The temperature of the hottest sensor now, °C; None where there is none. Arguments and errors: see `examine`."""
    said, _ = connection.ask("temperatures", system=system)
    try:
        zones = _list(_ZONE)(said["temperatures"])
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense(connection.name, error) from error
    return max((zone["celsius"] for zone in zones), default=None)


def check_facts(name: str, said: dict[str, Any]) -> dict[str, Any]:
    """The facts of the board `name` as `read_facts` gives them, or `AgentError`."""
    try:
        facts = _record(_FACTS, {"memory_kb": _count})(said)
        facts["libc"], facts["libc_version"] = facts["libc"]
        if not _MACHINE.fullmatch(facts["machine"]) or len(facts["python"]) != 3 or facts["bits"] not in (32, 64):
            raise ValueError(f"machine {facts['machine']!r}, {facts['bits']} bits, Python {facts['python']}")
        if facts["libc"] == "glibc" and not _VERSION.fullmatch(facts["libc_version"]):
            raise ValueError(f"glibc {facts['libc_version']!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense(name, error) from error
    return facts


def check_examined(name: str, said: dict[str, Any], asked: float, answered: float) -> dict[str, Any]:
    """The facts as `examine` gives them, or `AgentError`; it was asked and had answered at these times of ours."""
    facts = check_facts(name, said)
    try:
        facts |= _record({}, _EXAMINED)(said)
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense(name, error) from error
    if "clock" in facts:
        facts["clock_off_seconds"] = max(facts["clock"] - answered, 0) + min(facts["clock"] - asked, 0)
    return facts


def _nonsense(name: str, error: Exception) -> AgentError:
    return AgentError(f"it sent invalid facts: {printable(repr(error))[:300]}", board=name)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise TypeError(f"not a text but {type(value).__name__}")
    return printable(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise TypeError(f"not a whole number from 0 but {type(value).__name__}")
    return value


def _limit(value: Any) -> int:
    """A count, or -1 for none."""
    return -1 if value == -1 else _count(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"not true or false but {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < 2**64 or not math.isfinite(value):
        raise TypeError(f"not a number but {type(value).__name__}")
    return float(value)


def _list(check: Check, least: int = 0, most: int = _MOST) -> Check:
    def checked(value: Any) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise TypeError(f"not a list of {least} to {most} items but {type(value).__name__}")
        return [check(item) for item in value]

    return checked


def _record(needed: dict[str, Check], optional: dict[str, Check]) -> Check:
    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise TypeError(f"not a record but {type(value).__name__}")
        found = {key: _named(key, check, value[key]) for key, check in needed.items()}
        return found | {key: _named(key, check, value[key]) for key, check in optional.items() if key in value}

    return checked


def _named(key: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except TypeError as error:
        raise TypeError(f"{key}: {error}") from error


_FACTS: dict[str, Check] = {
    **dict.fromkeys(("hostname", "model", "machine", "cpu", "kernel", "implementation"), _text),
    **dict.fromkeys(("governor", "root", "current"), _text),
    **dict.fromkeys(("bits", "cores", "free_bytes"), _count),
    "libc": _list(_text, 2, 2),
    "python": _list(_count, 3, 3),
}

_ZONE = _record({"name": _text, "celsius": _number}, {"limit_celsius": _number})
_EXAMINED: dict[str, Check] = {
    "compatible": _list(_text),  # the device tree's names of the board, the most exact first
    "product": _text,  # a PC's
    "bela": _flag,
    "sound": _list(_text),  # one line for each card
    "cpus": _list(_record({"part": _text, "revision": _text}, {}), 1),  # one for each core
    "features": _list(_text),
    "online": _text,  # cores, as `0-3`
    "policies": _list(
        _record(
            {"name": _text, "governor": _text},
            {
                "cores": _text,
                "governors": _list(_text),
                **dict.fromkeys(("now_khz", "minimum_khz", "maximum_khz"), _count),
            },
        ),
        1,
    ),
    "load": _list(_number, 3, 3),  # processes that wanted a core, of the last 1, 5 and 15 minutes
    "memory_available_kb": _count,
    "swaps": _list(_record({"device": _text, "total_kb": _count, "used_kb": _count}, {})),
    "os": _text,
    "kernel_version": _text,
    "preemption": _text,
    "uptime_seconds": _number,
    "total_bytes": _count,
    "writable": _flag,
    "filesystem": _text,
    "read_only": _flag,
    "noexec": _flag,
    "temperatures": _list(_ZONE, 1),
    "throttled": _count,  # the Raspberry Pi's bits
    "runtimes": _list(_record({"path": _text, "onnxruntime": _text}, {})),
    "system_onnxruntime": _text,
    "releases": _list(_text),
    "uid": _count,
    "rtprio": _limit,
    "memlock_bytes": _limit,
    "fifo": _text,  # granted, refused, missing
    "libstdcpp": _flag,
    "clock_synchronised": _flag,
    "clock": _number,
}
