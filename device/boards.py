"""Boards by name: the two built-in ones, those of boards.toml, and the hosts of ~/.ssh/config."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..runtime.progress import Progress, unwatched
from .boardsfile import boards_file, jump_of, read_boards, target_of
from .descriptor import BUILT_IN, LOOPBACK, VIRTUAL, descriptor
from .errors import UnknownBoardError
from .loopback import loopback_folder, serve
from .ssh.config import find_way, is_host
from .ssh.connection import Connection
from .ssh.endpoint import Endpoint
from .ssh.tokens import at_home
from .virtual import start


def find_endpoint(name: str) -> Endpoint:
    """Where a real board is: boards.toml first, completed by ~/.ssh/config; else a host of ~/.ssh/config."""
    boards = read_boards()
    if name not in boards and not is_host(name):
        known = ", ".join([*BUILT_IN, *boards])
        raise UnknownBoardError(
            f"unknown board {name!r}: the boards are {known}. To add one: tonearm board add {name} [USER@]HOST[:PORT], "
            f'or write [{name}] and host = "..." to {boards_file()}'
        )
    return endpoint_of(boards.get(name, {"host": name}))


def endpoint_of(entry: dict[str, Any], names: bool = True) -> Endpoint:
    """Where the board of an entry of boards.toml is; with `names` false, without looking anything up in the network."""
    found = find_way(target_of(entry), jump_of(entry), names)
    return replace(found, key_file=Path(at_home(entry["key"]))) if "key" in entry else found


@contextlib.contextmanager
def board(name: str, progress: Progress = unwatched) -> Iterator[Connection]:
    """A connection to the board of that name, for as long as the block lasts; built-in ones are started on demand."""
    if name == LOOPBACK:
        with serve(loopback_folder()) as endpoint, Connection(name, endpoint) as connection:
            yield connection
        return
    kind = descriptor(name)
    endpoint = start.start(name, progress) if kind.is_startable else find_endpoint(name)
    progress(f"connect to {name}", 0, 0)
    with Connection(name, endpoint, silence=kind.silence) as connection:
        yield connection


def check_name(name: str) -> None:
    """`UnknownBoardError` unless there is a board of that name."""
    if not descriptor(name).is_built_in:
        find_endpoint(name)


def default_board(say: Callable[[str], None]) -> str:
    """The virtual board where this machine can run it, else the loopback board; `say` is called with the reason."""
    reason = start.obstacle()
    if reason:
        say(f"no virtual board on this machine, so the loopback board is used: {reason}")
    return LOOPBACK if reason else VIRTUAL


def check_startable(name: str) -> None:
    """`UnknownBoardError` unless the board is one that can be started and stopped from here."""
    if not descriptor(name).is_startable:
        raise UnknownBoardError(
            f"{name!r} can't be started or stopped from here: only virtual boards can (virtual, virtual-2)"
        )
