"""The command that puts teacher and students side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...device.facts import printable
from .. import bundles
from ..errors import BenchError
from ..output.console import Report, out, say, stage
from .arguments import Commands, add_command, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...models.training.dataset import Phrase
    from ..compare.comparison import Comparison, Entry
    from ..compare.text import Told


def add_compare(commands: Commands) -> None:
    """`tonearm compare`."""
    command = add_command(
        commands,
        "compare",
        "put a teacher and its students side by side: size, cost, sound",
        "compare results --teacher hpn-full-flute --student hpn-reduced-flute --html compare.html\n"
        "  tonearm compare results --teacher hpn-full --student hpn-reduced ddx7-reduced-flute --no-sound",
    )
    command.add_argument(
        "results",
        type=Path,
        nargs="?",
        metavar="RESULTS",
        help="a folder made by tonearm sweep, for what a block costs",
    )
    model = "a model's name (see: tonearm models), or NAME=FILE with a checkpoint"
    command.add_argument("--teacher", required=True, metavar="MODEL", help=model)
    command.add_argument(
        "--student",
        required=True,
        nargs="+",
        metavar="MODEL",
        help="one or more; the others are compared with the first",
    )
    phrases = command.add_mutually_exclusive_group()
    phrases.add_argument(
        "--instrument", metavar="NAME", help="whose test phrases to play (default: the one in the models' names)"
    )
    phrases.add_argument(
        "--data", type=Path, metavar="FOLDER", help="play the test part of your own recordings: .wav, mono, 16 kHz"
    )
    phrases.add_argument(
        "--no-sound", action="store_true", help="play nothing: size and cost alone, in seconds, of untrained models too"
    )
    command.add_argument(
        "--phrases", type=positive, metavar="N", help="only the first N of them (default: all), for a quick look"
    )
    command.add_argument("--csv", type=_new_file, metavar="FILE", help="all figures, one row per model (and board)")
    command.add_argument(
        "--html", type=_new_file, metavar="FILE", help="one self-contained page, with sounds to listen to"
    )
    command.set_defaults(run=_compare)


def _new_file(text: str) -> Path:
    """A file to write, as argparse reads it: minutes of listening shall not end in a name that was mistyped."""
    file = Path(text)
    if text == "-" or file.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: the name of a file is wanted")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"no folder {file.parent}: make it first")
    return file


def _compare(options: argparse.Namespace) -> None:
    names = [options.teacher, *options.student]
    with bundles.needing_extra("comparing"):
        import torch

        from ..compare import comparison, costs, text
        from ..results.store import load
    torch.set_num_threads(1)  # on a busy machine, threads that wait for each other make a phrase last ten times as long
    is_named = options.instrument or options.data or options.no_sound
    instrument = options.instrument if is_named else comparison.instrument_of(names)
    found = load(options.results) if options.results else None
    entries = comparison.read_entries(names, lambda line: say(printable(line)))
    block_costs = None if found is None else costs.block_costs(entries, found)
    compared = comparison.silent(entries) if options.no_sound else _listen(entries, instrument, options)
    table = comparison.table(compared, block_costs)
    told = text.tell(compared, table)
    _print(told)
    if options.csv:
        table.to_csv(options.csv, index=False)
        say(f"wrote {options.csv}")
    if options.html:
        from ..compare.html import write_html
        from ..compare.pareto import pareto

        write_html(compared, told, pareto(compared, table), options.html)
        say(f"wrote {options.html}")


def _listen(entries: Sequence[Entry], instrument: str | None, options: argparse.Namespace) -> Comparison:
    from ..compare.comparison import compare

    with stage("read the test phrases") as report:
        phrases = _phrases(instrument, options.data, report)[: options.phrases]
    with stage(f"play {len(phrases)} phrases with {len(entries)} models, and listen") as report:
        return compare(entries, phrases, report)


def _phrases(instrument: str | None, folder: Path | None, report: Report) -> Sequence[Phrase]:
    from ...models.training.dataset import folder_data
    from ...models.training.listening import test_phrases

    if folder:
        return folder_data(folder, report).test
    if instrument is None:
        raise BenchError(
            "the model names contain no instrument: pass --instrument NAME, or --data FOLDER with your own "
            "recordings; --no-sound compares size and cost alone"
        )
    return test_phrases(instrument)


def _print(told: Told) -> None:
    """In the order of the page: what the numbers say first."""
    for line in told.findings:
        out.print(line, soft_wrap=True)
    for table in told.tables:
        out.print(table)
    for line in told.notes:
        out.print(line, soft_wrap=True)
    if told.paired:
        out.print(told.paired)
        out.print(told.paired_note, soft_wrap=True)
