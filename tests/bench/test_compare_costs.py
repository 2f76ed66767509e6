"""What a student costs beside its teacher: ratios, what may be claimed of them, the words, the plot."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from commands import tonearm
from hypothesis import given
from hypothesis import strategies as st
from recorded import record
from tonearm.bench.compare.comparison import Entry, read_entries, silent, table
from tonearm.bench.compare.cost_text import cost_notes, cost_sentences
from tonearm.bench.compare.costs import block_costs
from tonearm.bench.compare.pareto import Point, front, pareto
from tonearm.bench.compare.text import tell
from tonearm.bench.results.store import load
from tonearm.bench.terms import INSTRUCTIONS

TEACHER, STUDENT = "hpn-reduced", "wavetable-reduced"
RUNS = [0.98, 1.0, 1.02]


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    """The smallest models there are, to stand for a teacher and a student."""
    return read_entries([TEACHER, STUDENT], lambda line: None)


def costs(entries: list[Entry], folder: Path) -> list[dict]:
    return block_costs(entries, load(folder)).to_dict("records")


def both(folder: Path, teacher: list, student: list, **line: object) -> None:
    """Keep a case of each."""
    for model, repeats in ((TEACHER, teacher), (STUDENT, student)):
        record(folder, repeats, model=model, name=f"{model}-{len(line)}", **line)  # type: ignore[arg-type]


def test_a_ratio_that_all_repeats_show_is_claimed_with_its_interval(entries: list[Entry], tmp_path: Path) -> None:
    record(tmp_path, RUNS, model=TEACHER, name="a", peak_kb=80_000)
    record(tmp_path, [0.13 * x for x in (0.99, 1.0, 1.01)], model=STUDENT, name="b", peak_kb=20_000)
    student = costs(entries, tmp_path)[1]
    assert student["p50_ratio"] == pytest.approx(0.13, rel=1e-3)
    assert student["p50_low"] < student["p50_ratio"] < student["p50_high"]
    assert student["p50_high"] - student["p50_low"] < 0.02
    [[said]] = cost_sentences(TEACHER, costs(entries, tmp_path)).values()
    assert said.startswith(f"{STUDENT} takes 0.13 of {TEACHER}'s time at blocks of 64 back to back on pi (0.12")
    assert said.endswith("), and 0.25 of its peak memory")


@pytest.mark.parametrize(
    ("teacher", "student", "floor_ms"),
    [
        (RUNS, [1.03, 0.97, 1.0], 0.001),  # the interval holds 1
        ([1.0, 1.0, 1.05], [0.97, 0.97, 1.02], 0.001),  # always less, but by less than runs differ
        ([1.0, 1.0, 1.0], [0.9, 0.9, 0.9], 0.2),  # by less than the clock takes
    ],
)
def test_a_difference_within_noise_is_not_claimed(
    entries: list[Entry], tmp_path: Path, teacher: list, student: list, floor_ms: float
) -> None:
    both(tmp_path, teacher, student, floor_ms=floor_ms)
    [[said]] = cost_sentences(TEACHER, costs(entries, tmp_path)).values()
    assert said.startswith(f"{STUDENT} and {TEACHER}: no difference in time beyond what these runs can tell")
    assert said.endswith(", and as much peak memory")


@pytest.mark.parametrize(("by", "said"), [(0.5, "takes 0.5 of"), (1.0005, "no difference in instructions to 0.1%")])
def test_a_count_is_called_instructions_and_has_no_interval(
    entries: list[Entry], tmp_path: Path, by: float, said: str
) -> None:
    clip = np.linspace(1, 2, 60)
    both(tmp_path, [clip], [by * clip], clock=INSTRUCTIONS)
    found = costs(entries, tmp_path)
    assert found[1]["p50_ratio"] == pytest.approx(by) and math.isnan(found[1]["p50_low"])
    [[sentence]] = cost_sentences(TEACHER, found).values()
    assert said in sentence and "instructions" in sentence and "time" not in sentence
    assert any("not the speed of any real board" in note for note in cost_notes([TEACHER, STUDENT], found))


def test_the_smallest_block_is_the_smallest_without_a_miss_on_the_audio_clock(
    entries: list[Entry], tmp_path: Path
) -> None:
    late = np.where(np.arange(60) == 30, 5.0, 1.0)  # longer than 4 ms
    both(tmp_path, [1.0, late], [late, late], mode="paced")
    record(tmp_path, [1.0, 1.0], model=TEACHER, name="more", mode="paced", block=256)
    both(tmp_path, [1.0], [1.0])
    found = {(row["model"], row["mode"]): row for row in costs(entries, tmp_path)}
    assert [(name, row["smallest"]) for name, row in found.items() if name[1] == "paced"] == [
        ((TEACHER, "paced"), 256),
        ((STUDENT, "paced"), 0),
    ]
    assert found[TEACHER, "burst"]["smallest"] == 256
    assert found[TEACHER, "paced"]["smallest_seconds"] == pytest.approx(60 * 0.016)
    told = tell(silent(entries), table(silent(entries), block_costs(entries, load(tmp_path))))
    assert told.tables[1].rows[-1] == ["smallest block, samples", "256 (no miss in 0.96 s)", "none in time"]


def test_a_tail_has_a_ratio_where_its_steps_and_the_board_s_noise_allow_one(
    entries: list[Entry], tmp_path: Path
) -> None:
    spread = np.linspace(1, 2, 3000)
    for name, times, share, floor_ms in (
        ("sure", spread, 0.5, 0.01),
        ("noisy", spread, 0.9, 0.5),
        ("few", spread[:60], 0.5, 0.01),
    ):
        both(tmp_path / name, [times], [share * times], floor_ms=floor_ms)
    sure, noisy, few = (costs(entries, tmp_path / name)[1] for name in ("sure", "noisy", "few"))
    assert sure["p99.9_ratio"] == pytest.approx(0.5, rel=1e-3)
    assert sure["p99.9_low"] < sure["p99.9_ratio"] < sure["p99.9_high"]
    assert math.isnan(noisy["p99.9_ratio"]) and math.isnan(few["p99.9_ratio"])


def test_a_run_that_was_stopped_at_a_miss_costs_nothing_and_shows_that_its_block_is_not_in_time(
    entries: list[Entry], tmp_path: Path
) -> None:
    cut = np.where(np.arange(15) == 14, 5.0, 1.0)
    both(tmp_path, [1.0], [1.0], mode="paced", block=256)
    for model in (TEACHER, STUDENT):
        record(tmp_path, [cut], model=model, name=f"{model}-cut", mode="paced", stop_after_misses=1)
    assert [(row["block"], row["smallest"]) for row in costs(entries, tmp_path)] == [(256, 256), (256, 256)]
    record(tmp_path, [1.0], model=STUDENT, name="before", mode="paced", steps=50)  # by chance without a miss
    assert [row["smallest"] for row in costs(entries, tmp_path)] == [256, 256]


@pytest.mark.parametrize(("runs", "said"), [(1, "one run"), (2, "two runs"), (3, "")])
def test_an_interval_of_few_runs_says_in_its_sentence_what_it_lacks(
    entries: list[Entry], tmp_path: Path, runs: int, said: str
) -> None:
    both(tmp_path, RUNS, [0.5 * np.linspace(0.9, 1.1, 60)] * runs)
    [[sentence]] = cost_sentences(TEACHER, costs(entries, tmp_path)).values()
    assert (f"; from {said}, run-to-run variation not included)" in sentence) == bool(said)
    assert ("run-to-run variation" in sentence) == bool(said)


@pytest.mark.parametrize("option", ["--csv", "--html"])
@pytest.mark.parametrize("file", ["-", "nonesuch/x"])
def test_what_is_no_file_to_write_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tonearm("compare", "--teacher", TEACHER, "--student", STUDENT, option, file, status=2)
    assert not (tmp_path / file).exists() and not (tmp_path / "nonesuch").exists()


def test_other_engines_are_left_out(entries: list[Entry], tmp_path: Path) -> None:
    both(tmp_path, [1.0], [1.0])
    record(tmp_path, [9.0], model=TEACHER, name="torch", engine="torch", block=32)
    assert [(row["model"], row["block"]) for row in costs(entries, tmp_path)] == [(TEACHER, 64), (STUDENT, 64)]


@given(st.lists(st.builds(Point, st.just("x"), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_beats(points: list[Point]) -> None:
    best = front(points)
    for point in points:
        beaten = any(
            other.cost <= point.cost and other.loss <= point.loss and other[1:] != point[1:] for other in points
        )
        assert any(point[1:] == one[1:] for one in best) != beaten


def test_untrained_models_are_plotted_against_their_parameters(entries: list[Entry], tmp_path: Path) -> None:
    both(tmp_path, [1.0], [2.0])
    both(tmp_path, [1.0], [2.0], clock=INSTRUCTIONS)
    comparison = silent(entries)
    figures = pareto(comparison, table(comparison, block_costs(entries, load(tmp_path))))
    assert ["RTF (p50) on pi against parameters" in figure.svg for figure in figures] == [True, False]
    assert "M instructions a step on virtual" in figures[1].svg
    assert all(name in figure.svg for figure in figures for name in (TEACHER, STUDENT))
    assert "as no sound was judged" in figures[0].caption


def test_costs_are_compared_without_playing_what_has_no_instrument(tmp_path: Path) -> None:
    both(tmp_path / "r", RUNS, [0.5 * x for x in RUNS])
    models = ["--teacher", TEACHER, "--student", STUDENT, "--html", tmp_path / "c.html"]
    done = tonearm("compare", tmp_path / "r", "--no-sound", *models)
    assert done.stdout.splitlines()[0].startswith(f"{STUDENT} takes 0.5 of {TEACHER}'s time")
    assert "MSS" not in done.stdout
    page = (tmp_path / "c.html").read_text()
    assert "<svg" in page and "<audio" not in page and "0.5 of" in page
