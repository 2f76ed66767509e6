"""Statistics of step times, replayed from recorded samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tonearm.bench.stats import PERCENTILES, percentile_name, steps_needed, summarise

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
    assert (row["misses"], row["miss_rate_bound"]) == (0, 3 / 60)


@pytest.mark.parametrize(("budget", "misses"), [(936223, 1), (311482, 3), (180000, 60)])
def test_steps_longer_than_the_budget_are_misses(budget: float, misses: int) -> None:
    row = summarise(RECORDED, budget)
    assert row["misses"] == misses
    assert math.isnan(row["miss_rate_bound"])
