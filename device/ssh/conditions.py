"""Which blocks of the SSH client's configuration count: `Host` and `Match`, with the criteria of OpenSSH up to 10.

A criterion that is not known here, or can't be found out, is never true, nor is its opposite.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import BoardError
from .configfile import Line
from .patterns import fits, is_host_listed, is_listed

EXEC_SECONDS = 10
_PASSES = ("canonical", "final")
_HOSTS = ("host", "originalhost")
_MAY_BE_EMPTY = ("tagged", "command")
_LOCAL_IPV4 = re.compile(r"\|-- ([0-9.]+)\n +/32 host LOCAL")  # in /proc/net/fib_trie


def fitting_pattern(line: Line, host: str) -> str:
    """The first pattern of a `Host` line that is about `host`; nothing where there is none, or it is excluded."""
    patterns = line.words or ()
    if any(fits(host, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return ""
    return next((pattern for pattern in patterns if not pattern.startswith("!") and fits(host, pattern)), "")


def asks_for_another_pass(line: Line) -> bool:
    """Whether a `Match` line has a criterion that is decided once all files are read."""
    return any(word.removeprefix("!").lower() == "final" for word in line.words or ())


def match_holds(line: Line, facts: Mapping[str, str], final: bool, run: Callable[[str], bool | None]) -> bool:
    """Whether a `Match` line is true.

    Args:
        line: it.
        facts: what criteria compare with patterns, by the criteria's names.
        final: whether all files have been read once.
        run: starts what `exec` says and tells whether it succeeded, or None where that can't be known.
    """
    words, holds, count = list(line.words or ()), True, 0
    while words:
        word = words.pop(0)
        negated = word.startswith("!")
        name, equals, value = word.removeprefix("!").partition("=")
        name = name.lower()
        if name == "all":  # alone, or after one other
            return holds and not negated and count < 2 and not words
        count += 1
        if name in _PASSES:
            truth = final
        else:
            if not value and not (equals and name in _MAY_BE_EMPTY):
                value = _argument(words)
            truth = _truth(name, value, facts, run if holds else lambda command: False)
        if truth is None:
            return False
        holds = holds and truth != negated
    return holds and count > 0


def _argument(words: list[str]) -> str | None:
    """The next word, with or without a `=` before it; None where there is none."""
    word = words.pop(0) if words else None
    if word and word.startswith("="):
        return word[1:] or (words.pop(0) if words else None)
    return word


def _truth(name: str, value: str | None, facts: Mapping[str, str], run: Callable[[str], bool | None]) -> bool | None:
    """Whether one criterion is true; None where that is not known."""
    if value is None or (not value and name not in _MAY_BE_EMPTY):
        return None
    if name in facts:
        empty = name in _MAY_BE_EMPTY and not facts[name]
        return not value if empty else (is_host_listed if name in _HOSTS else is_listed)(facts[name], value)
    if name == "exec":
        return run(value)
    if name == "localnetwork":
        return _is_in_network(value)
    return _is_version(value) if name == "version" else None


def run_command(command: str, where: str) -> bool:
    """Whether a command of the person's succeeds, in the person's shell, unseen; raises where it does not end."""
    shell, nothing = os.environ.get("SHELL") or "/bin/sh", subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            [shell, "-c", command], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
    except (OSError, ValueError) as error:
        raise BoardError(f"{where}: the command of `Match exec` can't be started: {error}") from error
    try:
        return process.wait(EXEC_SECONDS) == 0
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise BoardError(f"{where}: the command of `Match exec` does not end within {EXEC_SECONDS} s") from error


def _is_in_network(networks: str) -> bool | None:
    try:
        wanted = [ipaddress.ip_network(network) for network in networks.split(",")]
        mine = _addresses()
    except (ValueError, OSError):
        return None
    return any(address in network for address in mine for network in wanted)


def _addresses() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Those of this machine, as Linux tells them."""
    found = re.findall(_LOCAL_IPV4, Path("/proc/net/fib_trie").read_text())
    table = Path("/proc/net/if_inet6")  # not there where IPv6 is switched off
    rows = table.read_text().split("\n") if table.exists() else []
    six = [ipaddress.IPv6Address(int(row.split()[0], 16)) for row in rows if row]
    return [*map(ipaddress.IPv4Address, sorted(set(found))), *six]


def _is_version(patterns: str) -> bool | None:
    """Whether the ssh of this machine is of that version."""
    return is_listed(_version(), patterns) if _version() else None


@functools.cache
def _version() -> str:
    """`OpenSSH_9.2p1 Debian-2`; nothing where there is no ssh."""
    try:
        said = subprocess.run(["ssh", "-V"], capture_output=True, timeout=EXEC_SECONDS, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.decode(errors="replace").split(",")[0].strip()
