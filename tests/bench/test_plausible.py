"""Records that can't be are refused by name: none of their figures reaches a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_records import OUTCOMES, fuzz
from made_results import PERIOD, entry, made_arrays, packed, telemetry
from tonearm.bench.errors import ResultsError
from tonearm.bench.results.store import CASES, LONGEST_TEXT, append, load, read_cases
from tonearm.bench.terms import BURST, INSTRUCTIONS, PACED

STEP = 1_000_000 + 1000 * np.arange(60, dtype=np.int64)
TICKS = np.arange(60, dtype=np.int64) * PERIOD


def case(mode: str = BURST, **line: Any) -> dict[str, Any]:
    """A case as a board sends it; `line` replaces what its line says."""
    made = entry() | line
    made["facts"] = {"kernel": "6.1.0", "cpu": "0x41 0xd08", "memory_kb": 1_000_000}
    made["record"] = made["record"] | {"request": made["record"]["request"] | {"format": 2, "mode": mode}}
    return made


def keep(folder: Path, made: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    append(folder, "a", made, packed(arrays))


def test_what_a_board_can_record_is_kept(tmp_path: Path) -> None:
    keep(tmp_path / "burst", case(), made_arrays(STEP))
    keep(tmp_path / "paced", case(PACED), made_arrays(STEP, TICKS))
    counted = made_arrays(np.full(7, 12)) | {"floor_before_ns": np.full(3, 1120), "floor_after_ns": np.full(3, 1120)}
    keep(tmp_path / "virtual", case(clock=INSTRUCTIONS), counted)
    assert all(len(load(tmp_path / name).cases) == 1 for name in ("burst", "paced", "virtual"))


BEFORE, AFTER = "floor_before_ns", "floor_after_ns"
IMPOSSIBLE = {
    "a step of no time": (BURST, {"step_ns": np.where(np.arange(60) == 7, 0, STEP)}, "step 7 takes no time"),
    "all of a thousandth": (
        BURST,
        made_arrays(STEP // 1000 // 10) | {BEFORE: np.zeros(3, int)},
        "an empty step takes 0",
    ),
    "steps of a thousandth": (BURST, made_arrays(STEP // 10_000), "less than an empty one"),
    "times of a thousandth": (BURST, {"step_ns": STEP // 1000}, "pass between steps back to back"),
    "a paced clock of a thousandth": (PACED, made_arrays(STEP // 1000, TICKS // 1000), "step 1 starts before its tick"),
    "a clock that jumps back": (PACED, {"start_ns": TICKS - 30 * PERIOD * (np.arange(60) > 40)}, "damaged"),
    "a clock that jumps ahead": (BURST, {"start_ns": np.cumsum(STEP) + (1 << 55)}, "starts .* ns after the first"),
    "an empty step of a year": (BURST, {AFTER: np.array([600, 1 << 55])}, "floor_after_ns is up to"),
    "a first step of a year": (BURST, {"first_ns": np.array([1 << 55])}, "first_ns is up to"),
}


@pytest.mark.parametrize(("mode", "changes", "said"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_times_that_can_not_be_are_refused_by_name(
    tmp_path: Path, mode: str, changes: dict[str, np.ndarray], said: str
) -> None:
    start = TICKS if mode == PACED else None
    with pytest.raises(ResultsError, match=said):
        keep(tmp_path, case(mode), {**made_arrays(STEP, start), **changes})
    assert not (tmp_path / CASES).exists()


@pytest.mark.parametrize("value", [1 << 61, 1_000_001, -1, math.nan, math.inf, "much", None, True])
@pytest.mark.parametrize("name", ["peak_kb", "private_kb"])
def test_memory_that_the_board_does_not_have_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    made = case()
    memory = made["record"]["memory"]
    made["record"] = made["record"] | {"memory": {**memory, "run": memory["run"] | {name: value}}}
    if value is None:  # not known
        keep(tmp_path, made, made_arrays(STEP))
        return
    with pytest.raises(ResultsError, match="is no result"):
        keep(tmp_path, made, made_arrays(STEP))


@pytest.mark.parametrize(
    "changes", [{"measured_at": 1e18}, {"measured_at": -1}, {"sample_rate": 0}, {"sample_rate": "x"}]
)
def test_a_line_that_can_not_be_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ResultsError, match="is no result"):
        keep(tmp_path, case(**changes), made_arrays(STEP))


def test_a_sensor_that_says_what_can_not_be_is_one_that_says_nothing(tmp_path: Path) -> None:
    looks = telemetry(
        {"t_ns": -1e9, "temperature_mc": 45_000, "frequency_khz": 1_500_000},
        {"t_ns": 1, "temperature_mc": -273_150_000, "frequency_khz": 1e12},
        {"t_ns": 2, "temperature_mc": 2.0**31, "frequency_khz": -5},
    )
    keep(tmp_path, case(), made_arrays(STEP) | {"telemetry": looks})
    [row] = load(tmp_path).cases.to_dict("records")
    assert row["celsius_start"] == 45 and math.isnan(row["celsius_max"]) and math.isnan(row["frequency_max_mhz"])
    assert load(tmp_path).telemetry[["celsius", "mhz"]].isna().to_numpy().tolist() == [
        [False] * 2,
        [True] * 2,
        [True] * 2,
    ]


def test_a_text_is_cut_where_it_is_too_long_and_says_so(tmp_path: Path) -> None:
    keep(tmp_path, case(weights="w" * 200_000), made_arrays(STEP))
    [row] = load(tmp_path).cases.to_dict("records")
    assert row["weights"] == "w" * (LONGEST_TEXT // 2) + " ... (200000 characters, cut)"
    assert len((tmp_path / CASES).read_bytes()) < 10_000


def test_a_record_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"its record has \d+ bytes, at most"):
        keep(tmp_path, case(more=["x" * 900] * 40_000), made_arrays(STEP))
    assert read_cases(tmp_path) == []


def test_no_mutant_of_a_record_ends_in_a_traceback_or_shows_what_can_not_be() -> None:
    found: list[str] = []
    counts = fuzz(150, 7, found.append)
    assert found == []
    assert all(sum(number for (_, outcome), number in counts.items() if outcome == one) for one in OUTCOMES[:2])
