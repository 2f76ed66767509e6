"""Measure cases on a board, one fresh process each; it goes on whatever happens there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...device.boards import board, check_name
from ...device.descriptor import descriptor
from ...device.errors import AgentError, BoardError, NoSpaceError, UnreachableError, reason_of
from ...device.ssh.connection import Connection
from ...device.turn import new_token
from ...runtime.bundle import Bundle
from ...runtime.check import check_bundle
from ...runtime.progress import Progress
from ..errors import EngineError, ResultsError, UnkeptError
from ..output.console import one_line, say, say_without_bars
from ..output.numbers import about
from ..parallel import Reach, check
from ..results.store import check_kept, finished, read_cases
from ..terms import ONNXRUNTIME
from .cases import Case, Key, identity, measure
from .conditions import Conditions
from .estimate import Estimate
from .plan import Plan, cases_of, check_plan
from .reconnect import PATIENCE, with_patience
from .session import ReadyBoard, check_there, ready_board, without_cores

IN_A_ROW = 3  # cases that fail one after the other: then it is the board that can't
LOSSES = 2  # of the board during one case: then it is the case that brings it down
WORTH_TELLING = 60  # seconds
SILENCE, TENTHS = 30, 10  # seconds without a line in a log, and lines of a whole sweep


@dataclass(frozen=True)
class Swept:
    """How many cases were measured, how many were there already, and which failed."""

    measured: int
    kept: int
    failed: tuple[str, ...] = ()


def sweep(
    name: str,
    bundles: Sequence[Bundle],
    plan: Plan,
    progress: Progress,
    reach: Reach = board,
    patience: float = PATIENCE,
    system: str = "/",
) -> Swept:
    """Measure every case of the plan that its output does not hold yet; each is on disk before the next starts.

    A case that fails alone is reported in a line, and the others are measured; a board that goes away is waited for,
    up to `patience` seconds, and its case is started again.

    Args:
        name: the board's, whatever boards the plan has.
        bundles: the plan's models.
        plan: what is measured.
        progress: called with what is being done, and seconds done and in total.
        reach: gives a connection.
        patience: see above.
        system: the folder on the board that has its /sys; another one replays a recorded board.

    Raises:
        BenchError: the plan asks for what this board can't do.
        BundleError: a bundle is not whole, or has no graph for one of the blocks.
        UnreachableError: the board can't be reached, or did not come back.
        DeviceError: what else keeps it from measuring anything, or three cases in a row failed.
        UnkeptError: the output can't be written to, or not all that was measured is still there.
    """
    check_name(name)
    check_plan(plan)
    cases = cases_of(plan, bundles, name)
    for bundle in bundles:
        check_bundle(bundle)
    conditions = Conditions(name, plan.tune, plan.cool_down, system)
    tour = _Tour(_Tally(name, cases), plan, conditions, progress)
    with_patience(name, reach, tour.go_on, tour.tally.ended, progress, patience)
    check_kept(plan.output, tour.measured)
    return tour.tally.swept()


def check_cases(swept: Mapping[str, Swept], failed: Iterable[str] = ()) -> None:
    """`BenchError` names the boards that failed, and the cases that did."""
    unfinished = [f"{name} ({'; '.join(tally.failed)})" for name, tally in swept.items() if tally.failed]
    done = [name for name, tally in swept.items() if not tally.failed]
    check([*failed, *unfinished], done, "; what was measured is kept: run the same command again to go on")


class _Tally:
    """A board's cases, and what has become of each."""

    def __init__(self, name: str, cases: list[Case]) -> None:
        self.name, self.cases = name, cases
        self.kept = 0
        self._measured: set[Key] = set()
        self._failed: dict[Key, Case] = {}
        self._losses: Counter[Key] = Counter()
        self._in_a_row = 0

    def ended(self) -> int:
        """How many cases are over."""
        return len(self._measured) + len(self._failed)

    def left(self) -> list[Case]:
        """Those that are not over, in their order."""
        return [case for case in self.cases if case.key not in self._measured and case.key not in self._failed]

    def leave_out(self, cores: int) -> None:
        """Cases with more threads than the board has cores are none."""
        many = without_cores(self.name, (case.threads for case in self.cases), cores)
        self.cases = [case for case in self.cases if case.threads not in many]

    def done(self, case: Case) -> None:
        """It is measured."""
        self._measured.add(case.key)
        self._in_a_row = 0

    def lost(self, case: Case, error: Exception) -> None:
        """The board went away meanwhile."""
        self._losses[case.key] += 1
        if self._losses[case.key] == LOSSES:
            self.failed(case, error)

    def failed(self, case: Case, error: Exception) -> None:
        """Give a case up; `BoardError` when it is one too many."""
        self._failed[case.key] = case
        self._in_a_row += 1
        self._tell(str(case), error)
        if self._in_a_row == IN_A_ROW:
            raise BoardError(
                f"{IN_A_ROW} cases in a row failed; the last: {reason_of(error)}", board=self.name
            ) from error

    def refused(self, bundle: Bundle, error: AgentError) -> None:
        """The board can't stream a bundle: give all its cases up, or raise the error when those are all."""
        self._failed |= {case.key: case for case in self.left() if case.bundle.digest == bundle.digest}
        if len(self._failed) == len(self.cases):
            raise error
        self._tell(f"all cases of {bundle.name}", error)

    def _tell(self, what: str, error: Exception) -> None:
        say(f"{what} failed on {self.name}: {one_line(reason_of(error))}")

    def swept(self) -> Swept:
        """What has become of all."""
        return Swept(len(self._measured), self.kept, tuple(map(str, self._failed.values())))


