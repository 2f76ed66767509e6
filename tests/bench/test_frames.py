"""Results as tables: rows of processes, steps and looks at the board, repeats pooled, folders put together."""

from __future__ import annotations

import copy
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import places
import pytest
from benchmark_results import make, read
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import PERIOD, entry, made_arrays, measured, packed, samples, telemetry
from tonearm.bench import load
from tonearm.bench.errors import ResultsError
from tonearm.bench.results.columns import (
    CASE_COLUMNS,
    COLUMNS,
    POOLED_COLUMNS,
    STEP_COLUMNS,
    TELEMETRY_COLUMNS,
    case_row,
)
from tonearm.bench.results.frames import Results
from tonearm.bench.results.pooling import Run
from tonearm.bench.results.store import CASES, SAMPLES, append, finished
from tonearm.bench.stats.step_times import summarise

FORMAT1 = places.GOLDEN / "format1"
TIMES = st.lists(st.integers(1000, 2 * PERIOD), min_size=1, max_size=400).map(lambda values: np.array(values, np.int64))


def keep(folder: Path, identity: str, case: dict[str, Any] | None = None, **arrays: np.ndarray) -> Path:
    """Append a case of seven steps of 1 ms, but for what is said."""
    append(folder, identity, case or measured(), packed({**made_arrays(np.full(7, 1_000_000)), **arrays}))
    return folder


def only(folder: Path) -> dict[str, Any]:
    (row,) = load(folder).cases.to_dict("records")
    return row  # type: ignore[return-value]


def test_the_columns_are_those_that_are_documented(tmp_path: Path) -> None:
    results = load(keep(keep(tmp_path, "a"), "b", entry()))
    assert list(results.cases) == list(CASE_COLUMNS)
    assert list(results.pooled()) == list(POOLED_COLUMNS)
    assert list(results.steps) == list(STEP_COLUMNS)
    assert list(results.telemetry) == list(TELEMETRY_COLUMNS)
    assert [column.name for column in COLUMNS if not column.pool] == ["repeat", "superseded"]


def test_what_the_first_format_lacks_is_not_a_number(tmp_path: Path) -> None:
    results = load(FORMAT1)
    assert (
        results.cases[["engine", "mode", "repeat", "steps_asked", "n"]].to_numpy().tolist()
        == [["onnxruntime", "burst", 0, 7, 7]] * 2
    )
    for column in ("measured_at", "voluntary", "floor_p50", "buffers_kb", "weight_bytes", "celsius_max", "throttled"):
        assert all(results.cases[column].isna()), column
    assert results.cases["p50"].tolist() == [1_056_576, 5_694_080]
    assert all(results.cases["import_numpy"] > 0)
    assert all(results.steps["start_ns"].isna()) and len(results.steps) == 14
    assert results.telemetry.empty
    both = load(FORMAT1, keep(tmp_path, "new"))
    assert sum(both.steps["voluntary"].isna()) == 14 and len(both.steps) == 21


def test_what_a_newer_version_says_besides_is_passed_over(tmp_path: Path) -> None:
    case = measured()
    case["record"]["speed"] = [1, 2]
    keep(tmp_path, "a", case | {"weather": "fine"}, feelings=np.zeros((2, 3)))
    assert only(tmp_path)["n"] == 7


