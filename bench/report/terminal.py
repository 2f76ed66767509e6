"""Results in a terminal: a table for each board with notes below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output.console import out
from ..output.tables import Table
from .board import Board, sections
from .notes import notes
from .protocol_cells import cells
from .protocol_tables import tables
from .table import TEXTS, columns, narrow, rows

if TYPE_CHECKING:
    from ..results.frames import Results


def terminal_tables(results: Results, width: int | None = None) -> list[Table]:
    """A titled table for each board, with what is to be known about it below, and those of published protocols.

    Columns that don't fit into `width` characters, by default the terminal's, are left out, the least telling first;
    which ones is said below.
    """
    return [*(_fitting(board, width or out.width) for board in sections(results)), *tables(cells(results))]


def _fitting(board: Board, width: int) -> Table:
    shown = columns(board.cases, board.clock)
    kept = narrow(shown, rows(board.cases, shown), width)
    left_out = [heading for heading in shown if heading not in kept]
    more = [f"in --markdown and --html also: {', '.join(left_out)}"] if left_out else []
    return Table(board.title, list(kept), rows(board.cases, kept), [*notes(board), *more], TEXTS)
