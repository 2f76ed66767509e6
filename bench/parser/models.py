"""What the commands about models take, which need no board."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..terms import BLOCKS
from .arguments import Commands, add_command, add_model, board_names, complete, natural, pair, positive, size

GOLDEN = Path("tests/golden")


def add_models(commands: Commands) -> None:
    """`tonearm models`."""
    add_command(
        commands, "models", "list the models: parameters, arithmetic, latency, training", "models", "models:models"
    )


def add_export(commands: Commands) -> None:
    """`tonearm export`."""
    command = add_command(
        commands,
        "export",
        "make a bundle of a model, verified against PyTorch",
        "export hpn-reduced-flute\n  tonearm export my_module:build --block 64 256",
        "export:export",
    )
    add_model(
        command,
        "model",
        metavar="MODEL|MODULE:BUILD",
        help="a model's name (see: tonearm models), or a Python module in this folder and the function in it that "
        "returns your own StreamingModule, such as my_module:build; its code is run, and checked before anything is "
        "written",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for the bundle (default: bundles/MODEL or bundles/MODULE)",
    )
    command.add_argument(
        "--block",
        type=int,
        nargs="+",
        metavar="N",
        help=f"samples per call, one graph each (default: {' '.join(map(str, BLOCKS))}, "
        "as far as they are whole numbers of hops)",
    )
    command.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="trained weights: .safetensors, .pt, .pth, .ckpt"
    )
    _add_weights(command)
    command.add_argument("--no-reverb", dest="reverb", action="store_false", help="leave the learned reverb out")
    command.add_argument(
        "--causal",
        action="store_true",
        help="no latency: glides arrive 32 samples (2 ms) late instead; the export prints how much that changes",
    )
    command.add_argument(
        "--full-noise",
        action="store_true",
        help="filter noise with all 128 taps, overlap-added: for weights trained that way (default: cropped to 64, as "
        "in the original)",
    )
    # What `bundles.export_model` takes by name, and the value that changes nothing.
    command.set_defaults(variant={"reverb": True, "causal": False, "full_noise": False})


def add_convert(commands: Commands) -> None:
    """`tonearm convert`."""
    command = add_command(
        commands,
        "convert",
        "write the weights of a checkpoint as .safetensors, which can hold nothing but tensors",
        "convert last.ckpt hpn-reduced.safetensors",
        "export:convert",
    )
    command.add_argument("old", type=Path, metavar="OLD", help="a checkpoint: .pt, .pth, .ckpt, .safetensors")
    command.add_argument("new", type=Path, metavar="NEW", help="a new file, whose name ends in .safetensors")
    _add_weights(command)


def _add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weights",
        default="",
        metavar="NAME",
        help="which weights of the checkpoint, where it has several, such as ema (default: those not averaged)",
    )


def add_import(commands: Commands) -> None:
    """`tonearm import`."""
    command = add_command(
        commands,
        "import",
        "make a bundle of an ONNX graph made elsewhere, verified against the original file",
        "import amp.onnx --sample-rate 48000 --state h_in=h_out",
        "export:import_graph",
    )
    command.add_argument("graph", type=Path, metavar="FILE", help="a graph that takes blocks of float signals (.onnx)")
    command.add_argument(
        "--sample-rate",
        type=positive,
        required=True,
        metavar="HZ",
        help="of the signals, in Hz; ONNX files don't hold it",
    )
    command.add_argument(
        "--state",
        type=lambda text: None if text == "none" else pair(text),
        nargs="+",
        action="extend",
        metavar="IN=OUT",
        help="each state's input and the output that it comes back as; name all of them, or none (default: guessed, "
        "and shown)",
    )
    command.add_argument(
        "--hop", type=positive, metavar="N", help="samples that a call takes (default: guessed, and shown)"
    )
    command.add_argument(
        "--latency",
        type=natural,
        default=0,
        metavar="N",
        help="samples by which the output lags the input (default: 0)",
    )
    command.add_argument(
        "--set",
        type=pair,
        nargs="+",
        action="extend",
        default=[],
        metavar="IN=VALUE",
        help="fix an input to one value, such as a sample rate",
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
    command.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder for the bundle (default: bundles/NAME)"
    )


def add_verify(commands: Commands) -> None:
    """`tonearm verify`."""
    command = add_command(
        commands,
        "verify",
        "check a model from the original implementation to the boards: offline, streamed, ONNX Runtime on all machines",
        "verify hpn-reduced --boards loopback\n  tonearm verify --all",
        "verify:verify",
    )
    add_model(command, "models", nargs="*")
    command.add_argument("--all", action="store_true", help="all models: about a quarter of an hour with both boards")
    boards = command.add_argument(
        "--boards",
        nargs="*",
        metavar="NAME",
        help="where to run the bundle (default: loopback and, where it can run, virtual); without a name: on no board",
    )
    complete(boards, board_names)
    command.add_argument(
        "--golden",
        type=Path,
        default=GOLDEN,
        metavar="DIR",
        help="vectors of the original implementation, MODEL.npz, with their weights, MODEL.pt "
        f"(default: {GOLDEN}, if there)",
    )
    command.set_defaults(usage=command.error)
