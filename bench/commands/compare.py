"""The command that puts teacher and students side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...device.text import printable
from ...runtime.files import whole
from ...runtime.progress import Progress
from .. import bundles
from ..errors import BenchError
from ..output.console import out, say, stage
from ..output.numbers import count
from ..output.spreadsheets import write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...models.training.dataset import Phrase
    from ..compare.comparison import Comparison, Entry
    from ..compare.text import Told


def compare(options: argparse.Namespace) -> None:
    """Compare a teacher and its students, and write the files that were asked for."""
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
        with whole(options.csv) as part:
            write_csv(table, part)
        say(f"wrote {options.csv}")
    if options.html:
        from ..compare.html import write_html
        from ..compare.pareto import pareto

        write_html(compared, told, pareto(compared, table), options.html)
        say(f"wrote {options.html}")


def _listen(entries: Sequence[Entry], instrument: str | None, options: argparse.Namespace) -> Comparison:
    from ..compare.comparison import compare

    with stage("read the test phrases") as progress:
        phrases = _phrases(instrument, options.data, progress)[: options.phrases]
    with stage(f"play {count(len(phrases), 'phrase')} with {count(len(entries), 'model')}, and listen") as progress:
        return compare(entries, phrases, progress)


def _phrases(instrument: str | None, folder: Path | None, progress: Progress) -> Sequence[Phrase]:
    from ...models.training.dataset import folder_data
    from ...models.training.listening import test_phrases

    if folder:
        return folder_data(folder, progress).test
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
