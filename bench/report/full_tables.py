"""Everything that is known of a board's cases, as tables for a page: step times, deadlines, conditions, sizes."""

from __future__ import annotations

from collections.abc import Sequence

from ..output.tables import Table
from ..results.column_spec import NONE, Column
from ..results.columns import COLUMNS, PAGE_TABLES
from ..terms import INSTRUCTIONS
from .board import Board, Row


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