class _Tour:
    """The way through a board's cases: more than one connection may be needed."""

    def __init__(self, tally: _Tally, plan: Plan, conditions: Conditions, progress: Progress) -> None:
        self.tally, self.plan, self.conditions, self.progress = tally, plan, conditions, progress
        self.what = f"sweep of {len(tally.cases)} cases", new_token()
        self.profiled: set[tuple[str, int, int]] = set()
        self.whole: set[str] = set()  # cases in the results that need not be measured again
        self.measured: set[str] = set()  # those that were added to them
        self.estimate, self.spent, self.logged = Estimate(), 0.0, time.monotonic()

    def go_on(self, connection: Connection) -> None:
        """Measure what is left, over this connection."""
        left = self.tally.left()
        bundles = list({case.bundle.digest: case.bundle for case in left}.values())
        threads = min((case.threads for case in left), default=1)
        folder, conditions = self.plan.output, self.conditions
        with ready_board(connection, self.what, bundles, threads, folder, conditions, self.progress) as there:
            self.tally.leave_out(there.site.facts["cores"])
            for bundle in bundles:
                if bundle.digest in there.refused:
                    self.tally.refused(bundle, there.refused[bundle.digest])
            self._measure_all(there, self._todo(there))

    def _todo(self, there: ReadyBoard) -> list[Case]:
        left = self.tally.left()
        names = {case.key: identity(there, case) for case in left}
        self.whole = finished(self.plan.output, self.whole, {*names.values()})
        todo = [case for case in left if names[case.key] not in self.whole]
        self.tally.kept = len(left) - len(todo)
        if self.plan.profile:
            self._find_profiles(there, left, todo)
        return todo

    def _find_profiles(self, there: ReadyBoard, left: list[Case], todo: list[Case]) -> None:
        """Which profiles are there already; those of cases that are not measured now can't be had any more."""
        lines = {line["id"] for line in read_cases(self.plan.output) if "profile" in line}
        self.profiled |= {_profile_of(case) for case in left if identity(there, case) in lines}
        missing = {_profile_of(case): case for case in left if case.engine == ONNXRUNTIME}
        for what in {*self.profiled, *map(_profile_of, todo)}:
            missing.pop(what, None)
        for case in missing.values():
            say(f"{case}: no profile, as the case was measured before; measure into another folder with -o")

    def _measure_all(self, there: ReadyBoard, todo: list[Case]) -> None:
        expected = self.estimate.seconds(todo)
        if expected > WORTH_TELLING:
            say(f"{self.tally.name}: {len(todo)} cases, about {about(expected)}")
        for index, case in enumerate(todo):
            there.held.check()
            self._try(there, case, todo[index:])

    def _try(self, there: ReadyBoard, case: Case, todo: list[Case]) -> None:
        """Measure the first of `todo`."""
        try:
            seconds = self._measure(there, case, todo)
        except (NoSpaceError, UnkeptError):
            raise
        except UnreachableError as error:
            self.tally.lost(case, error)
            raise
        except (AgentError, EngineError, ResultsError) as error:
            check_there(there.connection)
            self.tally.failed(case, error)
        else:
            self.spent += seconds
            self.measured.add(identity(there, case))
            self.tally.done(case)
        self._log(len(todo) - 1, self.estimate.seconds(todo[1:]))

    def _log(self, left: int, expected: float) -> None:
        """Say how far it is, about every 30 seconds and every tenth of the cases."""
        ended, total, now = self.tally.ended(), self.tally.ended() + left, time.monotonic()
        tenth = ended * TENTHS // total > (ended - 1) * TENTHS // total
        if left and (tenth or now - self.logged > SILENCE):
            self.logged = now
            say_without_bars(f"{self.tally.name}: {ended} of {total} cases, about {about(expected)} left")

    def _measure(self, there: ReadyBoard, case: Case, todo: list[Case]) -> float:
        """How many seconds it took."""
        expected = self.estimate.seconds(todo)

        def tell(detail: str) -> None:
            number, total = self.tally.ended() + 1, self.tally.ended() + len(todo)
            place = f"{number} of {total}, about {about(expected)} left"
            self.progress(f"{detail} ({place})", round(self.spent), round(self.spent + expected))

        tell(str(case))
        cooldown = there.conditions.cool(there.connection, tell)
        tell(str(case))
        profile = self.plan.profile and case.engine == ONNXRUNTIME and _profile_of(case) not in self.profiled
        begun = time.monotonic()
        steps = measure(there, case, self.plan.output, cooldown, profile)["step_ns"]
        seconds = time.monotonic() - begun
        if profile:
            self.profiled.add(_profile_of(case))
        stepping = 0 if descriptor(self.tally.name).counts_instructions else float(steps.sum()) / 1e9
        self.estimate.learn(case, seconds, stepping)
        return seconds


def _profile_of(case: Case) -> tuple[str, int, int]:
    """What is profiled once, however often it is measured."""
    return case.bundle.digest, case.block, case.threads
