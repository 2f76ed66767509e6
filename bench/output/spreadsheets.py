"""Tables for spreadsheets, which run a cell that begins like a formula: a board's or a file's name may do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(table: pandas.DataFrame, file: Path) -> None:
    """Write the table as CSV, without its index; texts that a spreadsheet would run begin with an apostrophe.

    Texts become one line each: pandas 3.1 leaves a carriage return without quotes, so that it would begin a row.
    """
    texts = table.select_dtypes(exclude=["number", "bool", "datetime"]).columns
    table.assign(**{name: table[name].map(_harmless) for name in texts}).to_csv(file, index=False)


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    line = re.sub(r"[\r\n]+", " ", value)
    return f"'{line}" if value.startswith(FORMULAS) else line