@settings(max_examples=30, deadline=None)
@given(repeats=st.lists(TIMES, min_size=1, max_size=4))
def test_repeats_are_pooled_by_their_steps(repeats: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("results")
    for index, step in reversed(list(enumerate(repeats))):
        append(folder, f"r{index}", measured(repeat=index), packed(made_arrays(step)))
    results = load(folder)
    (row,) = results.pooled().to_dict("records")
    wanted = summarise(np.concatenate(repeats), PERIOD)
    assert row["n"] == sum(map(np.size, repeats))
    for name in ("p50", "p99", "p50_low", "p99_high", "max", "std", "misses", "miss_rate_high"):
        assert row[name] == pytest.approx(wanted[name], nan_ok=True), name
    assert row["repeats"] == len(repeats)
    assert row["p50_repeats"] == pytest.approx([summarise(step, PERIOD)["p50"] for step in repeats], nan_ok=True)
    assert row["involuntary"] == row["n"]  # one each
    assert results.repeats("r0") == [f"r{index}" for index in range(len(repeats))]


def test_counts_of_repeats_are_totals_extremes_those_of_all_the_rest_medians(tmp_path: Path) -> None:
    for repeat, (first, peak, bits) in enumerate([(10, 50_000, 1), (30, 70_000, 4), (20, 60_000, 4)]):
        case = measured(repeat=repeat)
        case["record"]["memory"]["run"]["peak_kb"] = peak
        look = {"t_ns": 0.0, "throttled": bits, "frequency_khz": 1e6 + peak}
        keep(tmp_path, f"r{repeat}", case, first_ns=np.array([first]), telemetry=telemetry(look))
    (row,) = load(tmp_path).pooled().to_dict("records")
    assert (row["first"], row["peak_kb"], row["throttled"], row["minor_faults"]) == (20, 70_000, 5, 42)
    assert (row["frequency_min_mhz"], row["frequency_max_mhz"]) == (1050, 1070)
    assert (row["measured_at"], row["case"]) == (1e9 + 2, "r2")
    assert math.isnan(row["celsius_start"]) and math.isnan(row["pressure_cpu"])  # of no run


@pytest.mark.parametrize("change", ["release", "runtime", "runner", "tune", "hostname"])
def test_what_was_measured_with_something_older_is_not_pooled(tmp_path: Path, change: str) -> None:
    newer = measured(repeat=1)
    where = {"tune": newer["record"]["request"], "hostname": newer["facts"]}.get(change, newer)
    where[change] = True if change == "tune" else "newer"
    keep(keep(tmp_path, "old"), "new", newer)
    results = load(tmp_path)
    assert len(results.cases) == 2
    assert results.pooled()[["case", "repeats"]].to_numpy().tolist() == [["new", 1]]
    assert results.repeats("old") == ["old"]
    assert dict(results.cases[["case", "superseded"]].to_numpy().tolist()) == {"old": True, "new": False}


def test_a_bundle_that_got_other_blocks_beside_is_no_other_case(tmp_path: Path) -> None:
    for repeat in range(2):
        keep(tmp_path, f"r{repeat}", measured(repeat=repeat) | {"graph": "g", "release": f"of then {repeat}"})
    assert load(tmp_path).pooled()["repeats"].tolist() == [2]
    keep(tmp_path, "r2", measured(repeat=2) | {"graph": "h"})
    assert load(tmp_path).pooled()["repeats"].tolist() == [1]


@pytest.mark.parametrize(
    ("field", "value"), [("precision", "int8"), ("weights", "other"), ("engine", "torch"), ("board", "pi5")]
)
def test_another_case_is_another_row(tmp_path: Path, field: str, value: str) -> None:
    results = load(keep(keep(tmp_path, "a"), "b", measured() | {field: value}))
    assert sorted(results.pooled()[field]) == sorted([value, measured()[field]])


def test_a_case_measured_again_is_the_newest(tmp_path: Path) -> None:
    keep(keep(tmp_path, "a", measured() | {"release": "x"}), "b", measured() | {"release": "y"})
    assert load(tmp_path).pooled()["case"].tolist() == ["b"]
    keep(tmp_path, "a", measured() | {"release": "x"})
    assert load(tmp_path).pooled()["case"].tolist() == ["a"]


def test_steps_on_the_clock_are_missed_when_the_card_has_nothing_to_play(tmp_path: Path) -> None:
    #               in time    late start and miss   pushed by it: in time    takes three periods      after it: late
    step = np.array([1_000_000, 3_500_000, 2_000_000, 12_500_000, 1_000_000])
    start = np.array([0, 5_000_000, 8_500_000, 12_000_000, 24_500_000])
    keep(tmp_path, "a", measured("paced"), step_ns=step, start_ns=start, **_without_counts(5))
    row = only(tmp_path)
    assert (row["misses"], row["xruns_2"], row["xruns_3"], row["xruns_4"]) == (3, 3, 2, 1)
    assert row["miss_rate"] == pytest.approx(3 / 5)
    assert row["late_max"] == 1_000_000
    steps = load(tmp_path).steps
    assert steps["late_ns"].tolist() == [0, 1_000_000, 0, 0, 0]
    assert steps["start_ns"].tolist() == start.tolist()


def _without_counts(steps: int) -> dict[str, np.ndarray]:
    names = ("voluntary", "involuntary", "minor_faults", "major_faults")
    return {**dict.fromkeys(names, np.zeros(steps, np.int32)), "instructions": np.empty(0, np.int64)}


def test_the_board_is_seen_during_the_steps_and_its_growing_counts_by_the_sample(tmp_path: Path) -> None:
    second = 1_000_000_000
    looks = [
        {"t_ns": -second, "temperature_mc": 40_000, "frequency_khz": 600_000, "pressure_cpu_us": 0, "involuntary": 1},
        {"t_ns": 0, "temperature_mc": 60_000, "frequency_khz": 1.8e6, "pressure_cpu_us": 900_000, "involuntary": 3},
        {"t_ns": second, "temperature_mc": 85_000, "frequency_khz": 1.5e6, "pressure_cpu_us": 1e6, "throttled": 4},
        {"t_ns": 9 * second, "temperature_mc": 99_000, "frequency_khz": 600_000, "pressure_cpu_us": 9e6},
    ]
    step = np.full(7, 2 * second // 7)
    keep(tmp_path, "a", step_ns=step, start_ns=np.cumsum(step) - step, telemetry=telemetry(*looks))
    row, table = only(tmp_path), load(tmp_path).telemetry
    assert (row["celsius_start"], row["celsius_max"]) == (40, 85)
    assert (row["frequency_min_mhz"], row["frequency_max_mhz"], row["throttled"]) == (1500, 1800, 4)
    assert row["pressure_cpu"] == pytest.approx(0.1)
    assert math.isnan(row["pressure_io"])
    assert table["seconds"].tolist() == [-1, 0, 1, 9]
    assert table["pressure_cpu"].tolist()[1:] == pytest.approx([0.9, 0.1, 1])
    assert table["involuntary"].tolist()[1] == 2 and table["involuntary"].isna().tolist()[0]
    assert set(table["case"]) == {"a"}


def test_the_noise_of_the_board_is_the_larger_of_before_and_after(tmp_path: Path) -> None:
    row = only(keep(tmp_path, "a"))
    assert (row["floor_p50"], row["floor_max"], row["instructions"]) == (700, 900, 3_000_000)


def test_the_steps_are_those_on_disk(tmp_path: Path) -> None:
    arrays = {name: made_arrays(np.arange(1000, 1000 + n)) for name, n in (("a", 5), ("b", 300), ("c", 1))}
    for name, held in arrays.items():
        append(tmp_path, name, measured() | {"board": name}, packed(held))
    results = load(tmp_path)
    for name, part in results.steps.groupby("case", observed=True):
        held = arrays[str(name)]
        assert part["step"].tolist() == list(range(len(part)))
        assert (part["step"] * 10**9).tolist() == [10**9 * step for step in range(len(part))]
        for column in ("start_ns", "step_ns", "voluntary", "major_faults", "instructions"):
            assert part[column].tolist() == held[column].tolist()
            assert results.samples(str(name))[column].tolist() == held[column].tolist()
    assert results.entry("b")["board"] == "b"


WRONG = {
    "too few starts": {"start_ns": np.arange(6)},
    "a column of steps": {"step_ns": np.full((7, 1), 5)},
    "no steps": {"step_ns": np.empty(0, np.int64)},
    "fractions": {"step_ns": np.full(7, 5.0)},
    "texts": {"step_ns": np.full(7, "5")},
    "below zero": {"step_ns": np.array([1, 2, 3, -4, 5, 6, 7])},
    "not filled": {"voluntary": np.full(7, -1, np.int32)},
    "beyond measure": {"step_ns": np.full(7, 1 << 61)},
    "beyond measure, unsigned": {"step_ns": np.full(7, (1 << 64) - 1, np.uint64)},
    "two at once": {"start_ns": np.zeros(7, np.int64)},
    "two first steps": {"first_ns": np.array([1, 2])},
    "some instructions": {"instructions": np.arange(3)},
    "too few columns": {"telemetry": np.zeros((4, 10))},
    "telemetry backwards": {"telemetry": telemetry({"t_ns": 2}, {"t_ns": 1})},
    "telemetry without time": {"telemetry": telemetry({"core": 2})},
    "no bits": {"telemetry": telemetry({"t_ns": 2, "throttled": -1})},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_arrays_that_do_not_fit_together_are_not_kept(tmp_path: Path, wrong: str) -> None:
    keep(tmp_path, "a")
    before = sorted(tmp_path.rglob("*")), (tmp_path / CASES).read_bytes()
    with pytest.raises(ResultsError, match="case b is damaged"):
        keep(tmp_path, "b", None, **WRONG[wrong])
    assert (sorted(tmp_path.rglob("*")), (tmp_path / CASES).read_bytes()) == before


@pytest.mark.parametrize("name", ["first_ns", "warmup_ns", "step_ns"])
def test_samples_without_their_times_are_not_kept(tmp_path: Path, name: str) -> None:
    arrays = made_arrays(np.arange(1000, 1007))
    del arrays[name]
    with pytest.raises(ResultsError, match=f"no {name}"):
        append(tmp_path, "a", measured(), packed(arrays))


def test_steps_on_the_clock_need_their_starts(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="start_ns"):
        append(tmp_path, "a", measured("paced"), samples(7))
    assert not tmp_path.joinpath(CASES).exists()


@pytest.mark.parametrize("identity", ["", "../a", "a/b", "a" * 65, "a\n"])
def test_an_identity_that_is_no_files_name_is_refused(tmp_path: Path, identity: str) -> None:
    with pytest.raises(ResultsError, match="no case's identity"):
        keep(tmp_path, identity)
    keep(tmp_path, "a")
    line = json.dumps({"format": 2, "id": identity, **measured()})
    (tmp_path / CASES).write_text(line + "\n")
    with pytest.raises(ResultsError, match=r"line 1: .* no case's identity"):
        load(tmp_path)


def paths(value: Any, path: tuple = ()) -> list[tuple]:
    """Where there is something in a nested record."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, one in inside for deeper in paths(one, (*path, key)))]


def hostile() -> dict[str, Any]:
    """Wherever a board may write, it tries to move the cursor."""
    case = measured()
    case["record"] |= {"model": "hpn\x1b[31m", "onnxruntime": "1\x1b[2J", "python": "3\r"}
    case["record"]["granted"] |= {"governor": "\x1b[A", "instructions": "\ud800", "refused": {"lock\x1b]": "\x07"}}
    return case


def test_what_a_board_says_moves_no_cursor(tmp_path: Path) -> None:
    found = load(keep(tmp_path / "new", "a", hostile()))
    assert json.dumps(found.entry("a"), ensure_ascii=False).isprintable()
    assert found.cases[["model", "governor"]].to_numpy().tolist() == [["hpn?[31m", "?[A"]]
    assert found.entry("a")["record"]["granted"]["refused"] == {"lock?]": "?"}
    older = keep(tmp_path / "old", "a")
    (older / CASES).write_text(json.dumps({"format": 2, "id": "a", **hostile()}) + "\n")
    assert load(older).entry("a") == found.entry("a")


@pytest.mark.parametrize(
    "granted", ["x", [], None, {"refused": "x"}, {"refused": ["x"]}, {"refused": {"a": 1}}, {"instructions": 1}]
)
def test_what_a_board_granted_is_texts_or_refused(tmp_path: Path, granted: Any) -> None:
    case = measured()
    case["record"]["granted"] = granted
    with pytest.raises(ResultsError, match="case a is no result"):
        keep(tmp_path, "a", case)


def test_a_line_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ResultsError, match="nested too deeply"):
        keep(tmp_path, "a", measured() | {"deep": deep})


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just({}), st.just([[]])
)
HELD = made_arrays(np.arange(1000, 1007))


@settings(max_examples=200, deadline=None)
@given(where=st.sampled_from(paths(measured("paced"))[1:]), junk=JUNK, mode=st.sampled_from(["burst", "paced"]))
def test_a_record_of_another_form_is_read_or_refused(where: tuple, junk: Any, mode: str) -> None:
    case = copy.deepcopy({"id": "a", **measured(mode)})
    part: Any = case
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = junk
    try:
        row = case_row(case, HELD)
    except ResultsError as error:
        assert "case a is no result" in str(error)
    else:
        assert list(row) == list(CASE_COLUMNS)
        pandas.DataFrame([row]).to_parquet(io.BytesIO())


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), file=st.sampled_from([CASES, f"{SAMPLES}/a.npz"]))
def test_a_byte_that_turned_is_harmless_or_said(
    at: int, byte: int, file: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = keep(keep(tmp_path_factory.mktemp("results"), "a"), "b")
    content = bytearray((folder / file).read_bytes())
    content[at % len(content)] = byte
    (folder / file).write_bytes(content)
    try:
        results = load(folder)
        assert len(results.cases) >= len(results.pooled()) > 0
        finished(folder)
    except ResultsError:
        pass


def two(tmp_path: Path, **facts: str) -> tuple[Path, Path]:
    return keep(tmp_path / "one", "a"), keep(tmp_path / "two", "b", measured(repeat=1, **facts))


def test_folders_of_the_same_board_are_one(tmp_path: Path) -> None:
    results = load(*two(tmp_path))
    assert results.pooled()["repeats"].tolist() == [2]
    assert len(results.steps) == 14
    assert isinstance(results, Results)


@pytest.mark.parametrize(
    ("fact", "value"), [("hostname", "other"), ("model", "Pi 5"), ("cpu", "0x41 0xd0b"), ("kernel", "6.12")]
)
def test_folders_of_different_boards_of_one_name_are_not_put_together_unless_told(
    tmp_path: Path, fact: str, value: str
) -> None:
    folders = two(tmp_path, **{fact: value})
    with pytest.raises(ResultsError, match=rf"pi .* has {fact} .* in .*one, {value} in .*two: .* \(--different, or"):
        load(*folders)
    results = load(*folders, different=True)
    assert results.pooled()["repeats"].tolist() == [1, 1]


@pytest.mark.parametrize("version", ["onnxruntime", "python"])
def test_folders_of_different_versions_are_not_put_together_unless_told(tmp_path: Path, version: str) -> None:
    newer = measured()
    newer["record"][version] = "9.9"
    folders = keep(tmp_path / "one", "a"), keep(tmp_path / "two", "b", newer)
    with pytest.raises(ResultsError, match=f"has {version} .* in .*one, 9.9 in .*two"):
        load(*folders)
    assert len(load(*folders, different=True).pooled()) == 2
    assert len(load(keep(folders[0], "b", newer)).pooled()) == 2  # one folder may span an update
    assert len(load(*folders).pooled()) == 2  # and then holds all that the other has


def test_other_boards_and_engines_may_differ(tmp_path: Path) -> None:
    folders = two(tmp_path)
    keep(tmp_path / "three", "c", measured(kernel="1.2") | {"board": "bela"})
    keep(tmp_path / "three", "d", measured(kernel="1.2") | {"engine": "torch"})
    assert len(load(*folders, tmp_path / "three").cases) == 4


def test_a_copy_of_a_run_counts_once_and_another_of_its_identity_as_a_repeat(tmp_path: Path) -> None:
    for name, at in (("one", 1), ("two", 2), ("copy", 1), ("three", 3)):
        keep(tmp_path / name, "a", measured() | {"measured_at": at}, first_ns=np.array([at]))
    results = load(*(tmp_path / name for name in ("two", "one", "copy", "three")))
    assert results.cases[["case", "first"]].to_numpy().tolist() == [["a", 1], ["a-2", 2], ["a-3", 3]]
    assert results.pooled()["repeats"].tolist() == [3]


def test_tables_are_written_as_parquet_and_csv(tmp_path: Path) -> None:
    look = telemetry({"t_ns": 0, "core": 1}, {"t_ns": 10**8, "core": 2})
    results = load(keep(keep(tmp_path / "results", "a", telemetry=look), "b", entry()))
    files = results.to_parquet(tmp_path / "out" / "deep")
    assert [file.name for file in files] == ["cases.parquet", "steps.parquet", "telemetry.parquet"]
    for name, file in zip(("cases", "steps", "telemetry"), files, strict=True):
        pandas.testing.assert_frame_equal(pandas.read_parquet(file), getattr(results, name))
        results.to_csv(tmp_path / "out" / f"{name}.csv", name)
        assert list(pandas.read_csv(tmp_path / "out" / f"{name}.csv")) == list(getattr(results, name))
    assert not list((tmp_path / "out").rglob("*.part"))
    text = pandas.read_csv(tmp_path / "out" / "cases.csv")
    assert text["p50"].tolist() == results.cases["p50"].tolist()
    assert [str(path.name) for path in results.to_parquet(tmp_path / "less", ["steps"])] == ["steps.parquet"]


def test_a_board_named_like_a_formula_is_harmless_in_a_csv(tmp_path: Path) -> None:
    results = load(keep(tmp_path / "results", "a", measured() | {"board": "=1+1"}))
    results.to_csv(tmp_path / "cases.csv")
    assert pandas.read_csv(tmp_path / "cases.csv")["board"].tolist() == ["'=1+1"]


def test_a_step_takes_less_than_eighty_bytes_of_memory(tmp_path: Path) -> None:
    make(tmp_path, 8, 100_000)
    cases, steps = (read(tmp_path, table)[3] for table in ("cases", "cases,steps"))
    assert (steps - cases) * 2**20 < 80 * 800_000


def test_no_results_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"there is no folder .*empty"):
        load(keep(tmp_path / "full", "a"), tmp_path / "empty")
    assert Results([Run({"id": "a"}, tmp_path)]).entry("a") == {"id": "a"}
