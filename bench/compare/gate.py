"""Old results against new ones: which cases got slower, larger or later than their own noise explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.bundle import FP32
from ..errors import BenchError
from ..output.numbers import count
from ..results.frames import Results
from ..results.pooling import SAME_BOARD, Row
from ..stats.step_times import compare_cases, noise, percentile_name, rate_high
from ..terms import INSTRUCTIONS, TIME

# Counts of instructions, and the memory of a virtual board, repeat to 0.1%; medians of times move by percents.
FLOORS = {INSTRUCTIONS: 0.005, TIME: 0.05}
NOISES = 3  # so many times its own noise may a case change
TOO_NOISY = 0.2  # who may change by more than that and did not is not called the same
STEP, MISSES = "p50", "misses"
TAILS = (99.9, 99.0)
ONCE = ("first", "session")  # measured once a run; of time, three in a row may be alike and the next four times as long
SIZES = ("peak_kb", "model_kb", "file_bytes")
MEASURES = {
    STEP: "p50",
    **{name: name for name in map(percentile_name, TAILS)},
    MISSES: "misses",
    "first": "first step",
    "session": "session",
    "peak_kb": "peak memory",
    "model_kb": "memory of the model",
    "file_bytes": "file",
}
CASE = ["engine", "model", "precision", "block", "threads", "mode"]
SLOWER, LARGER, FASTER, SMALLER, SAME = "slower", "larger", "faster", "smaller", "same"
MORE, FEWER, UNSURE = "more misses", "fewer misses", "too noisy to tell"
WORSE = (SLOWER, LARGER, MORE)

Side = tuple[Results, Row]


@dataclass(frozen=True)
class Change:
    """A measure of a case in both results.

    Attributes:
        case: in words.
        clock: what its times are.
        measure: a key of `MEASURES`.
        old: before, in the unit of `bench.results.columns`; of misses their rate.
        new: now.
        ratio: new / old; of three repeats or more the mean of their ratios; of misses 1 + new - old.
        allowed: how far from 1 the ratio may be, as a share; infinite where the steps are too few to say.
    """

    case: str
    clock: str
    measure: str
    old: float
    new: float
    ratio: float
    allowed: float

    @property
    def verdict(self) -> str:
        """`SLOWER`, `LARGER`, `MORE`, or an opposite; within what is allowed `SAME`, or `UNSURE` where that is much."""
        if abs(self.ratio - 1) <= self.allowed:
            return SAME if self.allowed <= TOO_NOISY else UNSURE
        more, less = (LARGER, SMALLER) if self.measure in SIZES else (SLOWER, FASTER)
        if self.measure == MISSES:
            more, less = MORE, FEWER
        return more if self.ratio > 1 else less


@dataclass(frozen=True)
class Gated:
    """All changes, and in words the cases that are in one of the results only."""

    changes: Sequence[Change]
    only_old: Sequence[str]
    only_new: Sequence[str]


def gate(old: Results, new: Results, different: bool = False) -> Gated:
    """Compare each case that is in both: same board, engine, model, precision, block, threads and mode.

    Weights and the number of steps may be others, where no case has the same; counts of instructions are compared for
    the same number of steps only, as they depend on how far the clip was played. Runs that a search for the smallest
    block stopped at a miss are left out.

    Args:
        old: measured before.
        new: measured now.
        different: compare even across kernels, Pythons or ONNX Runtimes of a board.

    Raises:
        BenchError: no case is in both.
        ResultsError: samples are damaged or missing.
    """
    pairs, only_old, only_new = _pairs(_records(old), _records(new), different)
    if not pairs:
        raise BenchError("no case is in both: measure the same models, blocks, threads and modes on the same board")
    changes = [change for a, b in pairs for change in _changes(old, a, new, b)]
    return Gated(changes, [describe(row) for row in only_old], [describe(row) for row in only_new])


def describe(row: Row) -> str:
    """`hpn-reduced-flute, block 64, paced, on pi`; what is usual is left out."""
    unusual = [row["precision"]] if row["precision"] != FP32 else []
    unusual += [row["engine"]] if row["engine"] != "onnxruntime" else []
    unusual += [count(row["threads"], "thread")] if row["threads"] != 1 else []
    mode = [row["mode"]] if row["clock"] == TIME else []
    return ", ".join([row["model"], f"block {row['block']}", *mode, *unusual, f"on {row['board']}"])


def _records(results: Results) -> list[Row]:
    return [row for row in results.pooled().to_dict("records") if not results.is_stopped(row["case"])]  # type: ignore[misc]


def _pairs(old: list[Row], new: list[Row], different: bool) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """What is to be compared, and what is on one side only; of several that fit, the newest."""
    before, now = _by_case(old, different), _by_case(new, different)
    pairs = []
    for key in before.keys() & now.keys():
        same = before[key].keys() & now[key].keys()
        chosen = [(one, one) for one in same] or [(list(before[key])[-1], list(now[key])[-1])]
        pairs += [(before[key][one], now[key][other]) for one, other in chosen]
    gone, come = (
        [row for key in a.keys() - b.keys() for row in a[key].values()] for a, b in ((before, now), (now, before))
    )
    return sorted(pairs, key=lambda pair: _order(pair[1])), sorted(gone, key=_order), sorted(come, key=_order)


def _order(row: Row) -> list[Any]:
    return [row[name] for name in ["board", *CASE, "weights", "steps_asked"]]


def _by_case(rows: list[Row], different: bool) -> dict[tuple, dict[tuple, Row]]:
    """What makes it the same case -> weights and steps -> row."""
    found: dict[tuple, dict[tuple, Row]] = {}
    for row in rows:
        board = [row[name] for name in (["board", "clock"] if different else SAME_BOARD)]
        steps = row["steps_asked"] if row["clock"] == INSTRUCTIONS else None
        key = (*board, *(row[name] for name in CASE), steps)
        found.setdefault(key, {})[row["weights"], row["steps_asked"]] = row
    return found


def _changes(old: Results, before: Row, new: Results, now: Row) -> list[Change]:
    clock, sides = now["clock"], [(old, before), (new, now)]
    found = [_medians(sides, measure) for measure in (STEP, *ONCE, *SIZES) if clock != TIME or measure not in ONCE]
    if clock == TIME:
        found[1:1] = [*_tail(sides), _misses(sides)]
    return [change for change in found if math.isfinite(change.ratio)]


def _medians(sides: list[Side], measure: str) -> Change:
    (_, before), (_, now) = sides
    repeats = [results.of_repeats(row["case"], measure) for results, row in sides]
    ratio = compare_cases(*repeats).value if all(np.min(one) > 0 for side in repeats for one in side) else math.nan
    allowed = max(FLOORS[now["clock"]], *(NOISES * _noise(side, measure, now["clock"]) for side in repeats))
    if measure == STEP and now["clock"] == TIME:
        allowed = max(allowed, *(_unseen(row) for row in (before, now)))
    return Change(describe(now), now["clock"], measure, before[measure], now[measure], ratio, allowed)


def _tail(sides: list[Side]) -> list[Change]:
    """The farthest percentile that can tell; if none can, the nearest there is, if any."""
    found = [_percentile(sides, p) for p in TAILS if all(math.isfinite(row[percentile_name(p)]) for _, row in sides)]
    return [change for change in found if change.verdict != UNSURE][:1] or found[-1:]


def _percentile(sides: list[Side], percentile: float) -> Change:
    """It has changed when the bounds of both sides, 95% each, leave a gap, and by more than repeats differ."""
    (_, before), (_, now) = sides
    name = percentile_name(percentile)
    ratio, bounds = now[name] / before[name], ("high", "low") if now[name] > before[name] else ("low", "high")
    apart = ratio / (now[f"{name}_{bounds[1]}"] / before[f"{name}_{bounds[0]}"])  # the ratio at which they touch
    noises = [
        _range([np.percentile(steps, percentile) for steps in results.of_repeats(row["case"], STEP)]) / row[name]
        for results, row in sides
    ]
    allowed = max(FLOORS[TIME], abs(apart - 1), *(NOISES * one for one in noises), *(_unseen(row) for _, row in sides))
    return Change(describe(now), TIME, name, before[name], now[name], ratio, allowed)


def _misses(sides: list[Side]) -> Change:
    """As of a percentile, of the rate."""
    (_, before), (_, now) = sides
    old, new = before["miss_rate"], now["miss_rate"]
    below, above = (before, now) if new > old else (now, before)
    touch = below["miss_rate_high"] - below["miss_rate"] + above["miss_rate"] - _rate_low(above)
    noises = [_range(results.of_repeats(row["case"], "miss_rate")) for results, row in sides]
    allowed = max(touch, *(NOISES * one for one in noises))
    return Change(describe(now), TIME, MISSES, old, new, 1 + new - old, allowed)


def _rate_low(row: Row) -> float:
    """The lower bound of its rate of misses, 95%, as `miss_rate_high` is the upper one."""
    return 1 - rate_high(row["n"] - int(row["misses"]), row["n"])


def _range(values: Sequence[Any]) -> float:
    return float(np.max(values) - np.min(values))


def _noise(repeats: list[np.ndarray], measure: str, clock: str) -> float:
    """As a share; infinite where that can't be told."""
    if len(repeats) == 1 and (clock == INSTRUCTIONS or measure in SIZES):
        return 0.0  # of one run of a count, what varies is the clip
    found = noise(repeats)
    return math.inf if math.isnan(found) else found


def _unseen(row: Row) -> float:
    """What an empty step takes, as a share of a step: a difference below that is not seen."""
    share = row["floor_p50"] / row["p50"]
    return share if math.isfinite(share) else 0.0
