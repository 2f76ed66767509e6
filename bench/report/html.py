"""Results as one self-contained HTML page: what was measured where, plots, tables, and what was not measured."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..output.page import write_page
from ..output.tables import Table
from ..results.column_spec import NONE, Column
from ..results.columns import COLUMNS, PAGE_TABLES
from ..terms import INSTRUCTIONS, TIME
from .board import Board, Row, sections
from .notes import granted, refused, unmeasured
from .parts.cost import cost
from .parts.memory import memory
from .parts.profile import profiles
from .parts.slow import slow
from .parts.spread import spread
from .parts.watched import watched
from .protocol_cells import cells
from .protocol_tables import tables

if TYPE_CHECKING:
    from ..results.frames import Results

# In the order of the page: each takes a board and makes a `Part`, or None where there is nothing to show.
PARTS = (cost, spread, slow, memory, watched, profiles)


def write_html(results: Results, path: Path, sounds: dict[str, Path] | None = None) -> None:
    """One self-contained file: for each board plots and tables, and `sounds` (title -> .wav) to listen to."""
    audio = {title: base64.b64encode(file.read_bytes()).decode() for title, file in (sounds or {}).items()}
    write_page(
        "report.html.j2",
        path,
        boards=[_section(board) for board in sections(results)],
        protocols=tables(cells(results)),
        sounds=audio,
    )


def _section(board: Board) -> dict[str, Any]:
    return {
        "name": board.name,
        "facts": fingerprint(board),
        "granted": granted(board) | _refusals(board) if board.clock == TIME else {},
        "parts": [part for part in (make(board) for make in PARTS) if part],
        "tables": full_tables(board),
        "unmeasured": unmeasured(board),
    }


def _refusals(board: Board) -> dict[str, str]:
    return {f"{what.replace('_', ' ')} refused": why for what, why in refused(board).items()}


def fingerprint(board: Board) -> dict[str, str]:
    """What the board is and runs; what is not known is left out."""
    facts, first = board.entries[-1]["facts"], board.cases[0]
    memory_kb = facts.get("memory_kb")
    found = {
        "model": facts.get("model", ""),
        "CPU": f"{first['cpu']}, {facts.get('cores', '?')} cores, {facts.get('machine', '')}",
        "memory": f"{memory_kb / 1024**2:.1f} GiB" if memory_kb else "",
        "kernel": f"Linux {first['kernel']}",
        "C library": f"{facts.get('libc', '')} {facts.get('libc_version', '')}",
        "Python": first["python"],
        "NumPy": first["numpy"],
        "ONNX Runtime": first["onnxruntime"],
        "hostname": first["hostname"],
    }
    return {name: text.strip(" ,") for name, text in found.items() if text.strip(" ,")}


def full_tables(board: Board) -> list[Table]:
    """Tables of all cases; columns that are empty throughout are left out."""
    made = [_table(title, board) for title in PAGE_TABLES]
    return [table for table in made if len(table.headings) > 1]


def _table(title: str, board: Board) -> Table:
    found = {
        column.titled(board.clock == INSTRUCTIONS): _cells(column, board.cases)
        for column in COLUMNS
        if column.table == title
    }
    found = {heading: cells for heading, cells in found.items() if set(cells) != {NONE}}
    names = [row["name"] for row in board.cases]
    return Table(title, ["case", *found], list(zip(names, *found.values(), strict=True)))


def _cells(column: Column, rows: Sequence[Row]) -> list[str]:
    return [column.cell(row) if column.cell else column.figure(row[column.name]) for row in rows]
