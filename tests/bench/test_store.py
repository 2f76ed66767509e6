"""Results on disk and as tables."""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from made_results import entry, samples
from tonearm.bench.errors import ResultsError
from tonearm.bench.results.columns import CASE_COLUMNS, POOLED_COLUMNS, STEP_COLUMNS, TELEMETRY_COLUMNS
from tonearm.bench.results.pooling import boards
from tonearm.bench.results.store import CASES, SAMPLES, append, finished, load, read_cases
from tonearm.bench.terms import INSTRUCTIONS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases on two boards, one of them with too few steps for p50."""
    folder = tmp_path / "results"
    append(folder, "a", entry(block=256), samples(299))
    append(folder, "b", entry(block=64), samples(60))
    append(folder, "c", entry("virtual", clock=INSTRUCTIONS), samples(4))
    return folder


def test_what_is_appended_is_read_again(folder: Path) -> None:
    assert [case["id"] for case in read_cases(folder)] == ["a", "b", "c"]
    assert {key: read_cases(folder)[0][key] for key in entry()} == entry(block=256)
    table = load(folder).pooled()
    assert table[["board", "block", "n", "first", "session"]].to_numpy().tolist() == [
        ["pi", 64, 60, 5_000_000, 0.25e9],
        ["pi", 256, 299, 5_000_000, 0.25e9],
        ["virtual", 64, 4, 5_000_000, 0.25e9],
    ]
    assert table["p50"].tolist()[:2] == [1_029_500, 1_149_000]
    assert table["model_kb"].tolist() == [6000] * 3


def test_a_case_measured_again_replaces_the_older_one(folder: Path) -> None:
    append(folder, "b", entry(block=64), samples(70))
    assert load(folder).pooled()["n"].tolist() == [70, 299, 4]


def test_cost_is_a_share_of_time_on_a_board_and_a_count_on_the_virtual_one(folder: Path) -> None:
    append(folder, "d", entry("virtual", block=256, clock=INSTRUCTIONS), samples(5))
    table = load(folder).pooled()
    assert table["rtf"].tolist()[0] == pytest.approx(1.0295 / 4)
    assert table["mips"].tolist()[3] == pytest.approx(1.002 / 16 * 1000)
    assert table["rtf"].isna().tolist() == [False, False, True, True]
    assert table["mips"].isna().tolist() == [True, True, True, False]  # four steps are too few for p50


def test_an_instruction_count_neither_meets_nor_misses_a_deadline(folder: Path) -> None:
    table = load(folder).pooled()
    assert table["misses"].isna().tolist() == [False, False, True]
    assert table["miss_rate_high"].isna().tolist() == [False, False, True]


def test_a_board_with_another_kernel_is_another_table_and_only_the_newest_of_a_case_is_shown(folder: Path) -> None:
    append(folder, "d", entry(block=64) | {"release": "releases/hpn-reduced/newer"}, samples(61))
    append(folder, "e", entry(block=64) | {"facts": {"kernel": "6.12.0", "cpu": "0x41 0xd08"}}, samples(62))
    shown = [(name, part["n"].tolist()) for name, _, part in boards(load(folder).pooled())]
    assert shown == [("pi", [61, 299]), ("pi", [62]), ("virtual", [4])]


@pytest.mark.parametrize("missing", ["record", "facts", "release", "parameters", "sample_rate"])
def test_what_is_no_result_is_not_kept(folder: Path, missing: str) -> None:
    before = (folder / CASES).read_bytes()
    with pytest.raises(ResultsError, match=missing):
        append(folder, "d", {key: value for key, value in entry().items() if key != missing}, samples(5))
    with pytest.raises(ResultsError, match="damaged"):
        append(folder, "d", entry(), b"")
    assert (folder / CASES).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PK", samples(0)])
def test_a_case_whose_samples_are_damaged_counts_as_not_measured(folder: Path, content: bytes) -> None:
    (folder / SAMPLES / "b.npz").write_bytes(content)
    assert finished(folder) == {"a", "c"}
    with pytest.raises(ResultsError, match="same sweep again"):
        load(folder).pooled()


def test_a_last_line_cut_short_anywhere_leaves_the_others(folder: Path) -> None:
    whole = (folder / CASES).read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(whole) - 1):
        (folder / CASES).write_bytes(whole[:cut])
        assert [case["id"] for case in read_cases(folder)] == ["a", "b"], f"cut at byte {cut}"
    (folder / CASES).write_bytes(whole[:-1])
    assert len(read_cases(folder)) == 3


def test_a_case_measured_after_a_line_was_cut_short_is_kept(folder: Path) -> None:
    whole = (folder / CASES).read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(whole), 50):
        (folder / CASES).write_bytes(whole[:cut])
        append(folder, "d", entry(), samples(5))
        append(folder, "e", entry(), samples(5))
        assert [case["id"] for case in read_cases(folder)] == ["a", "b", "d", "e"], f"cut at byte {cut}"
    (folder / CASES).write_bytes(whole[:-1])
    append(folder, "d", entry(), samples(5))
    assert [case["id"] for case in read_cases(folder)] == ["a", "b", "c", "d"]


def test_a_case_waits_for_the_line_that_another_board_or_command_is_writing(folder: Path) -> None:
    line = (folder / CASES).read_text().splitlines(keepends=True)[0].replace('"id": "a"', '"id": "other"')
    with ThreadPoolExecutor() as pool:
        with (folder / CASES).open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(line[:100])
            stream.flush()
            ours = pool.submit(append, folder, "d", entry(), samples(5))
            wait([ours], timeout=0.5)  # long enough to take the half line for one that a crash cut short
            stream.write(line[100:])
        ours.result()
    assert [case["id"] for case in read_cases(folder)] == ["a", "b", "c", "other", "d"]


def test_a_damaged_line_before_others_is_named(folder: Path) -> None:
    lines = (folder / CASES).read_text().splitlines()
    (folder / CASES).write_text("\n".join([lines[0][:100], *lines[1:]]))
    with pytest.raises(ResultsError, match=r"cases\.jsonl, line 1 is damaged"):
        read_cases(folder)


@pytest.mark.parametrize("line", ['{"format": 3, "id": "z"}', '{"id": "z"}', "[]", "7"])
def test_a_line_of_a_format_from_the_future_is_refused_by_number(folder: Path, line: str) -> None:
    with (folder / CASES).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(ResultsError, match=r"cases\.jsonl, line 4: .*this tonearm reads 1 to 2"):
        load(folder).pooled()


def test_a_folder_without_results_says_how_to_measure(tmp_path: Path) -> None:
    with pytest.raises(
        ResultsError, match=r"there is no folder .*nothing: measure first, with tonearm sweep -o .*nothing"
    ):
        load(tmp_path / "nothing")
    with pytest.raises(ResultsError, match=r"no results in .*: measure first"):
        load(tmp_path)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:200])])
def test_samples_that_are_missing_or_damaged_are_named(folder: Path, damage: Any) -> None:
    damage(folder / SAMPLES / "b.npz")
    with pytest.raises(ResultsError, match=r"b\.npz is damaged or missing"):
        load(folder).pooled()


def test_the_columns_are_those_that_are_documented(folder: Path) -> None:
    results = load(folder)
    assert list(results.cases.columns) == list(CASE_COLUMNS)
    assert list(results.pooled().columns) == list(POOLED_COLUMNS)
    assert list(results.steps.columns) == list(STEP_COLUMNS)
    assert list(results.telemetry.columns) == list(TELEMETRY_COLUMNS)
