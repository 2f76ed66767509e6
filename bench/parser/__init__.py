"""The command line, what each command takes: light, so that help, usage errors and completion come at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from . import boards, deploying, measuring, models, shell, training
from .arguments import add_commands

EXAMPLES = """examples:
  tonearm export hpn-reduced-flute                               make a bundle: bundles/hpn-reduced-flute
  tonearm export my_module:build                                 the same for a module of your own, checked first
  tonearm deploy hpn-reduced-flute --board virtual               put it on a board and prove it there
  tonearm render hpn-reduced-flute --board virtual --input take.wav -o out.wav
  tonearm sweep --board virtual --models hpn-full-flute hpn-reduced-flute -o results
  tonearm compare results --teacher hpn-full-flute --student hpn-reduced-flute
  tonearm report results --html report.html

tonearm COMMAND --help: the options of a command, with examples
tonearm completion --help: how to complete them in your shell
"""


class _Version(argparse.Action):
    """Print the version that is installed, looked up only when it is asked for."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from importlib import metadata

        print(f"tonearm {metadata.version('tonearm')}", flush=True)
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """All commands and their options; what is parsed has `run`, the module and function of `bench.commands` to run."""
    top = argparse.ArgumentParser(
        prog="tonearm",
        description="Put a neural-audio model on an ARM board, prove that it streams there as trained, measure it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = add_commands(top, "COMMAND")
    models.add_models(commands)
    models.add_export(commands)
    models.add_convert(commands)
    models.add_import(commands)
    models.add_verify(commands)
    training.add_train(commands)
    training.add_distill(commands)
    deploying.add_deploy(commands)
    deploying.add_render(commands)
    measuring.add_sweep(commands)
    measuring.add_report(commands)
    measuring.add_compare(commands)
    measuring.add_gate(commands)
    measuring.add_results(commands)
    boards.add_board(commands)
    deploying.add_demo(commands)
    shell.add_completion(commands)
    return top
