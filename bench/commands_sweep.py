"""The command that measures models on a board, or on several at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..device.boards import check_name
from . import bundles
from .arguments import Commands, add_command, add_on_several, positive
from .console import out, say, stage
from .together import at_once


def add_sweep(commands: Commands) -> None:
    """`tonearm sweep`."""
    command = add_command(
        commands,
        "sweep",
        "measure models x blocks x threads on a board, or on several at once; goes on where it was stopped",
        "sweep --board virtual --models hpn-full-flute hpn-reduced-flute --blocks 64 1024 -o results\n"
        "  tonearm sweep --board pi bela --models hpn-reduced-flute -o results",
    )
    add_on_several(command)
    command.add_argument("--models", nargs="+", required=True, metavar="MODEL|BUNDLE")
    command.add_argument(
        "--blocks", type=positive, nargs="+", metavar="N", help="samples per call (default: all the bundle has)"
    )
    command.add_argument("--threads", type=positive, nargs="+", default=[1], metavar="N", help="default: 1")
    command.add_argument("--steps", type=positive, metavar="N", help="timed steps a case (default: 1000; virtual: 7)")
    command.add_argument("-o", "--output", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    command.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    from . import results, sweep
    from .report import terminal_tables

    for name in options.board:
        check_name(name)
    ready = []
    for what in options.models:
        with stage(f"bundle {what}") as report:
            ready.append(bundles.ensure_bundle(what, report, options.blocks)[0])
    cases = (ready, options.blocks, options.threads, options.output)
    swept, failed = at_once(
        options.board,
        lambda name: f"sweep on {name}",
        lambda name, report, reach: sweep.sweep(name, *cases, report, options.steps, reach),
    )
    for name, tally in swept.items():
        board = f"{name}: " if len(options.board) > 1 else ""
        say(f"{board}{tally.measured} cases measured, {tally.kept} were there already in {options.output}")
    if any(tally.measured or tally.kept for tally in swept.values()):
        for table in terminal_tables(results.load(options.output)):
            out.print(table)
    sweep.check_cases(swept, failed)
