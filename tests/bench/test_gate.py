"""The gate: what got slower or larger than its own noise explains, of recorded steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import process, tonearm
from hypothesis import given
from hypothesis import strategies as st
from recorded import BOARD, record
from tonearm.bench.compare.gate import FLOORS, NOISES, SAME, TOO_NOISY, UNSURE, Change, gate
from tonearm.bench.errors import BenchError
from tonearm.bench.results.store import load
from tonearm.bench.terms import INSTRUCTIONS, TIME


def verdicts(old: Path, new: Path) -> dict[str, str]:
    """Measure -> verdict, of one case."""
    return {change.measure: change.verdict for change in gate(load(old), load(new)).changes}


@pytest.mark.parametrize(("clock", "share"), [(INSTRUCTIONS, 0.004), (INSTRUCTIONS, 0.006), (TIME, 0.04), (TIME, 0.06)])
def test_a_change_counts_from_the_floor_on_which_is_far_lower_where_instructions_are_counted(
    tmp_path: Path, clock: str, share: float
) -> None:
    record(tmp_path / "a", [1.0], clock=clock, peak_kb=100_000)
    record(tmp_path / "b", [1 + share], clock=clock, peak_kb=round(100_000 * (1 + share)))
    there, back = verdicts(tmp_path / "a", tmp_path / "b"), verdicts(tmp_path / "b", tmp_path / "a")
    beyond = share > FLOORS[clock]
    assert (there["p50"], there["peak_kb"]) == (("slower", "larger") if beyond else (SAME, SAME))
    assert (back["p50"], back["peak_kb"]) == (("faster", "smaller") if beyond else (SAME, SAME))
    assert there["model_kb"] == there["file_bytes"] == SAME


def test_repeats_that_differ_allow_three_times_their_range(tmp_path: Path) -> None:
    record(tmp_path / "a", [0.98, 1.0, 1.02])
    for name, by in (("b", 1.11), ("c", 1.13)):
        record(tmp_path / name, [0.98 * by, by, 1.02 * by])
    [less, more] = (
        [c for c in gate(load(tmp_path / "a"), load(tmp_path / x)).changes if c.measure == "p50"] for x in "bc"
    )
    assert less[0].allowed == pytest.approx(NOISES * 0.04, rel=1e-3)
    assert (less[0].verdict, more[0].verdict) == (SAME, "slower")
    assert more[0].ratio == pytest.approx(1.13, rel=1e-3)


def test_what_is_measured_once_a_run_is_judged_where_it_repeats(tmp_path: Path) -> None:
    for name, session in (("a", 0.2), ("b", 0.3)):
        record(tmp_path / name / "timed", [1.0, 1.0, 1.0], session=session)
        record(tmp_path / name / "counted", [1.0], session=session, clock=INSTRUCTIONS)
    timed, counted = (verdicts(tmp_path / "a" / kind, tmp_path / "b" / kind) for kind in ("timed", "counted"))
    assert "session" not in timed and "first" not in timed
    assert (counted["session"], counted["first"]) == ("slower", SAME)


def test_how_steps_of_the_clip_differ_is_noise_of_a_clock_and_none_of_a_count(tmp_path: Path) -> None:
    spread = np.linspace(0.8, 1.2, 60)
    for clock in (TIME, INSTRUCTIONS):
        record(tmp_path / clock / "a", [spread], clock=clock)
        record(tmp_path / clock / "b", [1.06 * spread], clock=clock)
    found = {clock: verdicts(tmp_path / clock / "a", tmp_path / clock / "b")["p50"] for clock in (TIME, INSTRUCTIONS)}
    assert found == {TIME: SAME, INSTRUCTIONS: "slower"}


def test_a_difference_smaller_than_an_empty_step_is_not_seen(tmp_path: Path) -> None:
    """A step of 1 ms that took 0.1 ms more is not slower where the clock itself takes 0.15 ms."""
    record(tmp_path / "a", [1.0], floor_ms=0.15)
    record(tmp_path / "b", [1.1], floor_ms=0.15)
    assert verdicts(tmp_path / "a", tmp_path / "b")["p50"] == SAME


@given(st.floats(0.1, 10), st.floats(1e-3, 1))
def test_a_verdict_is_what_the_ratio_and_what_is_allowed_say(ratio: float, allowed: float) -> None:
    verdict = Change("case", TIME, "p50", 1, ratio, ratio, allowed).verdict
    assert (verdict in (SAME, UNSURE)) == (abs(ratio - 1) <= allowed)
    assert verdict != SAME or allowed <= TOO_NOISY
    assert verdict != UNSURE or allowed > TOO_NOISY
    assert verdict in (SAME, UNSURE) or (verdict == "slower") == (ratio > 1)


def test_what_may_change_by_more_than_a_fifth_and_did_not_is_not_called_the_same(tmp_path: Path) -> None:
    record(tmp_path / "a", [0.9, 1.0, 1.5])
    record(tmp_path / "b", [1.4, 1.5, 1.6])
    done = tonearm("gate", tmp_path / "a", tmp_path / "b")
    [row] = [line for line in done.stdout.splitlines() if line.startswith(" hpn")]
    assert "p50" in row and "180.00%" in row and "too noisy to tell" in row
    assert "1 too noisy to tell, 4 the same, of 5 figures" in done.stdout.splitlines()[-1]
    assert "widest allowance 180.00%, p50 of hpn-reduced" in done.stdout.splitlines()[-1]


def test_a_tail_that_its_steps_and_repeats_show_to_be_longer_is_slower(tmp_path: Path) -> None:
    calm = np.linspace(1, 1.02, 400)
    stormy = np.where(np.arange(400) % 40 == 0, 3.0, calm)
    for name, repeats in (("calm", [calm] * 3), ("stormy", [stormy] * 3), ("once", [calm, calm, stormy])):
        record(tmp_path / name, repeats)
    found = {name: verdicts(tmp_path / "calm", tmp_path / name) for name in ("calm", "stormy", "once")}
    assert [(one["p50"], one["p99"]) for one in found.values()] == [(SAME, SAME), (SAME, "slower"), (SAME, UNSURE)]
    assert verdicts(tmp_path / "stormy", tmp_path / "calm")["p99"] == "faster"
    assert "p99" not in verdicts(*_short(tmp_path))


def _short(folder: Path) -> tuple[Path, Path]:
    """Steps too few for p99."""
    for name, last in (("few", 1.0), ("other", 9.0)):
        record(folder / name, [np.where(np.arange(60) == 59, last, 1.0)])
    return folder / "few", folder / "other"


def test_the_farthest_percentile_that_can_tell_is_judged(tmp_path: Path) -> None:
    calm = np.linspace(1, 1.02, 4000)
    one_in_250 = np.where(np.arange(4000) % 250 == 0, 3.0, calm)
    for name, steps in (("calm", calm), ("far", one_in_250), ("one", np.where(np.arange(4000) == 9, 9.0, calm))):
        record(tmp_path / name, [steps])
    assert verdicts(tmp_path / "calm", tmp_path / "far")["p99.9"] == "slower"
    assert verdicts(tmp_path / "one", tmp_path / "one")["p99"] == SAME  # of p99.9 the bounds are 1 and 9 ms


@pytest.mark.parametrize(("late", "said"), [(1, SAME), (2, SAME), (80, "more misses")])
def test_misses_count_where_the_bounds_of_their_rates_leave_a_gap(tmp_path: Path, late: int, said: str) -> None:
    for name, n in (("a", 1), ("b", late)):
        record(tmp_path / name, [np.where(np.arange(400) < n, 5.0, 1.0)], mode="paced")
    assert verdicts(tmp_path / "a", tmp_path / "b")["misses"] == said
    assert verdicts(tmp_path / "b", tmp_path / "a")["misses"] == said.replace("more", "fewer")
    done = tonearm("gate", tmp_path / "a", tmp_path / "b", status=said != SAME)
    assert ("+26.25% points" in done.stdout) == (said != SAME)  # a late step makes the next one late


def test_a_run_that_a_search_stopped_at_a_miss_is_no_case(tmp_path: Path) -> None:
    whole, cut = np.ones(60), np.where(np.arange(15) == 14, 5.0, 1.0)
    for name, steps in (("a", whole), ("b", cut), ("c", whole)):
        record(tmp_path / name, [steps], mode="paced", stop_after_misses=1)
        record(tmp_path / name, [1.0], name="burst")
    assert len(gate(load(tmp_path / "a"), load(tmp_path / "c")).only_old) == 0
    [gone] = gate(load(tmp_path / "a"), load(tmp_path / "b")).only_old
    assert "paced" in gone


def test_the_newest_is_compared_and_the_same_weights_and_steps_where_there_are(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0], weights="checkpoint one.pt")
    record(tmp_path / "a", [2.0], weights="checkpoint two.pt", name="two")
    record(tmp_path / "b", [1.0], weights="checkpoint one.pt")
    record(tmp_path / "c", [2.0], weights="checkpoint three.pt")
    for name in "bc":
        assert verdicts(tmp_path / "a", tmp_path / name)["p50"] == SAME
        assert len([c for c in gate(load(tmp_path / "a"), load(tmp_path / name)).changes if c.measure == "p50"]) == 1


def test_counts_of_other_stretches_of_the_clip_are_not_compared(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0], clock=INSTRUCTIONS, steps=60)
    record(tmp_path / "b", [1.0], clock=INSTRUCTIONS, steps=20)
    with pytest.raises(BenchError, match="no case is in both"):
        gate(load(tmp_path / "a"), load(tmp_path / "b"))


def test_the_command_shows_what_changed_and_fails_for_what_got_worse(tmp_path: Path) -> None:
    for model in ("hpn-full", "hpn-reduced"):
        record(tmp_path / "a", [1.0], model=model, name=model)
    record(tmp_path / "b", [0.5], model="hpn-full", name="hpn-full")
    record(tmp_path / "b", [1.2], model="hpn-reduced", name="hpn-reduced", peak_kb=90_000)
    done = process("gate", tmp_path / "a", tmp_path / "b", status=1)
    rows = [line.split() for line in done.stdout.splitlines() if " on pi " in line]
    assert [(row[0], row[-1]) for row in rows] == [
        ("hpn-full,", "faster"),
        ("hpn-reduced,", "slower"),
        ("hpn-reduced,", "larger"),
    ]
    assert "hpn-reduced, block 64, burst, on pi" in done.stdout and "+20.00%" in done.stdout
    assert done.stderr == (
        "tonearm: 1 faster, 1 slower, 1 larger, 7 the same, of 10 figures of 2 cases; "
        "widest allowance 5.00%, p50 of hpn-full, block 64, burst, on pi\n"
    )


def test_the_command_is_content_with_less(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    record(tmp_path / "b", [0.5])
    assert "1 faster, 4 the same, of 5 figures of 1 case; " in tonearm("gate", tmp_path / "a", tmp_path / "b").stdout


def test_a_case_that_is_gone_fails_a_new_one_is_remarked_on_and_none_in_both_is_an_error(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    record(tmp_path / "a", [1.0], block=256, name="b")
    record(tmp_path / "b", [1.0])
    record(tmp_path / "c", [1.0], model="another")
    gone, error = tonearm("gate", tmp_path / "a", tmp_path / "b", status=1).stderr.splitlines()
    assert gone == f"hpn-reduced, block 256, burst, on pi: in {tmp_path / 'a'}, but missing in {tmp_path / 'b'}"
    assert error.startswith("tonearm: 1 case missing, 5 the same, of 5 figures of 1 case")
    said = tonearm("gate", tmp_path / "b", tmp_path / "a").stderr
    assert said == (
        f"hpn-reduced, block 256, burst, on pi: in {tmp_path / 'a'}, not in {tmp_path / 'b'}, so not compared\n"
    )
    assert "no case is in both" in tonearm("gate", tmp_path / "b", tmp_path / "c", status=1).stderr


def test_a_board_with_another_kernel_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    record(tmp_path / "b", [1.0], facts={**BOARD, "kernel": "6.12.0"})
    said = tonearm("gate", tmp_path / "a", tmp_path / "b", status=1).stderr
    assert "has kernel 6.1.0 in" in said and "6.12.0 in" in said and "--different" in said
    assert "5 the same" in tonearm("gate", tmp_path / "a", tmp_path / "b", "--different").stdout


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    assert "there is no folder" in tonearm("gate", tmp_path / "a", tmp_path / "none", status=1).stderr
