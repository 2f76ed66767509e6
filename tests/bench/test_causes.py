"""Why steps were slow, on recorded runs to which something was done."""

from __future__ import annotations

import numpy as np
import places
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tonearm.bench.stats.causes import CAUSES, NOTHING, blame, slow_steps
from tonearm.bench.stats.step_times import lateness, ticks

# hpn-reduced, blocks of 64, on a busy AMD EPYC without cpufreq, as the runner wrote them: 3000 steps back to back,
# 1000 on the audio clock, where the machine woke many of them 3.7 ms late.
STEPS = places.GOLDEN / "steps"
BUDGET = 4e6


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(STEPS / f"{name}.npz") as arrays:
        return dict(arrays)


def calm(steps: int = 3000) -> dict[str, np.ndarray]:
    """Steps like the recorded ones below p99, shuffled, with nothing that could be blamed but is recorded."""
    arrays = recorded("burst")
    times = np.sort(arrays["step_ns"])[:2900]
    step_ns = np.random.default_rng(0).choice(times, steps)
    quiet = {name: np.zeros(steps, np.int32) for name in ("voluntary", "involuntary", "minor_faults", "major_faults")}
    return {"step_ns": step_ns, "start_ns": np.cumsum(step_ns) - step_ns, "gc_ns": arrays["gc_ns"], **quiet}


def watched(arrays: dict[str, np.ndarray], **columns: np.ndarray) -> dict[str, np.ndarray]:
    """With telemetry every 0.1 s; what is not given was not known."""
    names = ["t_ns", "core", "frequency_khz", "temperature_mc", "throttled", "cpu", "memory", "io", "p", "q", "r"]
    table = np.full((seconds_tenths(arrays), len(names)), np.nan)
    table[:, 0] = np.arange(table.shape[0]) * 1e8
    for name, values in columns.items():
        table[:, names.index(name)] = values
    return arrays | {"telemetry": table}


