"""Stream a clip on a board and bring the sound back."""

from __future__ import annotations

import io

import numpy as np

from ..device.boards import board
from ..device.session import session
from ..device.ssh.connection import Upload
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from ..runtime.clip import UNREADABLE, read_arrays, write_arrays
from ..runtime.progress import Progress
from .errors import BenchError

SPARE_BYTES = 1 << 20  # for an archive's own, and the end of a clip that a block is filled up with


def render_on(
    name: str, bundle: Bundle, signals: dict[str, np.ndarray], progress: Progress, block: int | None = None
) -> dict[str, np.ndarray]:
    """The clip as streamed on the board, the latency taken off: `(samples,)` per output.

    Args:
        name: the board's.
        bundle: pushed when it is not there; `current` is left alone.
        signals: `(1, frames, width)` each, as from `controls.read_controls`.
        progress: called with what is being done and how far it is.
        block: samples per call; default: the largest of the bundle, the result is the same.
    """
    archive = io.BytesIO()
    write_arrays(archive, signals)
    uploads = [Upload("inputs.npz", archive.getvalue())]
    block = max(bundle.graphs) if block is None else block
    bundle.graph(block)
    check_bundle(bundle)
    request = {"task": "render", "block": block, "threads": 1, "inputs": "inputs.npz", "outputs": "outputs.npz"}
    with board(name, progress) as connection, session(connection, f"play {bundle.name}", progress) as there:
        there.install([bundle], progress)
        _, files = there.run(
            bundle,
            request,
            {"outputs.npz": _most(bundle, signals)},
            uploads,
            on_progress=lambda done, total: progress(f"play on {name}", done, total),
        )
    try:
        return read_arrays(io.BytesIO(files["outputs.npz"]))
    except UNREADABLE as error:
        raise BenchError(f"{name} sent invalid sound: {error!r}") from error


def _most(bundle: Bundle, signals: dict[str, np.ndarray]) -> int:
    """The bytes that the sound of a clip can have, as an archive of doubles."""
    frames = max(signal.shape[1] for signal in signals.values())
    return SPARE_BYTES + 8 * frames * sum(output.width for output in bundle.outputs)
