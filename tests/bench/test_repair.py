"""A damaged folder of results keeps what is whole, and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import tonearm
from made_results import entry, samples
from tonearm.bench.errors import ResultsError
from tonearm.bench.results.store import CASES, SAMPLES, append, load

CASES_KEPT = ["a", "b", "c"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases."""
    for name, block in zip(CASES_KEPT, (64, 128, 256), strict=True):
        append(tmp_path / "results", name, entry(block=block), samples(60))
    return tmp_path / "results"


def lines(folder: Path) -> list[bytes]:
    return (folder / CASES).read_bytes().splitlines()


def blocks(folder: Path) -> list[int]:
    return load(folder).pooled()["block"].tolist()


def test_whole_results_are_left_as_they_are(folder: Path) -> None:
    before = (folder / CASES).read_bytes()
    assert tonearm("results", "repair", folder).stdout == f"3 cases in {folder}, 0 taken out\n"
    assert (folder / CASES).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [CASES, SAMPLES]


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe\x00", b"[]", b'{"format": 2, "id": "../x"}', b"[" * 100_000])
def test_a_damaged_line_blocks_no_folder(folder: Path, damage: bytes) -> None:
    good = lines(folder)
    content = b"\n".join([good[0], damage, *good[1:], b""])
    (folder / CASES).write_bytes(content)
    with pytest.raises(ResultsError):
        load(folder)
    done = tonearm("results", "repair", folder)
    assert done.stdout == f"3 cases in {folder}, 1 taken out\n"
    assert "line 2" in done.stderr
    assert lines(folder) == good
    assert blocks(folder) == [64, 128, 256]
    assert (folder / "cases-before-repair-1.jsonl").read_bytes() == content


def test_the_error_names_the_way_out(folder: Path) -> None:
    (folder / CASES).write_bytes(b"{\n" + (folder / CASES).read_bytes())
    said = tonearm("report", folder, status=1).stderr
    assert f"tonearm results repair {folder} keeps the others" in said


@pytest.mark.parametrize("content", [None, b"", b"PK"])
def test_a_case_without_its_samples_is_taken_out_and_measured_anew(folder: Path, content: bytes | None) -> None:
    path = folder / SAMPLES / "b.npz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert "2 cases" in tonearm("results", "repair", folder).stdout
    assert blocks(folder) == [64, 256]
    append(folder, "b", entry(block=128), samples(60))
    assert blocks(folder) == [64, 128, 256]


def test_two_repairs_keep_what_was_before_each(folder: Path) -> None:
    for _ in range(2):
        with (folder / CASES).open("ab") as stream:
            stream.write(b"{\n")
        tonearm("results", "repair", folder)
    assert len(list(folder.glob("cases-before-repair-*.jsonl"))) == 2
    assert blocks(folder) == [64, 128, 256]


def test_results_of_a_later_version_are_left_to_it(folder: Path) -> None:
    line = json.dumps({"format": 99, "id": "d"}).encode() + b"\n"
    (folder / CASES).write_bytes(line + (folder / CASES).read_bytes())
    assert "format 99" in tonearm("results", "repair", folder, status=1).stderr
    assert lines(folder)[0] + b"\n" == line


def test_a_folder_without_results_is_said_to_have_none(tmp_path: Path) -> None:
    assert "there are no results in" in tonearm("results", "repair", tmp_path, status=1).stderr
