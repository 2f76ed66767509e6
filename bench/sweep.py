"""Measure cases on a board: models x blocks x threads, one fresh process each; it goes on whatever happens there."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..device.boards import board, check_name
from ..device.errors import AgentError, BoardError, NoSpaceError, UnreachableError
from ..device.provision import Site, prepare
from ..device.releases import Release, install, release_path
from ..device.ssh import Connection
from ..device.turn import Turn, new_token, turn
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from .cases import Case, Key, identity, measure
from .console import Report, one_line, say
from .deploy import ensure_proven
from .errors import EngineError, ResultsError
from .patience import PATIENCE, with_patience
from .results import SAMPLES, finished
from .together import Reach, check

SEED = 0
IN_A_ROW = 3  # cases that fail one after the other: then it is the board that can't
LOSSES = 2  # of the board during one case: then it is the case that brings it down


@dataclass(frozen=True)
class Swept:
    """How many cases were measured, how many were there already, and which failed."""

    measured: int
    kept: int
    failed: tuple[str, ...] = ()


def sweep(
    name: str,
    bundles: Sequence[Bundle],
    blocks: Sequence[int] | None,
    threads: Sequence[int],
    folder: Path,
    report: Report,
    steps: int | None = None,
    reach: Reach = board,
    patience: float = PATIENCE,
) -> Swept:
    """Measure every case that `folder` does not hold yet; each is on disk before the next starts.

    The order is shuffled by a fixed seed, so that drift of the board does not look like a difference of models.
    A case that fails alone is told in a line, and the others are measured; a board that goes away is waited for,
    `patience` seconds, and the very case is started again.

    Raises:
        BundleError: a bundle is not whole, or has no graph for one of the blocks.
        UnreachableError: the board can't be reached, or did not come back.
        DeviceError: what else keeps it from measuring anything, or three cases in a row failed.
    """
    check_name(name)
    cells = [Case(bundle, *cell) for bundle in bundles for cell in product(blocks or bundle.graphs, threads)]
    return sweep_cases(name, cells, folder, report, steps, reach, patience)


def sweep_cases(
    name: str,
    cells: Sequence[Case],
    folder: Path,
    report: Report,
    steps: int | None = None,
    reach: Reach = board,
    patience: float = PATIENCE,
) -> Swept:
    """The same for cases that are chosen one by one."""
    cases = list({case.key: case for case in cells}.values())
    random.Random(SEED).shuffle(cases)
    for case in cases:
        case.bundle.graph(case.block)
    for bundle in {case.bundle.digest: case.bundle for case in cases}.values():
        check_bundle(bundle)
    tour = _Tour(name, cases, folder, steps, report)
    with_patience(name, reach, tour.go_on, tour.ended, report, patience)
    return Swept(len(tour.measured), tour.kept, tuple(map(str, tour.failed.values())))


def check_cases(swept: Mapping[str, Swept], failed: Iterable[str] = ()) -> None:
    """`BenchError` names the boards that failed, and the cases that did."""
    unfinished = [f"{name} ({'; '.join(tally.failed)})" for name, tally in swept.items() if tally.failed]
    done = [name for name, tally in swept.items() if not tally.failed]
    check([*failed, *unfinished], done, "; what was measured is kept: run the same again to go on")


class _Tour:
    """A board's cases, and how far they have come: more than one connection may be needed."""

    def __init__(self, name: str, cases: list[Case], folder: Path, steps: int | None, report: Report) -> None:
        self.name, self.cases, self.folder, self.steps, self.report = name, cases, folder, steps, report
        self.measured: set[Key] = set()
        self.failed: dict[Key, Case] = {}
        self.losses: Counter[Key] = Counter()
        self.in_a_row = self.kept = 0
        self.token = new_token()

    def ended(self) -> int:
        """How many cases are over."""
        return len(self.measured) + len(self.failed)

    def go_on(self, connection: Connection) -> None:
        """Measure what is left, over this connection."""
        with turn(connection, f"sweep of {len(self.cases)} cases", self.report, token=self.token) as held:
            site = prepare(connection, self.report)
            self._check_threads(site.facts["cores"])
            # What can't be written is known before it is measured.
            (self.folder / SAMPLES).mkdir(parents=True, exist_ok=True)
            releases = self._releases(connection, site)
            todo = self._todo(site)
            total = self.ended() + len(todo)
            for case in todo:
                self.report(str(case), self.ended(), total)
                held.check()
                self._try(connection, site, releases[case.bundle.digest], case, held)

    def _check_threads(self, cores: int) -> None:
        most = max(case.threads for case in self.cases)
        if most > cores:
            raise BoardError(f"{self.name} has {cores} core(s): {most} threads would measure nothing but waiting")

    def _todo(self, site: Site) -> list[Case]:
        over, done = self.measured | set(self.failed), finished(self.folder)
        left = [case for case in self.cases if case.key not in over]
        todo = [case for case in left if identity(self.name, site, case, self.steps) not in done]
        self.kept = len(left) - len(todo)
        return todo

    def _releases(self, connection: Connection, site: Site) -> dict[str, Release]:
        """Every bundle on the board, by digest; where it can't stream one of several, all cases of that have failed."""
        bundles = {case.bundle.digest: case.bundle for case in self.cases}
        needed = [site.runtime, site.runner, *map(release_path, bundles.values())]
        releases = {digest: install(connection, bundle, self.report, needed) for digest, bundle in bundles.items()}
        for digest, bundle in bundles.items():
            if any(case.key not in self.failed for case in self._cases_of(bundle)):
                self._prove(connection, site, bundle, releases[digest])
        return releases

    def _cases_of(self, bundle: Bundle) -> list[Case]:
        return [case for case in self.cases if case.bundle.digest == bundle.digest]

    def _prove(self, connection: Connection, site: Site, bundle: Bundle, release: Release) -> None:
        try:
            ensure_proven(connection, site, bundle, release, self.report)
        except NoSpaceError:
            raise
        except AgentError as error:
            _check_there(connection)
            self.failed |= {case.key: case for case in self._cases_of(bundle)}
            if len(self.failed) == len(self.cases):
                raise
            self._tell(f"all of {bundle.name}", error)

    def _try(self, connection: Connection, site: Site, release: Release, case: Case, held: Turn) -> None:
        try:
            measure(connection, site, release, case, self.folder, self.steps, held)
        except NoSpaceError:
            raise
        except UnreachableError as error:
            self.losses[case.key] += 1
            if self.losses[case.key] == LOSSES:
                self._fail(case, error)
            raise
        except (AgentError, EngineError, ResultsError) as error:
            _check_there(connection)
            self._fail(case, error)
        else:
            self.measured.add(case.key)
            self.in_a_row = 0

    def _fail(self, case: Case, error: Exception) -> None:
        """Give a case up; `BoardError` when it is one too many."""
        self.failed[case.key] = case
        self.in_a_row += 1
        self._tell(str(case), error)
        if self.in_a_row == IN_A_ROW:
            raise BoardError(f"{self.name}: {IN_A_ROW} cases in a row failed; the last: {error}") from error

    def _tell(self, what: str, error: Exception) -> None:
        say(f"{what} failed on {self.name}: {one_line(str(error)).removeprefix(f'{self.name}: ')}")


def _check_there(connection: Connection) -> None:
    """`UnreachableError` from a board that is going down: it ends its processes first, and no case is to blame."""
    connection.ask("facts")
