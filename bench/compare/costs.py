"""What teacher and students cost on boards: figures at a block that all have, and each beside the teacher's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas

from ..results.pooling import Row, boards
from ..stats.step_times import Ratio, compare_cases, noise
from ..stats.verdict import verdict
from ..terms import BURST, PACED, TIME

if TYPE_CHECKING:
    from ..results.frames import Results
    from .comparison import Entry

TAIL = "p99.9"
TIMES = ("p50", TAIL, "first", "session")
SIZES = ("peak_kb", "model_kb")
FIGURES = (*TIMES, "rtf", *SIZES, "file_bytes", "weight_bytes")
HOW = ["precision", "threads", "block"]
RATIO_COLUMNS = [f"{name}_{part}" for name in (*TIMES, *SIZES) for part in ("ratio", "low", "high")]
COLUMNS = [
    *("model", "board", "clock", "mode", *HOW, "repeats", "budget", *FIGURES, *RATIO_COLUMNS),
    *("p50_differs", "peak_kb_differs", "smallest", "smallest_seconds"),
]
REPEATS_TO = 1e-3  # counts of instructions
UNKNOWN = Ratio(math.nan, math.nan, math.nan)


def block_costs(entries: Sequence[Entry], results: Results) -> pandas.DataFrame:
    """What a block costs, for each board and mode at the smallest block that was measured for all models there.

    Args:
        entries: the models, the teacher first; a result belongs to all that have its `model` as their name, for weights
            cost nothing.
        results: of ONNX Runtime; others are left out, and so are runs that a search for the smallest block stopped at
            a miss, but for what they say about that.

    Returns:
        One row per model, board and mode (back to back before paced), by `COLUMNS`: `model` is its label, `board` has
        its versions if there are two of a name; times in ns (virtual board: instructions; no RTF), memory in kB.
        `..._ratio` is how many times the teacher's, with its 95% interval `..._low` to `..._high` (of p99.9 at least
        90%), NaN where the data support none or, of p99.9, the board's noise is as large; `..._differs` whether a
        difference may be claimed. `smallest`: of the blocks measured on the audio clock the smallest without a miss, 0
        for none, NaN where none was measured, and `smallest_seconds` how long that was. A board where no model
        was measured is left out.
    """
    pooled = results.pooled()
    named = pooled["model"].isin([entry.name for entry in entries]) & (pooled["engine"] == "onnxruntime")
    parts = [(board, part) for board, _, part in boards(pooled.loc[named])]
    rows = []
    for board, part in parts:
        again = [other for other, _ in parts].count(board) > 1
        about = f" (Linux {part['kernel'].iloc[0]}, ONNX Runtime {part['onnxruntime'].iloc[0]})" if again else ""
        every: list[Row] = part.to_dict("records")  # type: ignore[assignment]
        for mode in (BURST, PACED):
            whole = [row for row in every if row["mode"] == mode and not results.is_stopped(row["case"])]
            at = _at_common_block(entries, whole)
            rows += [
                _costs(label, board + about, row, at.get(entries[0].label), every, results) for label, row in at.items()
            ]
    return pandas.DataFrame(rows, columns=pandas.Index(COLUMNS))


def _at_common_block(entries: Sequence[Entry], part: list[Row]) -> dict[str, Row]:
    """Label -> row, of the smallest block, on the fewest threads, that all models in `part` have; else nothing."""
    everyone = {row["model"] for row in part}
    for how in sorted({tuple(row[name] for name in HOW) for row in part}):
        alike = [row for row in part if tuple(row[name] for name in HOW) == how]
        same = {row["model"]: row for row in sorted(alike, key=lambda row: row["n"])}  # of the most steps
        if same.keys() == everyone:
            return {entry.label: same[entry.name] for entry in entries if entry.name in same}
    return {}


def _costs(label: str, board: str, row: Row, teacher: Row | None, every: list[Row], results: Results) -> Row:
    """A row of the table; `every` has all rows of the board."""
    known = {name: row[name] for name in ("clock", "mode", *HOW, "repeats", "budget", *FIGURES)}
    block, seconds = _smallest(row, every, results)
    found = {"model": label, "board": board, **known, "smallest": block, "smallest_seconds": seconds}
    if not teacher:
        return found
    ratios = {name: _beside(name, teacher, row, results) for name in (*TIMES, *SIZES)}
    for name, ratio in ratios.items():
        found |= {f"{name}_ratio": ratio.value, f"{name}_low": ratio.low, f"{name}_high": ratio.high}
    found["p50_differs"] = _differs(teacher, row, results, ratios["p50"])
    found["peak_kb_differs"] = abs(ratios["peak_kb"].value - 1) > _noise("peak_kb", (teacher, row), results)
    return found


def _beside(name: str, teacher: Row, row: Row, results: Results) -> Ratio:
    """How many times the teacher's it is."""
    if not (teacher[name] > 0 and row[name] > 0):
        return UNKNOWN
    if name == TAIL:
        if abs(row[name] - teacher[name]) <= max(row["floor_max"], teacher["floor_max"]):
            return UNKNOWN  # the board interrupts even steps with nothing in them for as long
        # Each bound holds with 95%, so that the interval does at least with 90%.
        low, high = row[f"{name}_low"] / teacher[f"{name}_high"], row[f"{name}_high"] / teacher[f"{name}_low"]
        return Ratio(row[name] / teacher[name], low, high)
    ratio = compare_cases(*(results.of_repeats(one["case"], name) for one in (teacher, row)))
    return (
        ratio if row["clock"] == TIME else Ratio(ratio.value, math.nan, math.nan)
    )  # the clip's steps differ, no run does


def _differs(teacher: Row, row: Row, results: Results, ratio: Ratio) -> bool:
    """Whether steps take another time: beyond the interval, an empty step, and how far each one's repeats lie apart."""
    if row["clock"] != TIME:
        return abs(ratio.value - 1) > REPEATS_TO
    if not (ratio.high < 1 or ratio.low > 1):
        return False
    empty = [one["floor_p50"] for one in (teacher, row) if one["floor_p50"] > 0]
    if abs(row["p50"] - teacher["p50"]) <= max(empty, default=0):
        return False
    return abs(math.log(ratio.value)) > math.log1p(_noise("p50", (teacher, row), results))


def _noise(name: str, rows: Sequence[Row], results: Results) -> float:
    """How far repeats of a case lie apart, as a share, the larger; 0 where there are none."""
    return max(noise(results.of_repeats(row["case"], name)) if row["repeats"] > 1 else 0.0 for row in rows)


def _smallest(row: Row, every: list[Row], results: Results) -> tuple[float, float]:
    """The smallest block that was always in time on the audio clock, 0 for none, and for how many seconds.

    A run that was stopped at a miss counts: it shows that its block is not always in time.
    """
    in_time: dict[int, list[float]] = {}
    same = ["model", "precision", "threads"]
    paced = [one for one in every if one["mode"] == PACED and all(one[name] == row[name] for name in same)]
    for one in paced:
        found = [_seconds_in_time(one, run, results) for run in results.repeats(one["case"])]
        in_time.setdefault(one["block"], []).extend(found)
    if not paced:
        return math.nan, math.nan
    block = min((block for block, seconds in in_time.items() if min(seconds) > 0), default=0)
    return float(block), min(in_time[block]) if block else math.nan


def _seconds_in_time(row: Row, run: str, results: Results) -> float:
    """How long a paced run was without a miss; 0 with one."""
    rate = results.entry(run)["sample_rate"]
    found = verdict(results.samples(run), row["block"], rate, row["steps_asked"])
    return found.n * row["block"] / rate if found.in_time else 0.0
