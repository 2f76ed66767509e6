"""The runtimes that a board reports, checked before they are used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from packaging.tags import Tag, parse_tag

from ..errors import AgentError, NoWheelError
from ..facts import check_facts
from ..ssh.connection import Connection
from ..text import printable
from .wheels import MACHINES, Pin, Platform

_MANY, _LONG = 100, 200  # wheels or tags; characters of a tag
_NAME = re.compile(r"[\w.+-]{1,200}")
_DEBIAN_WITH_RUNTIME = 13  # the first that has python3-onnxruntime, on 32-bit ARM too
_ARM32 = ("aarch64", "armv8l")  # a 64-bit kernel below a 32-bit system


@dataclass(frozen=True)
class Survey:
    """A board's facts, and what it has already; all names are below its root."""

    facts: dict[str, Any]
    threads: str
    """"t" where its Python is a free-threaded one."""
    distribution: tuple[str, str, str]
    """Its ID, version and name."""
    noexec: str
    """The mount point that keeps libraries from being loaded, or nothing."""
    runtimes: dict[str, dict[str, set[Tag]]]
    """By name, the wheels it was made of, such as numpy-2.4.6, each with its tags."""
    failed: dict[str, tuple[list[str], str]]
    """By name, the wheels of what does not run there, and why."""
    runners: list[str]
    system: str
    """What a runtime of the system's own packages is called; nothing where there are none, or wheels fit."""

    def installed(self, pin: Pin, platform: Platform) -> str | None:
        """The runtime of these versions that its Python can load, if it has one."""
        for name, wheels in self.runtimes.items():
            fit = [platform.best(tags) is not None for tags in wheels.values()]
            if sorted(wheels) == pin.wheels and all(fit) and name not in self.failed:
                return name
        return None

    def failure(self, pin: Pin) -> str | None:
        """Why these versions do not run there, if that is known."""
        return next((reason for wheels, reason in self.failed.values() if wheels == pin.wheels), None)


def read_survey(connection: Connection) -> Survey:
    """Ask a board, once.

    Raises:
        AgentError: what it says makes no sense.
    """
    said, _ = connection.ask("survey", machines=MACHINES)
    return check_survey(connection.name, said)


def check_survey(name: str, said: dict[str, Any]) -> Survey:
    """What the board `name` says, as `read_survey` gives it, or `AgentError`."""
    try:
        return Survey(
            facts=check_facts(name, said["facts"]),
            threads="t" if said["threads"] else "",
            distribution=_distribution(*said["distribution"]),
            noexec=printable(said["noexec"]),
            runtimes={_name(key): _wheels(wheels) for key, wheels in said["runtimes"].items()},
            failed={_name(key): _failure(failure) for key, failure in said["failed"].items()},
            runners=[_name(key) for key in said["runners"]],
            system=_name(said["system"]) if said["system"] else "",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentError(f"it sent an invalid list of runtimes: {error!r}", board=name) from error


def system_runtime(connection: Connection) -> str:
    """Let the board make a runtime of its system's own packages: its name, or nothing where there are none.

    Raises:
        AgentError: it has them, and they do not run; `kind` is "import".
    """
    said, _ = connection.ask("system_runtime")
    name = str(said.get("name", ""))
    if name and not _NAME.fullmatch(name):
        raise AgentError(f"it sent an invalid name of a runtime: {name[:80]!r}", board=connection.name)
    return name


def _name(text: object) -> str:
    if not _NAME.fullmatch(str(text)):
        raise ValueError(f"the name {text!r}")
    return str(text)


def _distribution(kind: object, version: object, name: object) -> tuple[str, str, str]:
    return printable(kind), printable(version), printable(name)


def _wheels(said: dict[str, list[str]]) -> dict[str, set[Tag]]:
    if len(said) > _MANY or any(len(tags) > _MANY or any(len(text) > _LONG for text in tags) for tags in said.values()):
        raise ValueError("more wheels or tags than there can be")
    return {str(wheel): {tag for text in tags for tag in parse_tag(text)} for wheel, tags in said.items()}


def _failure(said: dict[str, Any]) -> tuple[list[str], str]:
    return sorted(map(str, said["wheels"])), printable(said["reason"])


def platform_of(name: str, survey: Survey) -> Platform:
    """What wheels must fit on the board `name`.

    Raises:
        NoWheelError: there can be none.
        AgentError: its Python is none that ONNX Runtime runs on.
    """
    facts = survey.facts
    machine = facts["machine"]
    if facts["implementation"] != "cpython":
        raise AgentError(f"its python3 is {facts['implementation']}: ONNX Runtime needs CPython there", board=name)
    if facts["bits"] != 64:
        machine = "armv7l" if machine in _ARM32 else machine
        raise NoWheelError(f"ONNX Runtime has no wheels for 32-bit systems, and this one is {machine}")
    if facts["libc"] != "glibc":
        raise NoWheelError(f"ONNX Runtime has wheels for glibc only, and this board has {facts['libc'] or 'another'}")
    if machine not in MACHINES:
        raise NoWheelError(f"ONNX Runtime has wheels for {' and '.join(MACHINES)} only, and this board is {machine}")
    major, minor, _ = facts["python"]
    return Platform(machine, (major, minor), int(re.split(r"\D", facts["libc_version"])[1]), survey.threads)


def advice(survey: Survey) -> str:
    """How a board gets an ONNX Runtime that is no wheel."""
    kind, version, name = survey.distribution
    command = "sudo apt install python3-onnxruntime"
    if kind not in ("debian", "raspbian"):
        return (
            f"Debian {_DEBIAN_WITH_RUNTIME} has a package of it ({command}); see whether {name or 'its system'} has one"
        )
    if version.isdigit() and int(version) < _DEBIAN_WITH_RUNTIME:
        return (
            f"{name} has no package of it: install Debian {_DEBIAN_WITH_RUNTIME} or newer "
            f"(Raspberry Pi OS: trixie) on the board, then run there: {command}"
        )
    return f"install the system's package on the board: {command}"
