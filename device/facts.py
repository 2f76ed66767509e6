"""The facts that a board reports, checked before they are used: a board may be broken or hostile."""

from __future__ import annotations

import re
import time
from typing import Any

from .answers import Check, count, flag, limit, list_of, nonsense, number, record, text
from .ssh.connection import Connection

_VERSION = re.compile(r"\d{1,3}\.\d{1,3}[\w.]*")
_MACHINE = re.compile(r"[a-z0-9_]{1,32}")


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
        zones = list_of(_ZONE)(said["temperatures"])
    except (KeyError, TypeError, ValueError) as error:
        raise nonsense(connection.name, "invalid facts", error) from error
    return max((zone["celsius"] for zone in zones), default=None)


def check_facts(name: str, said: dict[str, Any]) -> dict[str, Any]:
    """The facts of the board `name` as `read_facts` gives them, or `AgentError`."""
    try:
        facts = record(_FACTS, {"memory_kb": count})(said)
        facts["libc"], facts["libc_version"] = facts["libc"]
        if not _MACHINE.fullmatch(facts["machine"]) or len(facts["python"]) != 3 or facts["bits"] not in (32, 64):
            raise ValueError(f"machine {facts['machine']!r}, {facts['bits']} bits, Python {facts['python']}")
        if facts["libc"] == "glibc" and not _VERSION.fullmatch(facts["libc_version"]):
            raise ValueError(f"glibc {facts['libc_version']!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise nonsense(name, "invalid facts", error) from error
    return facts


def check_examined(name: str, said: dict[str, Any], asked: float, answered: float) -> dict[str, Any]:
    """The facts as `examine` gives them, or `AgentError`; it was asked and had answered at these times of ours."""
    facts = check_facts(name, said)
    try:
        facts |= record({}, _EXAMINED)(said)
    except (KeyError, TypeError, ValueError) as error:
        raise nonsense(name, "invalid facts", error) from error
    if "clock" in facts:
        facts["clock_off_seconds"] = max(facts["clock"] - answered, 0) + min(facts["clock"] - asked, 0)
    return facts


_FACTS: dict[str, Check] = {
    **dict.fromkeys(("hostname", "model", "machine", "cpu", "kernel", "implementation"), text),
    **dict.fromkeys(("governor", "root", "current"), text),
    **dict.fromkeys(("bits", "cores", "free_bytes"), count),
    "libc": list_of(text, 2, 2),
    "python": list_of(count, 3, 3),
}

_ZONE = record({"name": text, "celsius": number}, {"limit_celsius": number})
_EXAMINED: dict[str, Check] = {
    "compatible": list_of(text),  # the device tree's names of the board, the most exact first
    "product": text,  # a PC's
    "bela": flag,
    "sound": list_of(text),  # one line for each card
    "cpus": list_of(record({"part": text, "revision": text}, {}), 1),  # one for each core
    "features": list_of(text),
    "online": text,  # cores, as `0-3`
    "policies": list_of(
        record(
            {"name": text, "governor": text},
            {
                "cores": text,
                "governors": list_of(text),
                **dict.fromkeys(("now_khz", "minimum_khz", "maximum_khz"), count),
            },
        ),
        1,
    ),
    "load": list_of(number, 3, 3),  # processes that wanted a core, of the last 1, 5 and 15 minutes
    "memory_available_kb": count,
    "swaps": list_of(record({"device": text, "total_kb": count, "used_kb": count}, {})),
    "os": text,
    "kernel_version": text,
    "preemption": text,
    "uptime_seconds": number,
    "total_bytes": count,
    "writable": flag,
    "filesystem": text,
    "read_only": flag,
    "noexec": flag,
    "temperatures": list_of(_ZONE, 1),
    "throttled": count,  # the Raspberry Pi's bits
    "runtimes": list_of(record({"path": text, "onnxruntime": text}, {})),
    "system_onnxruntime": text,
    "releases": list_of(text),
    "uid": count,
    "rtprio": limit,
    "memlock_bytes": limit,
    "fifo": text,  # granted, refused, missing
    "libstdcpp": flag,
    "clock_synchronised": flag,
    "clock": number,
}
