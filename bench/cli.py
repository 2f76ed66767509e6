"""The command line. Libraries raise; this file prints what ends a command: one line, and what to try next."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from ..device.errors import DeviceError
from ..device.facts import printable
from ..device.prompts import answering
from ..models.errors import ModelError
from ..runtime.errors import RunnerError
from .commands.board import add_board
from .commands.compare import add_compare
from .commands.deploy import add_deploy
from .commands.gate import add_gate
from .commands.models import add_convert, add_export, add_import, add_models
from .commands.render import add_demo, add_render
from .commands.report import add_report
from .commands.sweep import add_sweep
from .commands.training import add_distill, add_train
from .commands.verify import add_verify
from .errors import BenchError
from .output.console import ask, one_line, say

EXAMPLES = """examples:
  tonearm export hpn-reduced-flute                               make a bundle: bundles/hpn-reduced-flute
  tonearm export my_module:build                                 the same of a module of your own, checked first
  tonearm deploy hpn-reduced-flute --board virtual               put it on a board and prove it there
  tonearm render hpn-reduced-flute --board virtual --input take.wav -o out.wav
  tonearm sweep --board virtual --models hpn-full-flute hpn-reduced-flute -o results
  tonearm compare results --teacher hpn-full-flute --student hpn-reduced-flute
  tonearm report results --html report.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 for an error, 2 for wrong usage, 130 when interrupted."""
    options = parser().parse_args(arguments)
    try:
        with answering(ask):
            options.run(options)
    except KeyboardInterrupt:
        say("interrupted: what was finished is kept, nothing is half done; a board's release is the old or the new one")
        return 130
    except BrokenPipeError as error:
        return _closed(error)
    except _known_errors() as error:
        _tell(error)
        return 1
    return 0


def _tell(error: Exception) -> None:
    """One line; before it one for each finding, if it is the linter's."""
    findings: list[str] = getattr(error, "findings", [])
    for finding in findings:
        say(printable(finding))
    text = getattr(error, "summary", str(error)) if findings else str(error)
    say(f"tonearm: {one_line(text)}")


def _closed(error: BrokenPipeError) -> int:
    """Quiet when whoever reads our output has had enough (`| head`); a line when it was another pipe."""
    try:
        sys.stdout.flush()
        say(f"tonearm: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _known_errors() -> tuple[type[Exception], ...]:
    """The trees of all folders; export's only if it was used, for importing it takes torch's seconds."""
    errors: tuple[type[Exception], ...] = (BenchError, DeviceError, ModelError, RunnerError, OSError)
    used = sys.modules.get("tonearm.export.errors")
    return (*errors, used.ExportError) if used else errors


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="tonearm",
        description="Put a neural-audio model on an ARM board, prove that it streams there as trained, measure it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"tonearm {metadata.version('tonearm')}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    add_models(commands)
    add_export(commands)
    add_convert(commands)
    add_import(commands)
    add_verify(commands)
    add_train(commands)
    add_distill(commands)
    add_deploy(commands)
    add_render(commands)
    add_sweep(commands)
    add_report(commands)
    add_compare(commands)
    add_gate(commands)
    add_board(commands)
    add_demo(commands)
    return top
