"""The command that goes through the whole chain, from the original implementation to the boards."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...device.boards import LOOPBACK, check_name
from ...models.catalogue import MODELS, find
from .. import verify
from ..demo import default_board
from ..errors import BenchError
from ..output.console import out, say, stage
from .arguments import Commands, add_command

GOLDEN = Path("tests/golden")
NOTES = {
    "original": "original: float64 vectors of the original implementation; its offline link is the worst of all parts",
    "offline": "offline: compared with PyTorch's render, of the weights that come along or random ones",
}


def add_verify(commands: Commands) -> None:
    """`tonearm verify`."""
    command = add_command(
        commands,
        "verify",
        "go through the chain of equalities: original, offline, streamed, ONNX Runtime here and on boards",
        "verify hpn-reduced --boards loopback\n  tonearm verify --all",
    )
    command.add_argument("models", nargs="*", metavar="MODEL", help="a model's name (see: tonearm models)")
    command.add_argument("--all", action="store_true", help="all models: about a quarter of an hour with both boards")
    command.add_argument(
        "--boards", nargs="*", metavar="NAME", help="default: loopback and, where it can run, virtual; nothing for none"
    )
    command.add_argument(
        "--golden",
        type=Path,
        default=GOLDEN,
        metavar="DIR",
        help=f"vectors of the original implementation, MODEL.npz, and weights, MODEL.pt (default: {GOLDEN}, if there)",
    )
    command.set_defaults(run=_verify, usage=command.error)


def _verify(options: argparse.Namespace) -> None:
    bundles = [name for name in options.models if "/" in name or ":" in name]
    if bundles:
        raise BenchError(f"{bundles[0]}: models are verified by name; a bundle is proven at each first deploy")
    names = list(MODELS) if options.all else [find(name).name for name in options.models]
    if not names:
        options.usage("name a model, or --all")
    boards = _built_in() if options.boards is None else options.boards
    for board in boards:
        check_name(board)
    chains = []
    for name in names:
        with stage(f"verify {name}") as report:
            chains.append(verify.verify(name, boards, options.golden, report))
    out.print(verify.table(chains), soft_wrap=True)
    out.print("greatest difference, relative to full scale, and signal-to-noise ratio of the audio", soft_wrap=True)
    for truth in sorted({chain.truth for chain in chains}, reverse=True):
        out.print(NOTES[truth], soft_wrap=True)
    if not any(options.golden.glob("*.npz")):
        say(f"no vectors of the original implementation in {options.golden}: they come with the source, see --golden")
    verify.check(chains)


def _built_in() -> list[str]:
    return list(dict.fromkeys([LOOPBACK, default_board()]))
