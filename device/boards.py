"""Boards by name: the two built-in ones, those of boards.toml, and the hosts of ~/.ssh/config."""

from __future__ import annotations

import contextlib
import fnmatch
import getpass
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import platformdirs

from . import machine
from .endpoint import Endpoint
from .errors import UnknownBoardError
from .loopback import loopback_folder, serve
from .provision import Progress
from .ssh import SILENCE_SECONDS, Connection

LOOPBACK = "loopback"
VIRTUAL = "virtual"
VIRTUAL_SILENCE_SECONDS = 300  # its seconds are as long as its instructions take
_OPTIONAL = {"user": str, "port": int, "key": str}


def boards_file() -> Path:
    """The file a person edits: `[name]` with `host`, and perhaps `user`, `port`, `key`."""
    return platformdirs.user_config_path("tonearm") / "boards.toml"


def is_virtual(name: str) -> bool:
    """Whether a board's clock counts instructions: `virtual`, and any `virtual-...` beside it."""
    return name == VIRTUAL or name.startswith(f"{VIRTUAL}-")


def read_boards() -> dict[str, dict[str, Any]]:
    """The boards of boards.toml; `UnknownBoardError` when the file makes no sense."""
    path = boards_file()
    try:
        boards = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UnknownBoardError(f'{path}: {error}; a board is written as [name] and host = "..."') from error
    for name, entry in boards.items():
        if name == LOOPBACK or is_virtual(name):
            raise UnknownBoardError(f"{path}: [{name}] is the name of a built-in board; call yours something else")
        if not isinstance(entry, dict) or not isinstance(entry.get("host"), str):
            raise UnknownBoardError(f'{path}: [{name}] needs host = "..."')
        unknown = sorted(set(entry) - {"host", *_OPTIONAL})
        if unknown:
            raise UnknownBoardError(f"{path}: [{name}] has {unknown[0]}; a board has host, {', '.join(_OPTIONAL)}")
        wrong = [key for key, kind in _OPTIONAL.items() if key in entry and type(entry[key]) is not kind]
        if wrong:
            raise UnknownBoardError(f"{path}: [{name}] has a {wrong[0]} that is not {_OPTIONAL[wrong[0]].__name__}")
    return boards


def find_endpoint(name: str) -> Endpoint:
    """Where a real board is: boards.toml first, completed by ~/.ssh/config; else a host of ~/.ssh/config."""
    boards = read_boards()
    config = _ssh_config()
    entry = boards.get(name, {})
    if not entry and not _is_host(name):
        known = ", ".join([LOOPBACK, VIRTUAL, *boards])
        raise UnknownBoardError(
            f"unknown board {name!r}: the boards are {known}. To add one, write to {boards_file()}: "
            f'[{name}] and host = "..." (and user = "...")'
        )
    host = str(entry.get("host", name))
    found = config.lookup(host)
    offered = [Path(key).expanduser() for key in found.get("identityfile", [])]
    key = entry.get("key") or next((path for path in offered if path.is_file()), None)
    return Endpoint(
        host=found.get("hostname", host),
        port=int(entry.get("port") or found.get("port", 22)),
        user=entry.get("user") or found.get("user") or getpass.getuser(),
        key_file=Path(key).expanduser() if key else None,
        host_key=None,
    )


def _ssh_config_text() -> str:
    path = Path("~/.ssh/config").expanduser()
    return path.read_text(errors="replace") if path.is_file() else ""


def _ssh_config() -> paramiko.SSHConfig:
    try:
        return paramiko.SSHConfig.from_text(_ssh_config_text())
    except paramiko.ConfigParseError as error:
        raise UnknownBoardError(f"~/.ssh/config makes no sense: {error}") from error


def _is_host(name: str) -> bool:
    """Whether a `Host` line of ~/.ssh/config is about that name, apart from the one for all hosts."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in _host_patterns() - {"*"})


def _host_patterns() -> set[str]:
    lines = [line.replace("=", " ", 1).split() for line in _ssh_config_text().splitlines()]
    return {word for line in lines if line and line[0].lower() == "host" for word in line[1:]}


def ssh_hosts() -> list[str]:
    """The hosts that ~/.ssh/config names, patterns apart."""
    return sorted(pattern for pattern in _host_patterns() if not set(pattern) & set("*?!"))


@contextlib.contextmanager
def board(name: str, progress: Progress = lambda text, done, total: None) -> Iterator[Connection]:
    """A connection to the board of that name, for as long as the block lasts; built-in ones are started on demand."""
    if name == LOOPBACK:
        with serve(loopback_folder()) as endpoint, Connection(name, endpoint) as connection:
            yield connection
        return
    endpoint = machine.start(name, progress) if is_virtual(name) else find_endpoint(name)
    progress(f"connect to {name}", 0, 0)
    silence = VIRTUAL_SILENCE_SECONDS if is_virtual(name) else SILENCE_SECONDS
    with Connection(name, endpoint, silence=silence) as connection:
        yield connection


def check_name(name: str) -> None:
    """`UnknownBoardError` unless there is a board of that name."""
    if name != LOOPBACK and not is_virtual(name):
        find_endpoint(name)


def check_virtual(name: str) -> None:
    """`UnknownBoardError` unless the board is one that can be started and stopped from here."""
    if not is_virtual(name):
        raise UnknownBoardError(
            f"{name!r} is not started or stopped from here; only virtual boards are (virtual, virtual-2)"
        )
