"""Controls in text: a table with one column for each input, as people and their programs write it."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .errors import ControlsError
from .output.numbers import count

SEPARATORS = (";", "\t", ",")  # the first that stands in the heading
UNITS = ("hz", "db")  # which a name may end in
# To the end of the line, unless it is what a spreadsheet shows where it can't compute: #N/A, #DIV/0!, #REF!, #NAME? ...
COMMENT = re.compile(r"#(?!N/A|NULL!|NUM!|REF!|VALUE!|DIV/0!|NAME\?|SPILL!|CALC!|ERROR!|GETTING_DATA).*")
BRACKETS = re.compile(r"[\[(]([^\])]*)[\])]")
MAX_SHOWN = 40
Row = tuple[int, list[str]]  # the number of its line, its cells


def read_table(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of a .csv by name, `(frames,)` each: those of `wanted` as numbers, others as texts.

    Columns are separated by commas, semicolons or tabs; with the latter two, numbers may have decimal commas. A heading
    such as `F0 [Hz]` stands for f0_hz. `#` begins a comment.

    Raises:
        ControlsError: names the line that does not fit, or two columns that are the same.
    """
    lines = _lines(path)
    separator = _separator(path, lines)
    (_, heading), *rows = _rows(path, lines, separator)
    names = _names(path, [cell.strip() for cell in heading], wanted)
    for number, cells in rows:
        _check_width(path, number, cells, names, separator)
    columns = {name: [(number, cells[place].strip()) for number, cells in rows] for place, name in enumerate(names)}
    has_commas = separator != ","
    return {
        name: _numbers(path, name, cells, has_commas) if name in wanted else np.array([text for _, text in cells])
        for name, cells in columns.items()
    }


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    try:
        content = path.read_bytes()
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ControlsError(f"{path} is not a table: {error}") from error
    lines = [(number, COMMENT.sub("", line)) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line.strip()]
    while lines and not lines[-1][1].strip(' \t;,"'):  # spreadsheets add rows of nothing
        lines.pop()
    if not lines:
        raise ControlsError(f"{path} is not a table: it is empty")
    return lines


def _separator(path: Path, lines: list[tuple[int, str]]) -> str:
    """What separates columns; a first line `sep=;`, which spreadsheets write, is taken out."""
    if found := re.fullmatch(r"sep=(.)\s*", lines[0][1], re.I):
        del lines[0]
        if not lines:
            raise ControlsError(f"{path} is not a table: it is empty")
        return found[1]
    heading = re.sub(r'"[^"]*"', "", BRACKETS.sub("", lines[0][1]))
    return next((mark for mark in SEPARATORS if mark in heading), ",")


def _rows(path: Path, lines: list[tuple[int, str]], separator: str) -> Iterator[Row]:
    try:
        cells = csv.reader((line for _, line in lines), delimiter=separator, skipinitialspace=True, strict=True)
        yield from zip((number for number, _ in lines), cells, strict=True)
    except (csv.Error, ValueError, TypeError) as error:
        raise ControlsError(f"{path} is not a table: {error}") from error


def _names(path: Path, heading: list[str], wanted: Sequence[str]) -> list[str]:
    """The input that each column is for, or its heading where it is for none."""
    while heading and not heading[-1]:
        heading.pop()
    meant = [name for name in wanted if name not in heading]  # what is named exactly needs no guess
    names = [cell if cell in wanted else next((n for n in meant if _means(cell, n)), cell) for cell in heading]
    for name in wanted:
        twice = [repr(cell[:MAX_SHOWN]) for cell, other in zip(heading, names, strict=True) if other == name]
        if len(twice) > 1:
            raise ControlsError(f"{path} has {len(twice)} columns for {name}, {' and '.join(twice[:3])}: leave one")
    return names


def _means(heading: str, name: str) -> bool:
    """Whether a heading stands for an input: `F0 [Hz]`, `f0 hz` and `"F0_Hz"` do for f0_hz, `f0 [MIDI]` does not."""
    unit = "_".join(_plain(found) for found in BRACKETS.findall(heading))
    base, name = _plain(BRACKETS.sub(" ", heading)), _plain(name)
    last = name.rpartition("_")[2]
    fits = not unit or last == unit or last not in UNITS
    return f"{base}_{unit}" == name or (base == name and fits)


def _plain(text: str) -> str:
    return "_".join(re.findall(r"[^\W_]+", text.casefold()))


def _check_width(path: Path, number: int, cells: list[str], names: list[str], separator: str) -> None:
    """`ControlsError` unless a line has as many cells as the heading; empty ones at the end may be more."""
    beyond = [cell for cell in cells[len(names) :] if cell.strip()]
    if beyond or len(cells) < len(names):
        hint = ": where numbers have decimal commas, separate columns with semicolons" if separator == "," else ""
        has = count(len(cells), "column")
        raise ControlsError(f"{path}: line {number} has {has}, the heading has {len(names)}{hint if beyond else ''}")


def _numbers(path: Path, name: str, cells: list[tuple[int, str]], has_commas: bool) -> np.ndarray:
    found = np.empty(len(cells))
    for place, (number, text) in enumerate(cells):
        if not text:
            raise ControlsError(f"{path}: {name} has no number on line {number}")
        try:
            found[place] = float(text.replace(",", ".") if has_commas else text)
        except ValueError as error:
            shown = repr(text[:MAX_SHOWN])
            raise ControlsError(f"{path}: {name} must hold numbers, line {number} has {shown}") from error
    return found
