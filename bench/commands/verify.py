"""The command that goes through the whole chain, from the original implementation to the boards."""

from __future__ import annotations

import argparse

from ...device.boards import check_name, default_board
from ...device.descriptor import LOOPBACK
from ...models.catalogue import MODELS, find
from .. import verify as chain_of
from ..errors import BenchError
from ..output.console import out, say, stage

NOTES = {
    "original": "original: float64 vectors of the original implementation; its offline link is the worst of all parts",
    "offline": "offline: compared with PyTorch's render, of the weights that come along or random ones",
}


def verify(options: argparse.Namespace) -> None:
    """Check models link by link, and print the greatest difference of each."""
    bundles = [name for name in options.models if "/" in name or ":" in name]
    if bundles:
        raise BenchError(f"{bundles[0]}: models are verified by name; a bundle is proven when it is first deployed")
    names = list(MODELS) if options.all else [find(name).name for name in options.models]
    if not names:
        options.usage("name a model, or --all")
    boards = _built_in() if options.boards is None else options.boards
    for board in boards:
        check_name(board)
    chains = []
    for name in names:
        with stage(f"verify {name}") as progress:
            chains.append(chain_of.verify(name, boards, options.golden, progress))
    out.print(chain_of.table(chains), soft_wrap=True)
    out.print("greatest difference, relative to full scale, and signal-to-noise ratio of the audio", soft_wrap=True)
    for truth in sorted({chain.truth for chain in chains}, reverse=True):
        out.print(NOTES[truth], soft_wrap=True)
    if not any(options.golden.glob("*.npz")):
        say(f"no vectors of the original implementation in {options.golden}: they come with the source, see --golden")
    chain_of.check(chains)


def _built_in() -> list[str]:
    return list(dict.fromkeys([LOOPBACK, default_board(say)]))
