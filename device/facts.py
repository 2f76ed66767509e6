"""What a board says of itself, checked before anything is built on it: a board may be broken or hostile."""

from __future__ import annotations

import re
from typing import Any

from .errors import AgentError
from .ssh import Connection

_VERSION = re.compile(r"\d{1,3}\.\d{1,3}[\w.]*")
_MACHINE = re.compile(r"[a-z0-9_]{1,32}")
_TEXTS = ("hostname", "model", "machine", "cpu", "kernel", "implementation", "governor", "root", "current")
_COUNTS = ("bits", "cores", "memory_kb", "free_bytes")


def read_facts(connection: Connection) -> dict[str, Any]:
    """The board's facts: texts are printable, counts are whole numbers, versions look like versions.

    Keys: `hostname`, `model` (of the device tree), `machine`, `bits`, `cpu`, `cores`, `memory_kb`, `kernel`,
    `libc` and `libc_version`, `python` (three numbers), `implementation`, `governor`, `free_bytes`, `root`
    (where we put things), `current` (the current release).

    Raises:
        AgentError: when they make no sense.
    """
    said, _ = connection.ask("facts")
    return check_facts(connection.name, said)


def check_facts(name: str, said: dict[str, Any]) -> dict[str, Any]:
    """What the board `name` says of itself, as `read_facts` gives it, or `AgentError`."""
    try:
        facts: dict[str, Any] = {key: printable(said[key]) for key in _TEXTS}
        facts |= {key: int(said[key]) for key in _COUNTS}
        libc, version = said["libc"]
        facts |= {"libc": printable(libc), "libc_version": printable(version)}
        facts["python"] = [int(number) for number in said["python"]]
        if not _MACHINE.fullmatch(facts["machine"]) or len(facts["python"]) != 3:
            raise ValueError(f"machine {facts['machine']!r}, Python {facts['python']}")
        if libc == "glibc" and not _VERSION.fullmatch(version):
            raise ValueError(f"glibc {version!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise AgentError(f"{name}: what it says of itself makes no sense: {error!r}") from error
    return facts


def printable(text: object) -> str:
    """A text whose every character can be shown: what a board says must not move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))
