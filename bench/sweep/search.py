"""The search for the smallest block of each model on a board: measured, kept and gone on with as a sweep is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from ...device.boards import board, check_name
from ...device.descriptor import descriptor
from ...device.errors import AgentError, NoSpaceError, reason_of
from ...device.ssh.connection import Connection
from ...device.turn import new_token
from ...runtime.bundle import Bundle
from ...runtime.check import check_bundle
from ...runtime.progress import Progress
from ..errors import BenchError, ResultsError, UnkeptError
from ..output.console import one_line, say
from ..output.numbers import about, count, digits, number
from ..output.tables import Table
from ..parallel import Reach
from ..results.store import check_kept, finished
from ..stats.verdict import BUFFERS, ENOUGH, Verdict
from .cases import Case, identity, kept, measure
from .conditions import Conditions
from .estimate import Estimate
from .plan import Plan
from .reconnect import PATIENCE, with_patience
from .run import Swept
from .session import ReadyBoard, check_there, ready_board, without_cores
from .smallest_block import SECONDS, Found, all_cases, find

HEADINGS = (
    "model",
    "threads",
    "smallest block, samples",
    "block ms",
    "p50 ms",
    "p99.9 ms, at most",
    "misses",
    "limited by",
)
NOT_SUPPORTED = f"n < {ENOUGH}"


@dataclass
class Search:
    """What a board's search has given so far."""

    found: list[Found] = field(default_factory=list)
    measured: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)

    def swept(self) -> Swept:
        """As of a sweep."""
        return Swept(self.measured, self.kept, tuple(self.failed))


def search(
    name: str,
    bundles: Sequence[Bundle],
    plan: Plan,
    progress: Progress,
    reach: Reach = board,
    patience: float = PATIENCE,
    system: str = "/",
) -> Search:
    """Find the smallest block of each bundle that is in time on a board, for each number of threads.

    Every run is kept in the plan's output, and none is done twice. A model that fails is reported in a line, and the
    search goes on with the next one.

    Args and errors: as of `sweep`; `BenchError` for a virtual board.
    """
    check_name(name)
    if descriptor(name).counts_instructions:
        raise BenchError(f"no block is on time or late on {name}, as its clock counts instructions: use another board")
    for bundle in bundles:
        check_bundle(bundle)
        for block in plan.blocks:
            bundle.graph(block)
    conditions = Conditions(name, plan.tune, plan.cool_down, system)
    hunt = _Hunt(name, bundles, plan, conditions, progress)
    longest = about(hunt.longest)
    say(
        f"{name}: at most {about(hunt.expected)}, of which proving a block takes up to {longest}; "
        "less where a miss ends a run"
    )
    with_patience(name, reach, hunt.go_on, lambda: hunt.search.measured, progress, patience)
    check_kept(plan.output, hunt.counted & hunt.done)
    return hunt.search


