"""The command that shows results: in the terminal, as Markdown, as a page, as tables for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...runtime.files import whole
from ..errors import BenchError
from ..output.console import out, say
from ..report.html import write_html
from ..report.markdown import markdown
from ..report.terminal import terminal_tables
from ..results.frames import Results
from ..results.store import load

STANDARD_OUTPUT = Path("-")


def report(options: argparse.Namespace) -> None:
    """Print results, and write the files that were asked for."""
    _check_files(options)
    found = load(*options.results, different=options.different)
    if options.markdown == STANDARD_OUTPUT:
        out.print(markdown(found), soft_wrap=True)
    else:
        for part in terminal_tables(found):
            out.print(part)
    for path in _write(found, options):
        say(f"wrote {path}")


def _check_files(options: argparse.Namespace) -> None:
    """`BenchError` where a file can't be written, before anything is read."""
    for name in ("html", "markdown", "csv", "parquet"):
        path = getattr(options, name)
        if path == STANDARD_OUTPUT and name != "markdown":
            raise BenchError(f"--{name} needs a file name; only --markdown takes -")
        if path and not path.parent.is_dir():
            raise BenchError(f"--{name} {path}: there is no folder {path.parent}: make it first")


def _write(found: Results, options: argparse.Namespace) -> list[Path]:
    """The files that were asked for."""
    written: list[Path] = []
    if options.markdown and options.markdown != STANDARD_OUTPUT:
        with whole(options.markdown) as part:
            part.write_text(markdown(found), encoding="utf-8")
        written.append(options.markdown)
    if options.csv:
        found.to_csv(options.csv)
        written.append(options.csv)
    if options.parquet:
        written += found.to_parquet(options.parquet)
    if options.html:
        write_html(found, options.html)
        written.append(options.html)
    return written
