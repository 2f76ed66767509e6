"""The gate: what got slower or larger than its own noise explains, of recorded steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import BOARD, record
from tonearm.bench.errors import BenchError
from tonearm.bench.gate import FLOORS, NOISES, SAME, Change, gate
from tonearm.bench.results import INSTRUCTIONS, TIME, load


def verdicts(old: Path, new: Path) -> dict[str, str]:
    """Measure -> verdict, of one case."""
    return {change.measure: change.verdict for change in gate(load(old), load(new)).changes}


def tonearm(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "tonearm"), "gate", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    return done


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
    record(tmp_path / "a", [0.97, 1.0, 1.03])
    for name, by in (("b", 1.17), ("c", 1.19)):
        record(tmp_path / name, [0.97 * by, by, 1.03 * by])
    [less, more] = (
        [c for c in gate(load(tmp_path / "a"), load(tmp_path / x)).changes if c.measure == "p50"] for x in "bc"
    )
    assert less[0].allowed == pytest.approx(NOISES * 0.06, rel=1e-3)
    assert (less[0].verdict, more[0].verdict) == (SAME, "slower")
    assert more[0].ratio == pytest.approx(1.19, rel=1e-3)


def test_what_is_measured_once_a_run_is_judged_where_it_repeats(tmp_path: Path) -> None:
    for name, session in (("a", 0.2), ("b", 0.3)):
        record(tmp_path / name / "timed", [1.0, 1.0, 1.0], session=session)
        record(tmp_path / name / "counted", [1.0], session=session, clock=INSTRUCTIONS)
    timed, counted = (verdicts(tmp_path / "a" / kind, tmp_path / "b" / kind) for kind in ("timed", "counted"))
    assert "session" not in timed and "first" not in timed
    assert (counted["session"], counted["first"]) == ("slower", SAME)


def test_how_steps_of_the_clip_differ_is_noise_of_a_clock_and_none_of_a_count(tmp_path: Path) -> None:
    spread = np.linspace(0.5, 1.5, 60)
    for clock in (TIME, INSTRUCTIONS):
        record(tmp_path / clock / "a", [spread], clock=clock)
        record(tmp_path / clock / "b", [1.06 * spread], clock=clock)
    found = {clock: verdicts(tmp_path / clock / "a", tmp_path / clock / "b")["p50"] for clock in (TIME, INSTRUCTIONS)}
    assert found == {TIME: SAME, INSTRUCTIONS: "slower"}


def test_a_difference_smaller_than_an_empty_step_is_not_seen(tmp_path: Path) -> None:
    """A step of 1 ms that took 0.1 ms more is not slower where the clock itself takes 0.2 ms."""
    record(tmp_path / "a", [1.0], floor_ms=0.2)
    record(tmp_path / "b", [1.1], floor_ms=0.2)
    assert verdicts(tmp_path / "a", tmp_path / "b")["p50"] == SAME


@given(st.floats(0.1, 10), st.floats(1e-3, 1))
def test_a_verdict_is_what_the_ratio_and_what_is_allowed_say(ratio: float, allowed: float) -> None:
    verdict = Change("case", TIME, "p50", 1, ratio, ratio, allowed).verdict
    assert (verdict == SAME) == (abs(ratio - 1) <= allowed)
    assert verdict == SAME or (verdict == "slower") == (ratio > 1)


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
    done = tonearm(tmp_path / "a", tmp_path / "b", status=1)
    rows = [line.split() for line in done.stdout.splitlines() if " on pi " in line]
    assert [(row[0], row[-1]) for row in rows] == [
        ("hpn-full,", "faster"),
        ("hpn-reduced,", "slower"),
        ("hpn-reduced,", "larger"),
    ]
    assert "hpn-reduced, block 64, burst, on pi" in done.stdout and "+20.00%" in done.stdout
    assert done.stderr == "tonearm: 1 faster, 1 slower, 1 larger, 5 the same, of 8 figures of 2 cases\n"


def test_the_command_is_content_with_less(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    record(tmp_path / "b", [0.5])
    assert tonearm(tmp_path / "a", tmp_path / "b").stdout.endswith("1 faster, 3 the same, of 4 figures of 1 case\n")


def test_a_case_of_one_side_is_remarked_on_and_none_in_both_is_an_error(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    record(tmp_path / "a", [1.0], block=256, name="b")
    record(tmp_path / "b", [1.0])
    record(tmp_path / "c", [1.0], model="another")
    said = tonearm(tmp_path / "a", tmp_path / "b").stderr
    assert said == (
        f"hpn-reduced, block 256, burst, on pi: in {tmp_path / 'a'}, not in {tmp_path / 'b'}, so not compared\n"
    )
    assert "no case is in both" in tonearm(tmp_path / "b", tmp_path / "c", status=1).stderr


def test_a_board_with_another_kernel_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    record(tmp_path / "b", [1.0], facts={**BOARD, "kernel": "6.12.0"})
    said = tonearm(tmp_path / "a", tmp_path / "b", status=1).stderr
    assert "has kernel 6.1.0 in" in said and "6.12.0 in" in said and "--different compares them" in said
    assert "4 the same" in tonearm(tmp_path / "a", tmp_path / "b", "--different").stdout


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0])
    assert "there is no folder" in tonearm(tmp_path / "a", tmp_path / "none", status=1).stderr
