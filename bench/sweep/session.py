"""A board made ready to measure: for this host alone, with its runtime, and with every bundle proven on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...device.errors import AgentError, BoardError, NoSpaceError
from ...device.session import Session, session
from ...device.ssh.connection import Connection
from ...runtime.bundle import Bundle
from ...runtime.progress import Progress
from ..output.console import say
from ..output.numbers import count
from ..results.store import SAMPLES
from .conditions import Conditions


@dataclass(frozen=True)
class ReadyBoard(Session):
    """A session under the conditions of a sweep; `refused` is why the board can't stream a bundle, by its digest."""

    conditions: Conditions = field(kw_only=True)
    refused: dict[str, AgentError] = field(default_factory=dict)


@contextlib.contextmanager
def ready_board(
    connection: Connection,
    what: tuple[str, str],
    bundles: Sequence[Bundle],
    threads: int,
    folder: Path,
    conditions: Conditions,
    progress: Progress,
) -> Iterator[ReadyBoard]:
    """Hold the board for as long as the block lasts, with all `bundles` installed there and tried out.

    Args:
        connection: to the board.
        what: what it is held for, and a token, as `device.session` wants them.
        bundles: what is measured.
        threads: the fewest that a case wants; `without_cores` tells which are too many.
        folder: of the results: what can't be written is known before it is measured.
        conditions: under which it is measured.
        progress: called with what is being done and how far it is.

    Raises:
        BoardError: it has fewer cores than `threads`.
        NoSpaceError, UnreachableError, WheelError, AgentError: it can't be made ready.
    """
    with session(connection, what[0], progress, token=what[1], bundles=bundles) as found:
        cores = found.site.facts["cores"]
        if threads > cores:
            raise BoardError(
                f"it has {count(cores, 'core')}: {threads} threads would only measure waiting", board=connection.name
            )
        (folder / SAMPLES).mkdir(parents=True, exist_ok=True)
        there = ReadyBoard(connection, found.site, found.held, conditions=conditions)
        there.install(bundles, progress)
        _prove(there, bundles, progress)
        with conditions.tuned(connection):
            yield there


def _prove(there: ReadyBoard, bundles: Sequence[Bundle], progress: Progress) -> None:
    for bundle in bundles:
        try:
            there.prove(bundle, progress)
        except NoSpaceError:
            raise
        except AgentError as error:
            check_there(there.connection)
            there.refused[bundle.digest] = error


def without_cores(name: str, threads: Iterable[int], cores: int) -> set[int]:
    """Those of `threads` for which the board has no cores, told in a line: they would measure nothing but waiting."""
    many = sorted({count for count in threads if count > cores})
    if many:
        say(f"{name} has {count(cores, 'core')}: {', '.join(map(str, many))} threads are left out")
    return {*many}


def check_there(connection: Connection) -> None:
    """`UnreachableError` from a board that is going down: it ends its processes first, and no case is to blame."""
    connection.ask("facts")
