"""The command that shows results: in the terminal, as Markdown, as a page, as tables for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BenchError
from ..output.console import out, say
from .arguments import Commands, add_command

if TYPE_CHECKING:
    from ..results.frames import Results

STANDARD_OUTPUT = Path("-")


def add_report(commands: Commands) -> None:
    """`tonearm report`."""
    command = add_command(
        commands,
        "report",
        "show results: tables here, Markdown, one HTML page, CSV, Parquet",
        "report results --html report.html\n  tonearm report results more-results --markdown - | less",
    )
    command.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="folders made by tonearm sweep")
    command.add_argument("--html", type=Path, metavar="FILE", help="one self-contained page, with plots")
    command.add_argument(
        "--markdown", type=Path, metavar="FILE", help="the tables and notes, to paste; -: here, in place of the tables"
    )
    command.add_argument("--csv", type=Path, metavar="FILE", help="all columns, one row per measured process")
    command.add_argument(
        "--parquet", type=Path, metavar="DIR", help="cases, steps and telemetry, all columns, as .parquet"
    )
    command.add_argument(
        "--different",
        action="store_true",
        help="put folders together though a board is another one there, or has another kernel or ONNX Runtime",
    )
    command.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from ..report.markdown import markdown
    from ..report.terminal import terminal_tables
    from ..results.store import load

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
            raise BenchError(f"--{name} needs a file's name; only --markdown takes -")
        if path and not path.parent.is_dir():
            raise BenchError(f"--{name} {path}: there is no folder {path.parent}: make it first")


def _write(found: Results, options: argparse.Namespace) -> list[Path]:
    """The files that were asked for."""
    written: list[Path] = []
    if options.markdown and options.markdown != STANDARD_OUTPUT:
        from ..report.markdown import markdown

        options.markdown.write_text(markdown(found), encoding="utf-8")
        written.append(options.markdown)
    if options.csv:
        found.to_csv(options.csv)
        written.append(options.csv)
    if options.parquet:
        written += found.to_parquet(options.parquet)
    if options.html:
        from ..report.html import write_html

        write_html(found, options.html)
        written.append(options.html)
    return written
