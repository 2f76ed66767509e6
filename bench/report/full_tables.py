"""Everything that is known of a board's cases, as tables for a page: step times, deadlines, conditions, sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..output.numbers import digits, percent
from ..output.tables import Table
from ..results.columns import INSTRUCTIONS, NAMES, PACED
from ..stats.step_times import PERCENTILES, steps_needed
from .board import Board

Row = Mapping[str, Any]
Columns = dict[str, Callable[[Row], str]]
NONE = "-"


def full_tables(board: Board) -> list[Table]:
    """Tables of all cases; columns that are empty throughout are left out."""
    tables = {
        "Step times": _step_times(board.clock),
        "Real time": _real_time(),
        "During the run": _conditions(),
        "Start and memory": _start_and_memory(board.clock),
        "Size": _size(),
    }
    made = [_filled(title, columns, board.cases) for title, columns in tables.items()]
    return [table for table in made if len(table.headings) > 1]


def _filled(title: str, columns: Columns, rows: Sequence[Row]) -> Table:
    texts = {heading: [text(row) for row in rows] for heading, text in columns.items()}
    texts = {heading: cells for heading, cells in texts.items() if set(cells) != {NONE}}
    names = [row["name"] for row in rows]
    return Table(title, ["case", *texts], list(zip(names, *texts.values(), strict=True)))


def _number(column: str, unit: float = 1, form: str = ".3f") -> Callable[[Row], str]:
    """A column's value in units, or a dash."""
    return lambda row: NONE if _unknown(row[column]) else f"{row[column] / unit:{form}}"


def _share(column: str) -> Callable[[Row], str]:
    """A share of real time with three figures, or a dash."""
    return lambda row: NONE if _unknown(row[column]) else digits(row[column])


def _pair(first: str, second: str, unit: float = 1, form: str = ".3f", between: str = " … ") -> Callable[[Row], str]:
    """Two columns' values, the same one once."""
    one, other = _number(first, unit, form), _number(second, unit, form)
    return lambda row: between.join(dict.fromkeys([one(row), other(row)]))


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _step_times(clock: str) -> Columns:
    unit = "M" if clock == INSTRUCTIONS else "ms"
    return {
        "steps": _number("n", form=".0f"),
        "runs": lambda row: str(row["repeats"]) if row["repeats"] > 1 else NONE,
        **{
            f"{name} {unit}": _bounded(name, need)
            for name, need in zip(NAMES, map(steps_needed, PERCENTILES), strict=True)
        },
        f"max {unit}": _number("max", 1e6),
        f"mean {unit}": _number("mean", 1e6),
        f"std {unit}": _number("std", 1e6),
        "p50 of each run": _each_run,
        "empty step µs, p50": _number("floor_p50", 1e3),
        "empty step µs, max": _number("floor_max", 1e3, ".1f"),
    }


def _bounded(name: str, need: int) -> Callable[[Row], str]:
    """A percentile and its bounds; the lower is known with fewer steps than the value."""

    def text(row: Row) -> str:
        low, value, high = (row[column] / 1e6 for column in (f"{name}_low", name, f"{name}_high"))
        if math.isnan(value):
            return f"n < {need}" + ("" if math.isnan(low) else f" (≥ {low:.3f})")
        return f"{value:.3f} ({'?' if math.isnan(low) else f'{low:.3f}'} … {high:.3f})"

    return text


def _each_run(row: Row) -> str:
    return ", ".join(f"{value / 1e6:.3f}" for value in row["p50_repeats"]) if row["repeats"] > 1 else NONE


def _real_time() -> Columns:
    paced = {f"xruns, {k} buffers": _number(f"xruns_{k}", form=".0f") for k in (2, 3, 4)}
    return {
        "deadline ms": lambda row: NONE if _unknown(row["misses"]) else f"{row['budget'] / 1e6:g}",
        "RTF p50": _share("rtf"),
        **{f"RTF {name}": _share(f"rtf_{name}") for name in NAMES[1:]},
        "RTF mean": _share("rtf_mean"),
        "RTF std": _share("rtf_std"),
        "MIPS": _number("mips", form=".1f"),
        "too late": _number("misses", form=".0f"),
        "rate": lambda row: NONE if _unknown(row["misses"]) else f"{row['miss_rate']:.3%}",
        "rate below": lambda row: NONE if _unknown(row["misses"]) else percent(row["miss_rate_high"]),
        **{heading: _if_paced(text) for heading, text in paced.items()},
        "late µs, p50": _number("late_p50", 1e3, ".0f"),
        "late µs, p99": _number("late_p99", 1e3, ".0f"),
        "late µs, max": _number("late_max", 1e3, ".0f"),
    }


def _if_paced(text: Callable[[Row], str]) -> Callable[[Row], str]:
    return lambda row: text(row) if row["mode"] == PACED else NONE


def _conditions() -> Columns:
    return {
        "MHz": _pair("frequency_min_mhz", "frequency_max_mhz", form=".0f"),
        "°C, from … to": _pair("celsius_start", "celsius_max", form=".1f"),
        "throttled": lambda row: NONE if _unknown(row["throttled"]) else f"{int(row['throttled']):#x}",
        "switches, interrupted": _number("involuntary", form=".0f"),
        "switches, waited": _number("voluntary", form=".0f"),
        "page faults": _number("minor_faults", form=".0f"),
        "page faults, from disk": _number("major_faults", form=".0f"),
        **{f"waiting for {name}": _number(f"pressure_{name}", form=".1%") for name in ("cpu", "memory", "io")},
        "instructions a step, M": _number("instructions", 1e6),
    }


def _start_and_memory(clock: str) -> Columns:
    unit = "M" if clock == INSTRUCTIONS else "ms"
    stages = {"interpreter": "python_kb", "+ numpy": "numpy_kb", "+ arrays": "buffers_kb"}
    stages |= {"+ ONNX Runtime": "onnxruntime_kb", "+ session": "session_kb", "+ run": "private_kb"}
    return {
        **{f"{heading} MiB": _number(column, 1024, ".1f") for heading, column in stages.items()},
        "model MiB": _number("model_kb", 1024, ".1f"),
        "peak MiB": _number("peak_kb", 1024, ".1f"),
        f"import numpy {unit}": _number("import_numpy", 1e6, ".0f"),
        f"import ONNX Runtime {unit}": _number("import_onnxruntime", 1e6, ".0f"),
        f"session {unit}": _number("session", 1e6, ".1f"),
        f"first step {unit}": _number("first", 1e6),
    }


def _size() -> Columns:
    return {
        "file KiB": _number("file_bytes", 1024, ".0f"),
        "weights KiB": _number("weight_bytes", 1024, ".0f"),
        "parameters": _number("parameters", form=".0f"),
        **{f"{part}": _number(f"{part}_parameters", form=".0f") for part in ("decoder", "synth", "reverb")},
    }
