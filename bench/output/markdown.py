"""Markdown as GitHub reads it: tables, and text that is shown as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def safe(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([|\\`*_\[\]]|<(?=\S))", r"\\\1", " ".join(text.split()))


def table(headings: Sequence[str], rows: Iterable[Iterable[str]], texts: Sequence[str] = ()) -> str:
    """A table of cells that are Markdown already, numbers to the right; `texts` are headings of columns of text."""
    aligned = ["---" if heading in texts else "---:" for heading in headings]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (map(safe, headings), aligned, *rows))
