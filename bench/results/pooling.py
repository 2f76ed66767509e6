"""Runs of the same case on the same board as one row, and rows by board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas

from .columns import COLUMNS, POOLED_COLUMNS
from .measured import Measured
from .samples import Arrays

# Numbers of different boards, kernels, Pythons or ONNX Runtimes are never merged.
SAME_BOARD = ["board", "clock", "cpu", "kernel", "python", "onnxruntime"]  # the last two: its software
SAME_CASE = ["engine", "model", "weights", "precision", "block", "threads", "mode", "steps_asked", "protocol"]

Row = dict[str, Any]


class Run(NamedTuple):
    """A measured process: its line, the file of its samples, and which of several boards of one name it was on."""

    entry: dict[str, Any]
    samples: Path
    apart: str = ""


def groups(runs: Sequence[Run], rows: dict[str, Row]) -> list[list[Run]]:
    """The runs whose steps belong together, each group oldest first; what a newer measurement supersedes is left out.

    Args:
        runs: older before newer.
        rows: identity -> the columns of `SAME_BOARD` and `SAME_CASE`.
    """
    found: dict[tuple, list[Run]] = {}
    for run in runs:
        row = rows[run.entry["id"]]
        found.setdefault((run.apart, *(row[name] for name in SAME_BOARD + SAME_CASE)), []).append(run)
    return [[run for run in group if _how(run.entry) == _how(group[-1].entry)] for group in found.values()]


def _how(entry: dict[str, Any]) -> list[Any]:
    """What the runs of a case must have in common beside their columns."""
    asked = {key: value for key, value in entry["record"]["request"].items() if key not in ("bundle", "samples")}
    facts = [entry["facts"].get(key) for key in ("hostname", "model")]
    return [asked, facts, entry.get("graph", entry["release"]), *(entry[key] for key in ("runtime", "runner"))]


def pool(entries: Sequence[dict[str, Any]], rows: Sequence[Row], samples: Sequence[Arrays]) -> Row:
    """One row by `POOLED_COLUMNS` of the lines, rows and samples of a group's runs, the newest last."""
    in_order = sorted(rows, key=lambda row: row["repeat"])
    row = {**rows[-1], "repeats": len(rows), "p50_repeats": tuple(row["p50"] for row in in_order)}
    if len(rows) > 1:
        row |= _together(Measured(entries[-1], samples), rows)
    return {name: row[name] for name in POOLED_COLUMNS}


def _together(measured: Measured, rows: Sequence[Row]) -> Row:
    """What the columns make of several runs: of all their steps, or of their values."""
    return {
        column.name: column.of(measured) if column.of_all_steps else column.pool([row[column.name] for row in rows])
        for column in COLUMNS
        if column.of and column.pool
    }


def boards(results: pandas.DataFrame) -> list[tuple[str, str, pandas.DataFrame]]:
    """The rows of each board: its name, its clock, its part of `results`.

    A board with another kernel, Python or ONNX Runtime is another board: their figures are never merged. What another
    engine did on a machine goes with the newest that ONNX Runtime did there.
    """
    rows: list[Row] = results.to_dict("records")  # type: ignore[assignment]
    ran = {_machine(row): _software(row) for row in rows if row["onnxruntime"]}
    found: dict[tuple, list[int]] = {}
    for index, row in enumerate(rows):
        software = _software(row) if row["onnxruntime"] else ran.get(_machine(row), _software(row))
        found.setdefault((*_machine(row), *software), []).append(index)
    return [(board, clock, results.iloc[found[board, clock, *more]]) for board, clock, *more in sorted(found)]


def _machine(row: Row) -> tuple:
    return tuple(row[name] for name in SAME_BOARD[:4])


def _software(row: Row) -> tuple:
    return tuple(row[name] for name in SAME_BOARD[4:])
