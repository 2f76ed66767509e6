"""A table, and how a terminal and Markdown show it; `table.html.j2` is how a page does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as Grid
    from rich.text import Text


class Bold(str):
    """A cell that is shown bold."""

    bold = True  # what a page's template looks for


@dataclass(frozen=True)
class Table:
    """Cells as text below headings, a title above (none if empty) and notes below.

    The columns of `texts` (headings) stand to the left, all others to the right, as numbers do. Rich prints it.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    texts: Collection[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        yield from [Text(self.title)] if self.title else []
        yield _grid(self, options.max_width, styled=console.is_terminal)
        yield from [Text("\n".join(self.notes))] if self.notes else []


def _grid(table: Table, width: int, *, styled: bool) -> Grid:
    """Where a terminal is too narrow, cells go on in the next line: a number cut short would be another number.

    The names in the first column stay whole where they take no more than half of the width.
    """
    import rich.box
    from rich.table import Table as Grid

    grid = Grid(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading, *cells in zip(table.headings, *table.rows, strict=True):
        whole = heading == table.headings[0] and max(map(len, (heading, *cells))) <= width // 2
        side = "left" if heading in table.texts else "right"
        grid.add_column(heading, justify=side, overflow="fold", no_wrap=whole)
    for row in table.rows:
        grid.add_row(*(_cell(cell, styled=styled) for cell in row))
    return grid


def _cell(cell: str, *, styled: bool) -> Text:
    """Bold, or between `**` where bold can't be seen."""
    from rich.text import Text

    if not isinstance(cell, Bold):
        return Text(cell)
    return Text(cell, style="bold") if styled else Text(f"**{cell}**")


def markdown(table: Table) -> str:
    """As GitHub reads it, and readable as it is: cells are filled up to the width of their column."""
    cells = [[_markdown_cell(cell) for cell in row] for row in (table.headings, *table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    texts = [heading in table.texts for heading in table.headings]
    rule = ["-" * width if text else "-" * (width - 1) + ":" for text, width in zip(texts, widths, strict=True)]
    lines = [[_filled(*cell) for cell in zip(row, widths, texts, strict=True)] for row in cells]
    grid = "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
    parts = [f"### {safe(table.title)}" if table.title else "", grid, "\n".join(f"- {safe(n)}" for n in table.notes)]
    return "\n\n".join(filter(None, parts))


def _markdown_cell(cell: str) -> str:
    return f"**{safe(cell)}**" if isinstance(cell, Bold) else safe(cell)


def _filled(cell: str, width: int, is_text: bool) -> str:
    return cell.ljust(width) if is_text else cell.rjust(width)


def safe(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([|\\`*_\[\]]|<(?=\S))", r"\\\1", " ".join(text.split()))
