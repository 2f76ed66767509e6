"""Statistics of step times, replayed from recorded samples."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import places
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tonearm.bench.stats.step_times import (
    PERCENTILES,
    bounding_ranks,
    compare_cases,
    lateness,
    missed,
    noise,
    percentile_name,
    percentiles,
    rate_high,
    repeat_ratio,
    steps_needed,
    summarise,
    ticks,
    xruns,
)

# 1000 steps of hpn-reduced, blocks of 64, on the audio clock of a busy AMD EPYC, as the runner wrote them.
PACED = dict(np.load(places.GOLDEN / "steps" / "paced.npz"))
PERIOD = 4e6

# hpn-reduced, blocks of 64, 60 steps of the runner's on a busy AMD EPYC: nanoseconds, the first step late.
RECORDED = np.array(
    [
        *(936224, 311483, 237493, 228080, 248479, 228279, 226127, 283302, 238364, 225095, 244935, 222652),
        *(223933, 222842, 224925, 234699, 336471, 232747, 222832, 229071, 230413, 237994, 224955, 219347),
        *(218125, 238425, 219757, 217073, 223773, 219557, 212707, 222000, 211655, 284313, 235791, 213508),
        *(213909, 212086, 222641, 230093, 190723, 191965, 188200, 195932, 182812, 185767, 181570, 185526),
        *(192928, 187850, 189212, 185837, 263071, 296781, 193208, 189813, 194960, 189442, 199096, 194519),
    ],
    np.int64,
)


def test_a_recorded_run_gives_the_figures_it_gave() -> None:
    row = summarise(RECORDED, budget_ns=4e6)
    ordered = sorted(RECORDED.tolist())
    assert row["p50"] == (ordered[29] + ordered[30]) / 2 == 222646.5
    assert row["p95"] == pytest.approx(ordered[56] + 0.05 * (ordered[57] - ordered[56]))
    assert (row["max"], row["misses"]) == (936224, 0)
    assert row["mean"] == pytest.approx(sum(ordered) / 60)
    assert row["std"] == pytest.approx(math.sqrt(sum((x - sum(ordered) / 60) ** 2 for x in ordered) / 59))


def test_no_sample_is_deleted_as_an_outlier() -> None:
    assert summarise(RECORDED, 4e6)["max"] == RECORDED.max()
    assert summarise(RECORDED, 4e6)["mean"] > np.sort(RECORDED)[:-1].mean()


@pytest.mark.parametrize(("percentile", "needed"), [(50, 5), (90, 29), (95, 59), (99, 299), (99.9, 2995)])
def test_a_percentile_is_given_from_the_first_sample_size_that_supports_it(percentile: float, needed: int) -> None:
    assert steps_needed(percentile) == needed
    assert 1 - (percentile / 100) ** needed >= 0.95 > 1 - (percentile / 100) ** (needed - 1)
    name = percentile_name(percentile)
    assert math.isnan(summarise(np.resize(RECORDED, needed - 1), 4e6)[name])
    assert summarise(np.resize(RECORDED, needed), 4e6)[name] == np.percentile(np.resize(RECORDED, needed), percentile)


def test_a_single_step_has_no_percentile_and_no_spread() -> None:
    row = summarise(RECORDED[:1], 4e6)
    assert all(math.isnan(row[percentile_name(p)]) for p in PERCENTILES)
    assert math.isnan(row["std"])
    assert (row["max"], row["mean"]) == (936224, 936224)


def test_without_a_miss_the_rate_is_bounded_by_three_in_n() -> None:
    row = summarise(RECORDED, budget_ns=936224)  # a step that takes exactly its budget is in time
    assert (row["misses"], row["miss_rate"]) == (0, 0)
    assert row["miss_rate_high"] == pytest.approx(1 - 0.05 ** (1 / 60))
    assert row["miss_rate_high"] < 3 / 60


@pytest.mark.parametrize(("budget", "misses"), [(936223, 1), (311482, 3), (180000, 60)])
def test_steps_longer_than_the_budget_are_misses(budget: float, misses: int) -> None:
    row = summarise(RECORDED, budget)
    assert (row["misses"], row["miss_rate"]) == (misses, misses / 60)
    assert row["miss_rate_high"] > misses / 60 or misses == 60


def test_steps_may_be_told_to_be_too_late_whatever_they_took() -> None:
    late = np.arange(60) % 20 == 7
    assert summarise(RECORDED, 4e6, late)["misses"] == 3


def test_without_steps_there_is_no_figure() -> None:
    row = summarise(RECORDED[:0], 4e6)
    assert row.pop("misses") == 0
    assert all(map(math.isnan, row.values()))


@given(events=st.integers(0, 300), more=st.integers(0, 10**7))
def test_the_bound_of_a_rate_is_that_of_clopper_and_pearson(events: int, more: int) -> None:
    n = events + more
    if n:
        exact = stats.binomtest(events, n, alternative="less").proportion_ci(0.95, "exact").high
        assert rate_high(events, n) == pytest.approx(exact, rel=1e-9)


@given(n=st.integers(1, 10**7), percentile=st.sampled_from(PERCENTILES))
def test_the_ranks_are_the_closest_that_bound_a_percentile_with_95_percent(n: int, percentile: float) -> None:
    below, above = bounding_ranks(n, percentile)
    samples_below = stats.binom(n, percentile / 100)
    assert samples_below.sf(below - 1) >= 0.95 or below == 0
    assert samples_below.sf(below) < 0.95 + 1e-12  # p95 of one sample: equal but for rounding
    assert samples_below.cdf(above - 1) >= 0.95 - 1e-12
    assert samples_below.cdf(above - 2) < 0.95
    assert (above <= n) == (n >= steps_needed(percentile))


@pytest.mark.parametrize("n", [60, 299, 3000])
def test_the_true_percentile_lies_within_each_bound_as_often_as_said(n: int) -> None:
    random = np.random.default_rng(0)
    rows = [percentiles((1e6 * random.exponential(size=n)).astype(np.int64)) for _ in range(500)]
    for p in PERCENTILES:
        true, name = -1e6 * math.log(1 - p / 100), percentile_name(p)
        if n >= steps_needed(p):
            assert np.mean([row[f"{name}_low"] <= true for row in rows]) >= 0.93
            assert np.mean([true <= row[f"{name}_high"] + 1 for row in rows]) >= 0.93
        else:
            assert all(math.isnan(row[f"{name}_high"]) and math.isnan(row[name]) for row in rows)


@given(st.lists(st.integers(0, 10**12), min_size=5, max_size=400), st.integers(1, 1000))
def test_bounds_enclose_their_percentile_and_follow_the_unit(times: list[int], factor: int) -> None:
    row = percentiles(np.array(times, np.int64))
    scaled = percentiles(np.array(times, np.int64) * factor)
    for p in PERCENTILES:
        name = percentile_name(p)
        if not math.isnan(row[name]):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
            assert scaled[f"{name}_high"] == row[f"{name}_high"] * factor


@given(
    block=st.integers(1, 65536),
    sample_rate=st.sampled_from([16000, 22050, 44100, 48000, 96000]),
    index=st.integers(0, 2000),
)
def test_ticks_do_not_add_up_rounding(block: int, sample_rate: int, index: int) -> None:
    assert ticks(index + 1, block, sample_rate)[-1] == Fraction(index * block * 10**9, sample_rate) // 1


def test_ticks_of_a_week_do_not_overflow() -> None:
    assert ticks(10**7, 4096, 44100)[-1] == (10**7 - 1) * 4096 * 10**9 // 44100


def played(step_ns: np.ndarray, late_ns: np.ndarray, tick_ns: np.ndarray) -> np.ndarray:
    """When a player that must wait for each tick, and for its own steps, would have started each."""
    starts, end = [], 0
    for step, late, tick in zip(step_ns.tolist(), late_ns.tolist(), tick_ns.tolist(), strict=True):
        starts.append(max(tick, end) + late)
        end = starts[-1] + step
    return np.array(starts, np.int64)


durations = st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 900)), min_size=1, max_size=50)


@given(durations, st.integers(1, 3000), st.integers(1, 6))
def test_a_sound_card_misses_the_blocks_that_are_not_there_when_it_has_played_the_others(
    pairs: list[tuple[int, int]], period: int, buffers: int
) -> None:
    step_ns, late_ns = np.array(pairs, np.int64).T
    tick_ns = np.arange(len(pairs), dtype=np.int64) * period
    start_ns = played(step_ns, late_ns, tick_ns)
    assert lateness(start_ns, step_ns, tick_ns).tolist() == late_ns.tolist()
    due = [(i + buffers - 1) * period for i in range(len(pairs))]
    too_late = [end > limit for end, limit in zip((start_ns + step_ns).tolist(), due, strict=True)]
    assert missed(start_ns, step_ns, tick_ns, period, buffers).tolist() == too_late
    assert xruns(start_ns, step_ns, tick_ns, period, buffers) == sum(too_late)


def test_a_recorded_run_on_the_audio_clock_gives_fewer_xruns_with_more_buffers() -> None:
    clock = ticks(1000, 64, 16000)
    late = lateness(PACED["start_ns"], PACED["step_ns"], clock)
    assert (int(late.min()), int(late.max())) == (40801, 7691872)
    counts = [xruns(PACED["start_ns"], PACED["step_ns"], clock, PERIOD, k) for k in (2, 3, 4)]
    assert counts == [148, 3, 0]


def test_two_runs_of_one_clip_are_compared_step_by_step() -> None:
    content = 1 + 0.5 * np.sin(np.arange(4000) / 30)  # what the clip asks for moves both
    random = np.random.default_rng(1)
    a, b = (scale * content * random.lognormal(0, 0.02, 4000) for scale in (1e6, 1.1e6))
    paired, alone = compare_cases([a], [b]), compare_cases([a], [random.permutation(b)])
    assert paired.low < 1.1 < paired.high
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


@pytest.mark.parametrize("n", [2500, 20_000])
def test_the_interval_of_a_ratio_is_as_wide_as_theory_has_it_for_independent_steps(n: int) -> None:
    random = np.random.default_rng(5)
    found = compare_cases(*([run] for run in 1e6 * np.exp(random.normal(0, 0.05, (2, n)))))
    error = math.sqrt(math.pi / 2) * 0.05 * math.sqrt(2 / n)  # of the difference of two medians
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.25)


def test_the_interval_of_a_ratio_holds_the_true_one_as_often_as_said_though_neighbours_are_alike() -> None:
    random = np.random.default_rng(2)

    def run(scale: float) -> np.ndarray:
        drift = np.convolve(random.standard_normal(608), np.full(9, 1 / 3), "valid")
        return scale * np.exp(0.05 * drift + 0.01 * random.standard_normal(600))

    found = [compare_cases([run(1e6)], [run(1.2e6)]) for _ in range(100)]
    assert np.mean([interval.low <= 1.2 <= interval.high for interval in found]) >= 0.85


@pytest.mark.parametrize("repeats", [3, 5, 8])
def test_the_interval_over_repeats_holds_the_true_ratio_as_often_as_said(repeats: int) -> None:
    random = np.random.default_rng(3)

    def runs(scale: float) -> list[np.ndarray]:
        return [np.full(5, scale * math.exp(0.02 * random.standard_normal())) for _ in range(repeats)]

    found = [repeat_ratio(runs(1e6), runs(2e6)) for _ in range(300)]
    assert np.mean([interval.low <= 2 <= interval.high for interval in found]) >= 0.92


def test_counts_that_repeat_exactly_give_an_exact_ratio() -> None:
    a = np.array([801, 790, 805, 790, 799, 801, 812])
    assert compare_cases([a] * 3, [2 * a] * 3) == (2, 2, 2)
    assert compare_cases([a], [2 * a]) == (2, 2, 2)
    assert compare_cases([np.full(7, 800)], [np.full(7, 1000)]) == (1.25, 1.25, 1.25)


def test_the_interval_of_seven_counts_is_that_of_what_they_differ() -> None:
    a = np.array([801, 790, 805, 790, 799, 801, 812])
    found = compare_cases([a], [a + np.array([0, 80, 0, 80, 0, 80, 80])])
    assert (found.low, found.high) == pytest.approx((1.0, 1.1), abs=0.02)
    assert found.low < found.value == np.median([801, 870, 805, 870, 799, 881, 892]) / 801 < found.high


def test_too_few_steps_give_a_ratio_without_an_interval_and_none_give_none() -> None:
    found = compare_cases([RECORDED[:4]], [2 * RECORDED[:4]])
    assert found.value == 2
    assert math.isnan(found.low) and math.isnan(found.high)
    for a, b in (([], [RECORDED]), ([RECORDED[:0]], [RECORDED]), ([np.zeros(9)], [RECORDED])):
        assert all(map(math.isnan, compare_cases(a, b)))


def test_runs_of_unequal_length_are_paired_as_far_as_both_go() -> None:
    found = compare_cases([RECORDED, RECORDED[:30]], [2 * RECORDED[:40], 2 * RECORDED])
    assert found.low == found.high * 1.0 == found.value == pytest.approx(2, rel=0.1)


def test_from_three_repeats_on_the_interval_is_that_of_the_runs() -> None:
    a = [RECORDED, RECORDED, RECORDED]
    b = [RECORDED, RECORDED + RECORDED // 10, RECORDED - RECORDED // 10]
    assert compare_cases(a[:2], b[:2]).high < 1.15 < compare_cases(a, b).high


@given(st.lists(st.integers(1, 10**9), min_size=5, max_size=60), st.integers(2, 9))
def test_swapping_two_cases_inverts_their_ratio(times: list[int], factor: int) -> None:
    a = np.array(times, np.int64)
    b = np.roll(a, 1) * factor
    there, back = compare_cases([a], [b]), compare_cases([b], [a])
    assert there.value == pytest.approx(1 / back.value)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low), rel=1e-6)


def test_the_noise_of_a_case_is_how_its_runs_differ_or_how_well_one_is_known() -> None:
    assert noise([RECORDED, RECORDED + RECORDED // 10]) == pytest.approx(0.1 / 1.05, rel=0.01)
    assert noise([RECORDED] * 3) == 0
    row = percentiles(RECORDED)
    assert noise([RECORDED]) == (row["p50_high"] - row["p50_low"]) / 2 / row["p50"]
    assert math.isnan(noise([RECORDED[:4]])) and math.isnan(noise([]))
