"""A board made ready to measure: ours alone, with its runtime, and with every bundle proven on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...device.errors import AgentError, BoardError, NoSpaceError
from ...device.releases import Release, install, release_path
from ...device.runtimes.provision import Site, prepare
from ...device.ssh.connection import Connection
from ...device.turn import Turn, turn
from ...runtime.bundle import Bundle
from ..deploy import ensure_proven
from ..output.console import Report, say
from ..results.store import SAMPLES
from .conditions import Conditions


@dataclass(frozen=True)
class Visit:
    """A board that is ours: the connection, what is installed there, and under which conditions it is measured."""

    connection: Connection
    site: Site
    held: Turn
    conditions: Conditions
    releases: dict[str, Release] = field(default_factory=dict)
    """By the bundle's digest."""
    refused: dict[str, AgentError] = field(default_factory=dict)
    """Why it can't stream a bundle, by digest."""


@contextlib.contextmanager
def visit(
    connection: Connection,
    what: tuple[str, str],
    bundles: Sequence[Bundle],
    threads: int,
    folder: Path,
    conditions: Conditions,
    report: Report,
) -> Iterator[Visit]:
    """Hold the board for as long as the block lasts, with all `bundles` installed there and tried out.

    Args:
        connection: to the board.
        what: what it is held for, and a token, as `device.turn` wants them.
        bundles: what is measured.
        threads: the fewest that a case wants; `without_cores` tells which are too many.
        folder: of the results: what can't be written is known before it is measured.
        conditions: under which it is measured.
        report: progress.

    Raises:
        BoardError: it has fewer cores than `threads`.
        NoSpaceError, UnreachableError, WheelError, AgentError: it can't be made ready.
    """
    with turn(connection, what[0], report, token=what[1]) as held:
        site = prepare(connection, report)
        cores = site.facts["cores"]
        if threads > cores:
            raise BoardError(
                f"{connection.name} has {cores} core(s): {threads} threads would measure nothing but waiting"
            )
        (folder / SAMPLES).mkdir(parents=True, exist_ok=True)
        there = Visit(connection, site, held, conditions)
        _install(there, bundles, report)
        with conditions.tuned(connection):
            yield there


def _install(there: Visit, bundles: Sequence[Bundle], report: Report) -> None:
    """Bring every bundle to the board, and prove there what can be proven."""
    needed = [there.site.runtime, there.site.runner, *map(release_path, bundles)]
    for bundle in bundles:
        there.releases[bundle.digest] = install(there.connection, bundle, report, needed)
    for bundle in bundles:
        try:
            ensure_proven(there.connection, there.site, bundle, there.releases[bundle.digest], report)
        except NoSpaceError:
            raise
        except AgentError as error:
            check_there(there.connection)
            there.refused[bundle.digest] = error


def without_cores(name: str, threads: Iterable[int], cores: int) -> set[int]:
    """Those of `threads` for which the board has no cores, told in a line: they would measure nothing but waiting."""
    many = sorted({count for count in threads if count > cores})
    if many:
        say(f"{name} has {cores} core(s): {', '.join(map(str, many))} threads are left out")
    return {*many}


def check_there(connection: Connection) -> None:
    """`UnreachableError` from a board that is going down: it ends its processes first, and no case is to blame."""
    connection.ask("facts")
