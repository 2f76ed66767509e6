"""The smallest block: judged from recorded steps, found by bisection, and what limits it is told from what was seen."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tonearm.bench.stats.step_times import steps_needed, ticks
from tonearm.bench.stats.verdict import fixed_cost, limit, verdict
from tonearm.bench.sweep.cases import Case
from tonearm.bench.sweep.search import remarks, table
from tonearm.bench.sweep.smallest_block import Found, find, first_that_fits, paced_case
from tonearm.runtime.bundle import Bundle

RATE, BLOCK, BUDGET = 16_000, 64, 4e6
BLOCKS = (64, 128, 256, 512, 1024)
Steps = dict[str, np.ndarray]


def paced(times: np.ndarray, block: int = BLOCK, late: int = 0) -> Steps:
    """A run on the audio clock: each step starts at its tick, `late` ns after it, or when the one before has ended."""
    starts, free = np.empty_like(times), 0
    for index, tick in enumerate(ticks(times.size, block, RATE)):
        starts[index] = max(tick + late, free)
        free = starts[index] + times[index]
    return {"start_ns": starts, "step_ns": times}


def steps(n: int, ns: float) -> np.ndarray:
    return np.full(n, int(ns), np.int64)


def test_a_run_without_a_miss_is_in_time_with_its_bound() -> None:
    judged = verdict(paced(steps(3000, 1e6)), BLOCK, RATE, 3000)
    assert (judged.in_time, judged.n, judged.p50, judged.p99_9_high, judged.misses) == (True, 3000, 1e6, 1e6, 0)


@pytest.mark.parametrize("where", [0, 1500, 2999])
def test_one_block_that_is_late_is_one_too_many(where: int) -> None:
    times = steps(3000, 1e6)
    times[where] = BUDGET + 1
    judged = verdict(paced(times), BLOCK, RATE, 3000)
    assert (judged.in_time, judged.misses) == (False, 1)


def test_a_late_wake_up_is_a_miss_of_a_step_that_is_short() -> None:
    judged = verdict(paced(steps(100, 1e6), late=int(BUDGET)), BLOCK, RATE, 100)
    assert (judged.in_time, judged.misses) == (False, 100)


def test_a_run_that_was_stopped_is_not_in_time() -> None:
    assert not verdict(paced(steps(99, 1e6)), BLOCK, RATE, 100).in_time


def test_below_2995_steps_nothing_is_said_of_p99_9() -> None:
    enough = steps_needed(99.9)
    assert math.isnan(verdict(paced(steps(enough - 1, 1e6)), BLOCK, RATE, enough - 1).p99_9_high)
    assert verdict(paced(steps(enough, 1e6)), BLOCK, RATE, enough).p99_9_high == 1e6


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12, unique=True), st.integers(0, 1001))
def test_the_smallest_that_fits_is_found_with_few_questions_and_the_one_below_was_asked(
    blocks: list[int], least: int
) -> None:
    blocks, asked = sorted(blocks), []

    def fits(block: int) -> bool:
        asked.append(block)
        return block >= least

    found = first_that_fits(blocks, fits)
    assert found == min((block for block in blocks if block >= least), default=None)
    assert len(asked) == len(set(asked)) <= len(blocks).bit_length()
    below = [block for block in blocks if block < least]
    assert set(asked) >= {*below[-1:], *([] if found is None else [found])}


@given(st.floats(1e3, 1e7), st.floats(1, 1e5))
def test_what_a_call_costs_is_where_the_line_through_the_medians_begins(fixed: float, each: float) -> None:
    medians = {block: fixed + each * block for block in BLOCKS}
    assert fixed_cost(medians) == pytest.approx(fixed, rel=1e-3, abs=1e-3 * each * BLOCKS[0])
    assert math.isnan(fixed_cost({64: fixed}))


def test_a_cost_that_grows_faster_than_the_block_has_no_fixed_part() -> None:
    assert fixed_cost({block: float(block**2) for block in BLOCKS}) == 0


@pytest.mark.parametrize(
    ("median", "fixed", "said"),
    [
        (5e6, 1e6, "compute"),
        (5e6, 3e6, "dispatch"),
        (5e6, math.nan, "compute"),
        (3.7e6, 1e6, "compute"),  # it fits, and nothing is left for what varies
        (3e6, 1e6, "jitter"),
        (3e6, 2.5e6, "jitter"),
    ],
)
def test_what_limits_a_block_is_told_by_its_median_and_by_what_a_call_costs(
    median: float, fixed: float, said: str
) -> None:
    assert limit(BUDGET, median, fixed) == said


def board(cost: Callable[[int], float], hiccups: dict[int, int] | None = None) -> Callable[[Case], Steps]:
    """A board on which a step takes `cost(block)` ns; paced, a block of `hiccups` has one step that takes a second."""

    def measure(case: Case) -> Steps:
        measure.cases.append(case)  # type: ignore[attr-defined]
        times = steps(case.steps, cost(case.block))
        if case.mode == "burst":
            return {"step_ns": times}
        if hiccups and case.block in hiccups:
            times[hiccups[case.block]] = 10**9
        arrays = paced(times, case.block)
        late = np.flatnonzero(arrays["start_ns"] + times > ticks(times.size + 1, case.block, RATE)[1:])
        end = late[case.stop_after_misses - 1] + 1 if late.size else times.size
        return {name: values[:end] for name, values in arrays.items()}

    measure.cases = []  # type: ignore[attr-defined]
    return measure


def found_on(bundle: Bundle, measure: Callable[[Case], Steps], seconds: float | None = None) -> Found:
    return find(bundle, BLOCKS, 1, seconds, measure)


def test_a_board_that_is_fast_enough_is_limited_by_the_bundle(golden_bundle: Bundle) -> None:
    found = found_on(golden_bundle, board(lambda block: 1e6))
    assert (found.block, found.fails, found.limit) == (64, None, "")
    assert found.verdict and found.verdict.n == 15_000 and found.verdict.p99_9_high == 1e6


def test_a_board_on_which_every_call_costs_as_much_is_limited_by_dispatch(golden_bundle: Bundle) -> None:
    measure = board(lambda block: 6e6 + 1e3 * block)
    found = found_on(golden_bundle, measure)
    assert (found.block, found.fails, found.limit) == (128, 64, "dispatch")
    assert math.isnan(found.missed_after)
    cases = measure.cases  # type: ignore[attr-defined]
    assert 64 not in [case.block for case in cases if case.mode == "paced"]
    assert max(case.steps for case in cases if case.mode == "burst") <= 300


def test_a_board_that_is_too_slow_has_none_and_is_not_paced(golden_bundle: Bundle) -> None:
    measure = board(lambda block: 70e3 * block)
    found = found_on(golden_bundle, measure)
    assert (found.block, found.verdict, found.fails, found.limit) == (None, None, 1024, "compute")
    assert {case.mode for case in measure.cases} == {"burst"}  # type: ignore[attr-defined]


def test_a_board_with_a_hiccup_is_limited_by_jitter_and_the_run_ends_with_it(golden_bundle: Bundle) -> None:
    found = found_on(golden_bundle, board(lambda block: 1e6, {64: 100, 128: 200}))
    assert (found.block, found.fails, found.limit) == (256, 128, "jitter")
    assert found.missed_after == pytest.approx(201 * 0.008)


def shown(found: Found) -> str:
    (cells,) = table("pi", [found]).rows
    return " | ".join(cells)


def test_the_table_says_what_was_found_and_where_steps_are_too_few(golden_bundle: Bundle) -> None:
    small = found_on(golden_bundle, board(lambda block: 1e6))
    assert shown(small) == "hpn-reduced | 1 | 64 | 4 | 1.000 | 1.000 | 0 | not limited (smallest block in the bundle)"
    assert not any("n < 2995" in line for line in remarks([small]))
    large = found_on(golden_bundle, board(lambda block: 1e6, {64: 0, 128: 0, 256: 0}), 30)
    assert shown(large) == (
        "hpn-reduced | 1 | 512 (not proven: n < 2995) | 32 | 1.000 | n < 2995 | 0 | "
        "jitter at 256 (missed after 0.016 s)"
    )
    said = "\n".join(remarks([large]))
    assert "--seconds 96 would be enough" in said and "30 s is short" in said
    none = found_on(golden_bundle, board(lambda block: 70e3 * block))
    assert shown(none) == "hpn-reduced | 1 | none | - | - | - | - | compute at 1024"


@pytest.mark.parametrize(("block", "seconds"), [(64, 60), (256, 60), (512, 95.84), (1024, 191.68)])
def test_a_proof_is_a_minute_long_and_of_enough_steps_for_p99_9(
    golden_bundle: Bundle, block: int, seconds: float
) -> None:
    case = paced_case(golden_bundle, block, 1, None)
    assert case.steps * case.period == pytest.approx(seconds)
    assert verdict(paced(steps(case.steps, 1e6), block), block, RATE, case.steps).is_proven
    asked = paced_case(golden_bundle, block, 1, 60)
    judged = verdict(paced(steps(asked.steps, 1e6), block), block, RATE, asked.steps)
    assert judged.in_time and judged.is_proven == (block <= 256)


def test_a_large_block_is_proven_unless_seconds_say_otherwise(golden_bundle: Bundle) -> None:
    slow = board(lambda block: 6e6 if block == 1024 else 70e3 * block)
    found = found_on(golden_bundle, slow)
    assert found.block == 1024 and found.verdict and found.verdict.p99_9_high == 6e6
    assert "not proven" not in shown(found) and not any("not proven" in line for line in remarks([found]))
    assert "1024 (not proven: n < 2995)" in shown(found_on(golden_bundle, slow, 60))
