"""Results as GitHub's Markdown: the tables and notes of all boards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output import tables
from ..output.tables import Table
from .board import Board, sections
from .notes import notes
from .protocol_cells import cells
from .protocol_tables import tables as protocol_tables
from .table import TEXTS, columns, rows

if TYPE_CHECKING:
    from ..results.frames import Results


def markdown(results: Results) -> str:
    """All boards, and what was measured under published protocols."""
    found = [*map(_table, sections(results)), *protocol_tables(cells(results))]
    return "\n\n".join(map(tables.markdown, found)) + "\n"


def _table(board: Board) -> Table:
    shown = columns(board.cases, board.clock)
    return Table(board.title, list(shown), rows(board.cases, shown), notes(board), TEXTS)
