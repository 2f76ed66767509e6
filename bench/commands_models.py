"""Commands about models, which need no board."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..models.catalogue import MODELS
from ..runtime.bundle import Bundle
from . import bundles
from .arguments import Commands, add_command
from .console import Report, out, say, stage
from .errors import BenchError


def add_models(commands: Commands) -> None:
    """`tonearm models`."""
    command = add_command(commands, "models", "list the models there are", "models")
    command.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> None:
    from rich.table import Table

    table = Table("model", "role", "hidden", "weights")
    for model in MODELS.values():
        table.add_row(model.name, model.role, str(model.hidden), bundles.describe_weights(None))
    out.print(table)


def add_export(commands: Commands) -> None:
    """`tonearm export`."""
    command = add_command(
        commands,
        "export",
        "make a bundle of a model, verified against PyTorch",
        "export hpn-reduced\n  tonearm export my_module:build --block 64 256",
    )
    command.add_argument(
        "model",
        metavar="MODEL|MODULE:BUILD",
        help="a model's name (see: tonearm models), or a Python module here and the function in it that returns "
        "your own StreamingModule, such as my_module:build; it is run, and checked before anything is written",
    )
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: bundles/MODEL, or bundles/MODULE")
    command.add_argument(
        "--block",
        type=int,
        nargs="+",
        metavar="N",
        help=f"samples per call, one graph each (default: {' '.join(map(str, bundles.BLOCKS))}, "
        "as far as they are whole numbers of hops)",
    )
    command.add_argument("--checkpoint", type=Path, metavar="FILE", help="trained weights: a state_dict (.pt)")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    with stage(f"export {options.model}") as report:
        bundle, line = _exported(options, report)
    say(line)
    out.print(bundle.folder, soft_wrap=True)


def _exported(options: argparse.Namespace, report: Report) -> tuple[Bundle, str]:
    if ":" not in options.model:
        folder = options.output or bundles.FOLDER / options.model
        return bundles.export_model(options.model, folder, options.block or bundles.BLOCKS, report, options.checkpoint)
    if options.checkpoint:
        raise BenchError(f"{options.model} reads its weights itself: leave out --checkpoint")
    return bundles.export_own(options.model, report, options.output, options.block)
