"""Commands about models, which need no board."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..device.facts import printable
from ..models.catalogue import MODELS
from . import bundles
from .arguments import Commands, add_command
from .console import out, plain_table, say, stage

if TYPE_CHECKING:
    from ..models.catalogue import Model
    from ..models.footprint import Footprint

MODELS_NOTES = """full: the teacher; reduced: the student; decoder, synth, reverb: parameters
MMAC/s: million multiply-accumulates a second of audio, decoder+synth+reverb (sines and table look-ups not counted)
past: frames that the decoder looks back on, its own included; "all" for a recurrent one
latency: samples (0 with --causal); kB: the state that goes from one step to the next
weights: {weights}; trained ones by --checkpoint"""


def add_models(commands: Commands) -> None:
    """`tonearm models`."""
    command = add_command(commands, "models", "list the models there are", "models")
    command.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> None:
    headings = ("model", "decoder", "synth", "reverb", "MMAC/s", "past", "latency", "kB")
    with bundles.needing_extra("weighing the models"):
        from ..models.catalogue import build
        from ..models.footprint import footprint
    with stage("weigh the models"):
        rows = [_weighed(model, footprint(build(model).eval())) for model in MODELS.values()]
    out.print(plain_table(headings, rows, ("model",)))
    out.print(MODELS_NOTES.format(weights=bundles.describe_weights(None)), soft_wrap=True)


def _weighed(model: Model, weighed: Footprint) -> tuple[str, ...]:
    parameters = [str(weighed.parameters[part]) for part in ("decoder", "synth", "reverb")]
    macs = "+".join(f"{count / 1e6:.3g}" if count < 1e9 else f"{count / 1e6:.0f}" for count in weighed.macs.values())
    past = "all" if weighed.receptive_field is None else str(weighed.receptive_field)
    return model.name, *parameters, macs, past, str(weighed.latency), f"{weighed.state_bytes / 1000:.0f}"


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
    command.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="trained weights: .safetensors, .pt, .pth, .ckpt"
    )
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    folder = options.output or bundles.FOLDER / options.model
    with stage(f"export {options.model}") as report:
        bundle, line = bundles.export_model(options.model, folder, options.block, report, options.checkpoint)
    say(line)
    out.print(bundle.folder, soft_wrap=True)


def add_convert(commands: Commands) -> None:
    """`tonearm convert`."""
    command = add_command(
        commands,
        "convert",
        "write the weights of a checkpoint as .safetensors, which can hold nothing else",
        "convert last.ckpt hpn-reduced.safetensors",
    )
    command.add_argument("old", type=Path, metavar="OLD", help="a checkpoint: .pt, .pth, .ckpt, .safetensors")
    command.add_argument("new", type=Path, metavar="NEW", help="a name that ends in .safetensors, and is not taken")
    command.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    with bundles.needing_extra("converting"):
        from ..models.checkpoints import convert
    done = convert(options.old, options.new)
    for note in done.notes:
        say(f"{options.old}: {printable(note)}")
    tensors = done.state.values()
    numbers, size = sum(tensor.numel() for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
    was = options.old.stat().st_size
    say(f"kept: {len(tensors)} tensors, {numbers} numbers, {size / 1e6:.2f} MB of {was / 1e6:.2f} MB")
    out.print(options.new, soft_wrap=True)
