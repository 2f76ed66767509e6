"""Commands about models, which need no board."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from ..models.catalogue import MODELS
from . import bundles
from .arguments import Commands, add_command, natural, pair, positive, size
from .console import out, say, stage
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
        commands, "export", "make a bundle of a model, verified against PyTorch", "export hpn-reduced"
    )
    command.add_argument("model", help="a model's name (see: tonearm models)")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: bundles/MODEL")
    command.add_argument(
        "--block",
        type=int,
        nargs="+",
        default=bundles.BLOCKS,
        metavar="N",
        help=f"samples per call, one graph each (default: {' '.join(map(str, bundles.BLOCKS))})",
    )
    command.add_argument("--checkpoint", type=Path, metavar="FILE", help="trained weights: a state_dict (.pt)")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    folder = options.output or bundles.FOLDER / options.model
    with stage(f"export {options.model}") as report:
        bundle, line = bundles.export_model(options.model, folder, options.block, report, options.checkpoint)
    say(line)
    out.print(bundle.folder, soft_wrap=True)


def add_import(commands: Commands) -> None:
    """`tonearm import`."""
    command = add_command(
        commands,
        "import",
        "make a bundle of an ONNX graph made elsewhere, verified against the original file",
        "import amp.onnx --sample-rate 48000 --state h_in=h_out",
    )
    command.add_argument("graph", type=Path, metavar="FILE", help="a graph that takes blocks of float signals (.onnx)")
    command.add_argument("--sample-rate", type=positive, required=True, metavar="HZ")
    command.add_argument(
        "--state",
        type=lambda text: None if text == "none" else pair(text),
        nargs="+",
        action="extend",
        metavar="IN=OUT",
        help="each state's input and the output it comes back as, all of them, or none (default: guessed and shown)",
    )
    command.add_argument("--hop", type=positive, metavar="N", help="samples a call takes (default: guessed and shown)")
    command.add_argument("--latency", type=natural, default=0, metavar="N", help="samples it lags by (default: 0)")
    command.add_argument(
        "--set",
        type=pair,
        nargs="+",
        action="extend",
        default=[],
        metavar="IN=VALUE",
        help="give an input one value for good",
    )
    command.add_argument(
        "--dim",
        type=size,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=SIZE",
        help="fix a size that the graph leaves open, such as batch=1; INPUT:AXIS=SIZE where it has no name",
    )
    command.add_argument("--name", help="the bundle's name (default: the file's)")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: bundles/NAME")
    command.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> None:
    name = options.name or bundles.plain_name(options.graph.stem)
    with stage(f"import {options.graph}") as report:
        done = bundles.import_onnx(
            options.graph,
            name,
            options.output or bundles.FOLDER / name,
            report,
            sample_rate=options.sample_rate,
            states=None if options.state is None else _by_name(given for given in options.state if given),
            hop=options.hop,
            latency=options.latency,
            constants=_by_name(options.set),
            dims=_by_name(options.dim),
        )
    for line in str(done.plan).splitlines():
        say(line)
    say(f"{name}: {done.bundle.weights}; differs from the original by {done.error:.1e} of full scale")
    out.print(done.bundle.folder, soft_wrap=True)


def _by_name(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise BenchError(f"{name} is given twice: {found[name]} and {value}")
        found[name] = value
    return found