class _Hunt:
    """The way through a board's models: more than one connection may be needed."""

    def __init__(
        self, name: str, bundles: Sequence[Bundle], plan: Plan, conditions: Conditions, progress: Progress
    ) -> None:
        self.name, self.bundles, self.plan, self.conditions, self.progress = name, bundles, plan, conditions, progress
        self.search, self.what = Search(), ("search for the smallest block", new_token())
        self.left = list(product(bundles, plan.threads))
        some = [case for what in self.left for cases in all_cases(plan, *what) for case in cases]
        self.longest = max(case.steps * case.period for case in some)
        self.expected, self.spent = Estimate().seconds(some), 0.0
        self.done: set[str] = set()
        self.counted: set[str] = set()  # a lost connection has a search begin again

    def go_on(self, connection: Connection) -> None:
        """Search what is left, over this connection."""
        fewest, folder = min(self.plan.threads), self.plan.output
        self.done |= finished(folder, self.done)
        with ready_board(connection, self.what, self.bundles, fewest, folder, self.conditions, self.progress) as there:
            many = without_cores(self.name, (threads for _, threads in self.left), there.site.facts["cores"])
            self.left = [what for what in self.left if what[1] not in many]
            while self.left:
                self._search(there, *self.left[0])
                self.left.pop(0)

    def _search(self, there: ReadyBoard, bundle: Bundle, threads: int) -> None:
        try:
            if bundle.digest in there.refused:
                raise there.refused[bundle.digest]
            blocks = self.plan.blocks or tuple(bundle.graphs)
            found = find(bundle, blocks, threads, self.plan.seconds, lambda case: self._measure(there, case))
        except (NoSpaceError, UnkeptError):
            raise
        except (AgentError, ResultsError) as error:
            check_there(there.connection)
            what = f"{bundle.name}, {count(threads, 'thread')}"
            say(f"{what} failed on {self.name}: {one_line(reason_of(error))}")
            self.search.failed.append(what)
        else:
            self.search.found.append(found)

    def _measure(self, there: ReadyBoard, case: Case) -> Mapping[str, np.ndarray]:
        """A case's arrays, from the results where they are there."""
        mine, begun = identity(there, case), self.spent
        is_known = mine in self.counted
        self.spent += 0 if is_known else Estimate().seconds([case])
        self.counted.add(mine)
        if mine in self.done:
            self.search.kept += not is_known
            return kept(there, case, self.plan.output)

        def tell(detail: str) -> None:
            length = about(case.steps * case.period)
            self.progress(f"{detail} ({length} of audio at most)", round(begun), round(self.expected))

        there.held.check()
        tell(str(case))
        cooldown = there.conditions.cool(there.connection, tell)
        tell(str(case))
        arrays = measure(there, case, self.plan.output, cooldown)
        self.search.measured += 1
        self.done.add(mine)
        return arrays


def table(name: str, found: Sequence[Found]) -> Table:
    """What was found on a board."""
    return Table(
        f"{name}: the smallest block of each model that is computed in time",
        HEADINGS,
        list(map(_row, found)),
        texts=("model", "limited by"),
    )


def _row(found: Found) -> list[str]:
    block, seen = found.block, found.verdict
    length = number(1e3 * block / found.bundle.sample_rate) if block else "-"
    figures = [f"{seen.p50 / 1e6:.3f}", _bound(seen), str(seen.misses)] if seen else ["-"] * 3
    after = "" if math.isnan(found.missed_after) else f" (missed after {digits(found.missed_after)} s)"
    limit = f"{found.limit} at {found.fails}{after}" if found.fails else "not limited (smallest block in the bundle)"
    proven = "" if not block or _is_proven(found) else f" (not proven: {NOT_SUPPORTED})"
    return [found.bundle.name, str(found.threads), f"{block or 'none'}{proven}", length, *figures, limit]


def _bound(seen: Verdict) -> str:
    return NOT_SUPPORTED if seen.n < ENOUGH else f"{seen.p99_9_high / 1e6:.3f}"


def remarks(found: Sequence[Found]) -> list[str]:
    """What is to be known about a table."""
    seconds = found[0].seconds
    lasted = (
        f"in {seconds:g} s"
        if seconds
        else f"in {SECONDS:g} s or {ENOUGH} steps (enough for p99.9), whichever is longer"
    )
    lines = [
        f"smallest block: no miss {lasted}, on the audio clock, {BUFFERS} buffers; p99.9 with 95% confidence",
        "limited by, at the next smaller block: compute, the median step fills the block's time; dispatch, the same, "
        "and the fixed cost of a call is more than half of the block; jitter, the median step fits, but the slowest "
        "steps or late wake-ups do not",
    ]
    few = [one.block / one.bundle.sample_rate for one in found if one.block and not _is_proven(one)]
    if few:
        enough = math.ceil(ENOUGH * max(few))
        lines.append(f"not proven: no miss, but too few steps for p99.9; --seconds {enough} would be enough")
    if seconds and seconds < SECONDS:
        lines.append(f"{seconds:g} s is short; the default is {SECONDS:g} s without a miss")
    return lines


def _is_proven(found: Found) -> bool:
    return found.verdict is not None and found.verdict.is_proven