def seconds_tenths(arrays: dict[str, np.ndarray]) -> int:
    return int(arrays["start_ns"][-1] // 10**8) + 2


def on_the_clock(arrays: dict[str, np.ndarray], late_ns: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The same steps, each when its block is due and the one before has ended, and `late_ns` after that."""
    starts, end = [], 0
    late_ns = np.zeros(arrays["step_ns"].size, np.int64) if late_ns is None else late_ns
    for tick, step, late in zip(ticks(late_ns.size, 64, 16000), arrays["step_ns"], late_ns, strict=True):
        starts.append(max(tick, end) + late)
        end = starts[-1] + step
    return arrays | {"start_ns": np.array(starts, np.int64)}


def sleeping(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """5 ms and a context switch more in every 100th step."""
    step_ns, voluntary = arrays["step_ns"].copy(), arrays["voluntary"].copy()
    step_ns[99::100] += 5_000_000
    voluntary[99::100] += 1
    return arrays | {"step_ns": step_ns, "start_ns": np.cumsum(step_ns) - step_ns, "voluntary": voluntary}


def test_a_sleep_in_every_hundredth_step_is_found_as_misses_and_blamed() -> None:
    found = blame(sleeping(recorded("burst")), BUDGET)
    first = found.iloc[0]
    assert (first["cause"], first["steps"], first["elsewhere"]) == ("waited", 30, 0)
    assert first["excess_ns"] == pytest.approx(30 * 5e6, rel=0.1)
    assert found.attrs["missed"] == 30 + 3  # three of the recorded run's own


def test_a_sleep_is_blamed_in_a_paced_run_and_what_it_delays_is_told_apart() -> None:
    paced = on_the_clock(sleeping(calm()))
    assert blame(paced, BUDGET, BUDGET)["cause"].tolist() == [
        "waited"
    ]  # the next block is in time again: 1 ms late, 0.3 ms long
    paced["step_ns"][99::100] += 3_000_000
    paced = on_the_clock(paced)
    found, steps = blame(paced, BUDGET, BUDGET), slow_steps(paced, BUDGET, BUDGET)
    assert found["cause"].tolist() == ["waited", "after a slow step"]
    assert set(zip(steps["step"] % 100, steps["causes"], strict=True)) == {
        (99, "waited"),
        (0, "after a slow step (waited)"),
    }


def test_a_frequency_drop_of_a_second_in_which_steps_take_longer_is_blamed() -> None:
    arrays = calm(20_000)
    during = (arrays["start_ns"] > 2e9) & (arrays["start_ns"] < 2.5e9)
    step_ns = np.where(during, 1.8 * arrays["step_ns"], arrays["step_ns"]).astype(np.int64)
    arrays |= {"step_ns": step_ns, "start_ns": np.cumsum(step_ns) - step_ns}
    slowed = arrays["start_ns"][during]
    times = np.arange(seconds_tenths(arrays)) * 1e8
    frequency = np.where((times > slowed[0]) & (times < slowed[-1]), 1_000_000, 1_800_000)
    found = blame(watched(arrays, frequency_khz=frequency), BUDGET)
    assert found["cause"].iloc[0] == "frequency drop"
    assert found["share"].iloc[0] > 0.8
    unknown = blame(watched(arrays), BUDGET)
    assert unknown["cause"].tolist() == [NOTHING]
    assert "frequency drop" in unknown.attrs["unknown"]
    assert "throttled" in unknown.attrs["unknown"]


def test_noise_has_no_known_cause() -> None:
    random, arrays = np.random.default_rng(4), calm(20_000)
    for name in ("voluntary", "involuntary", "minor_faults"):
        arrays[name] = (random.random(20_000) < 0.02).astype(np.int32)
    frequency = np.where(random.random(seconds_tenths(arrays)) < 0.1, 1.5e6, 1.8e6)
    found = blame(watched(arrays, frequency_khz=frequency, throttled=np.zeros(1), memory=np.zeros(1)), BUDGET)
    assert found["cause"].tolist() == [NOTHING]
    assert found["steps"].tolist() == [found.attrs["slow"]]
    assert set(slow_steps(arrays, BUDGET)["causes"]) == {NOTHING}


def test_what_chance_explains_is_not_blamed_though_it_is_more_frequent() -> None:
    arrays = calm(1000)
    slow = slow_steps(arrays, BUDGET)["step"].to_numpy()
    arrays["voluntary"][::12] = 1
    arrays["voluntary"][slow] = np.arange(10) < 3  # 30% against 8%: one run in 25 has that by chance
    assert blame(arrays, BUDGET)["cause"].tolist() == [NOTHING]
    arrays["voluntary"][slow] = np.arange(10) < 5
    assert blame(arrays, BUDGET)["cause"].tolist() == ["waited", NOTHING]


def test_what_every_step_has_is_not_blamed() -> None:
    arrays = recorded("burst")
    arrays["voluntary"] = arrays["voluntary"] + 4  # as with threads
    assert blame(arrays, BUDGET).equals(blame(recorded("burst"), BUDGET))


def test_the_recorded_run_was_preempted() -> None:
    found = blame(recorded("burst"), BUDGET)
    assert found["cause"].tolist() == ["preempted", NOTHING]
    assert found["steps"].tolist() == [7, 23]
    assert found["lift"].iloc[0] == pytest.approx(7 / 30 / (15 / 2970))


def test_the_recorded_run_on_the_audio_clock_woke_late() -> None:
    arrays = recorded("paced")
    found = blame(arrays, BUDGET, BUDGET)
    assert found["cause"].iloc[0] == "late wake-up"
    late = lateness(arrays["start_ns"], arrays["step_ns"], ticks(1000, 64, 16000))
    steps = slow_steps(arrays, BUDGET, BUDGET).set_index("step")
    assert steps["late_ns"].to_dict() == {step: late[step] for step in steps.index}
    woke = steps[steps["causes"].str.startswith("late wake-up")]
    assert found["excess_ns"].iloc[0] == pytest.approx(
        (woke["step_ns"] + woke["late_ns"]).sum() - len(woke) * np.median(arrays["step_ns"] + late)
    )


def test_a_step_that_is_short_but_woken_too_late_has_a_late_wake_up() -> None:
    late_ns = np.zeros(200, np.int64)
    late_ns[50] = 3_900_000
    found = blame(on_the_clock(calm(200), late_ns), BUDGET, BUDGET)
    assert found[["cause", "steps"]].to_numpy().tolist() == [["late wake-up", 1]]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("involuntary", "preempted"),
        ("voluntary", "waited"),
        ("minor_faults", "page fault"),
        ("major_faults", "page fault"),
    ],
)
def test_what_is_counted_in_slow_steps_alone_is_blamed(name: str, cause: str) -> None:
    arrays = calm()
    slow = np.array([100, 600, 601, 2400])
    arrays["step_ns"][slow] += 4_000_000
    arrays[name][slow] = 3
    steps = slow_steps(arrays, BUDGET)
    assert steps[steps["causes"] == cause]["step"].tolist() == slow.tolist()
    assert set(steps["causes"]) == {cause, NOTHING}


def test_a_garbage_collection_is_that_of_the_step_it_ran_in_or_before() -> None:
    arrays = calm()
    arrays["step_ns"][[100, 600]] += 4_000_000
    arrays["start_ns"] = np.cumsum(arrays["step_ns"] + 1000) - arrays["step_ns"]
    arrays["gc_ns"] = np.array([arrays["start_ns"][100] + 5, arrays["start_ns"][600] - 5, 10**12])
    steps = slow_steps(arrays, BUDGET)
    assert steps[steps["causes"] == "garbage collection"]["step"].tolist() == [100, 600]


def test_the_first_block_after_silence_is_blamed_wherever_the_clip_starts_again() -> None:
    arrays = calm() | {"silent": np.array([0] * 300 + [1] * 200, np.uint8)}  # sounds again at its start
    arrays["step_ns"][500::500] += 4_000_000
    steps = slow_steps(arrays, BUDGET)
    assert steps[steps["causes"] == "first after silence"]["step"].tolist() == [500, 1000, 1500, 2000, 2500]


@pytest.mark.parametrize("pressure", ["cpu", "memory", "io"])
def test_pressure_is_that_of_the_sample_in_which_the_step_lies(pressure: str) -> None:
    arrays = calm()
    inside = (arrays["start_ns"] > 2e8) & (arrays["start_ns"] < 3e8)
    arrays["step_ns"][np.flatnonzero(inside)[5:25]] += 1_000_000
    total = np.arange(seconds_tenths(arrays)) * 100.0  # as usual: 0.1% of the time
    total[3:] += 30_000
    found = blame(watched(arrays, **{pressure: total}), BUDGET)
    assert found["cause"].iloc[0] == f"{pressure} pressure"
    assert 20 <= found["steps"].iloc[0] < 25  # with slow ones that were there


@pytest.mark.parametrize("bits", [[0, 0, 0, 4, 0, 0], [0, 0, 0, 0x40000, 0x40000, 0x40000]])
def test_new_throttled_bits_are_blamed(bits: list[int]) -> None:
    arrays = calm(2500)
    slow = (arrays["start_ns"] > 2.6e8) & (arrays["start_ns"] < 2.9e8)
    arrays["step_ns"][np.flatnonzero(slow)[:20]] += 1_000_000
    seen = np.resize(np.array(bits + [bits[-1]] * 50), seconds_tenths(arrays))
    assert blame(watched(arrays, throttled=seen), BUDGET)["cause"].iloc[0] == "throttled"
    always = np.full(seen.size, 0x50005)
    assert "throttled" not in set(blame(watched(arrays, throttled=always), BUDGET)["cause"])


@pytest.mark.parametrize("failed", [[2], [0, 1, 2], [2, 3]])
def test_bits_that_were_there_before_a_look_that_failed_are_not_blamed(failed: list[int]) -> None:
    arrays = calm(2500)
    slow = (arrays["start_ns"] > 2.1e8) & (arrays["start_ns"] < 3.9e8)
    arrays["step_ns"][np.flatnonzero(slow)[:20]] += 1_000_000
    since_boot = np.full(seconds_tenths(arrays), 0x50000, np.float64)
    since_boot[failed] = np.nan
    found = blame(watched(arrays, throttled=since_boot), BUDGET)
    assert "throttled" not in {*found["cause"], *found.attrs["unknown"]}


def test_with_too_few_steps_for_p99_only_those_too_late_are_slow() -> None:
    arrays = calm(298)
    none = blame(arrays, BUDGET)
    assert len(none) == none.attrs["slow"] == 0
    arrays["step_ns"][7], arrays["voluntary"][7] = 5_000_000, 1
    assert blame(arrays, BUDGET)[["cause", "steps"]].to_numpy().tolist() == [["waited", 1]]


def test_a_model_too_slow_for_its_block_is_said_to_be() -> None:
    arrays = calm()
    for period in (None, 1e5):
        found = blame(arrays, 1e5, period)
        assert found.attrs["slow"] == found.attrs["missed"] == 3000


def test_step_times_alone_will_do() -> None:
    found = blame({"step_ns": recorded("burst")["step_ns"]}, BUDGET, BUDGET)
    assert found[["cause", "steps"]].to_numpy().tolist() == [[NOTHING, 30]]
    assert set(found.attrs["unknown"]) == set(CAUSES)
    empty = {name: values[:0] for name, values in recorded("burst").items()}
    assert blame(empty, BUDGET).empty and slow_steps(empty, BUDGET, BUDGET).empty


@given(st.data())
def test_every_slow_step_is_counted_for_each_of_its_causes(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 500))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    arrays = calm(size)
    arrays["step_ns"][random.random(size) < 0.05] += 5_000_000
    arrays["voluntary"] = np.where(random.random(size) < 0.5, arrays["step_ns"] > BUDGET, 0)
    arrays["involuntary"] = random.integers(0, 2, size)
    period = data.draw(st.sampled_from([None, BUDGET]))
    arrays = on_the_clock(arrays, random.integers(0, 4_000_000, size)) if period else arrays
    found, steps = blame(arrays, BUDGET, period), slow_steps(arrays, BUDGET, period)
    assert len(steps) == found.attrs["slow"] >= found.attrs["missed"]
    for row in found.to_dict("records"):
        assert steps["causes"].str.contains(f"(?:^|, ){row['cause']}").sum() == row["steps"] > 0
        assert row["share"] == row["steps"] / len(steps)
    assert found["excess_ns"].is_monotonic_decreasing
