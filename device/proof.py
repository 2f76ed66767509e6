"""The proof that a release streams as trained: what a board says of it is judged here, each time it is read.

A proof is kept on the board, beside the release, for one runtime and one runner.
"""

from __future__ import annotations

from typing import Any

from ..runtime.bundle import Bundle
from ..runtime.clip import read_golden
from ..runtime.parity import proof_frames
from .descriptor import descriptor
from .errors import AgentError
from .runtimes.provision import Site
from .ssh.connection import Connection
from .text import shortened

LONGEST_NS = 1 << 40  # of a step, or instructions: 18 minutes, more than a proof may take
Parity = list[dict[str, Any]]
"""`{"block", "frames", "error", "step_ns"}` of each graph, as `runtime.parity.check_parity` gives it."""


def proof_path(site: Site, release: str) -> str:
    """Where the proof lies: a release is proven anew when the runtime or the runner changes."""
    return f"{release}.{site.runtime.split('/')[1]}.{site.runner.split('/')[1]}.json"


def judged(board: str, bundle: Bundle, parity: Any, asked: int | None) -> Parity:
    """What the board says of its stream, if that is a proof: every block, all frames, within the bundle's tolerance.

    `asked` is how many frames of the golden clip were to be played, None for all.

    Raises:
        AgentError: it is none; the board says so itself in a `ParityError` where its stream is wrong.
    """
    wrong = _wrong(bundle, parity, asked)
    if wrong:
        raise AgentError(f"its proof that {bundle.name} streams as trained is none: {wrong}", board=board)
    return [{key: entry[key] for key in ("block", "frames", "error", "step_ns")} for entry in parity]


def is_proof(board: str, bundle: Bundle, parity: Any) -> bool:
    """Whether what was kept is a proof."""
    return not _wrong(bundle, parity, descriptor(board).proof_frames)


def _wrong(bundle: Bundle, parity: Any, asked: int | None) -> str:
    blocks = sorted(bundle.graphs)
    if not isinstance(parity, list) or not all(isinstance(entry, dict) for entry in parity):
        return "it is no list of blocks"
    proven = [entry.get("block") for entry in parity]
    if proven != blocks or not all(isinstance(block, int) for block in proven):
        return f"it is of blocks {_shown(proven)} instead of {_shown(blocks)}"
    length = read_golden(bundle)[bundle.inputs[0].name].shape[1]
    for entry in parity:
        _, frames = proof_frames(bundle, entry["block"], length, asked)
        wrong = _wrong_figure(entry, frames, bundle.tolerance)
        if wrong:
            return f"at block {entry['block']} {wrong}"
    return ""


def _wrong_figure(entry: dict[str, Any], frames: int, tolerance: float) -> str:
    error, step_ns = entry.get("error"), entry.get("step_ns")
    if entry.get("frames") != frames:
        return f"{_shown(entry.get('frames'))} frames were compared instead of {frames}"
    if not isinstance(error, int | float) or not 0 <= error <= tolerance:
        return f"the error is {_shown(error)} of full scale, where {tolerance:g} is allowed"
    if not isinstance(step_ns, int) or not 0 < step_ns < LONGEST_NS:
        return f"a step takes {_shown(step_ns)} ns"
    return ""


def _shown(value: Any) -> str:
    return shortened(repr(value), 100)


def keep_proof(connection: Connection, site: Site, release: str, parity: Parity) -> None:
    """Keep on the board that the release (its path) has passed there."""
    connection.ask("proof", path=proof_path(site, release), parity=parity)
