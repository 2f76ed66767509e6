"""Stream a clip on a board and bring the sound back."""

from __future__ import annotations

import io

import numpy as np

from ..device.boards import board
from ..device.session import session
from ..device.ssh.connection import Upload
from ..device.text import printable
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from ..runtime.clip import UNREADABLE, read_arrays, write_arrays
from ..runtime.errors import SoundError
from ..runtime.progress import Progress
from ..runtime.sound import check_outputs
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

    Raises:
        AgentError: the model can't play these inputs on the board, or gives no finite numbers.
        BenchError: what the board sent is not the sound that was asked for; the message says in what.
    """
    archive = io.BytesIO()
    write_arrays(archive, signals)
    uploads = [Upload("inputs.npz", archive.getvalue())]
    block = max(bundle.graphs) if block is None else block
    bundle.graph(block)
    check_bundle(bundle)
    request = {"task": "render", "block": block, "threads": 1, "inputs": "inputs.npz", "outputs": "outputs.npz"}
    with (
        board(name, progress) as connection,
        session(connection, f"play {bundle.name}", progress, bundles=[bundle]) as there,
    ):
        there.install([bundle], progress)
        _, files = there.run(
            bundle,
            request,
            {"outputs.npz": _most(bundle, signals)},
            uploads,
            on_progress=lambda done, total: progress(f"play on {name}", done, total),
        )
    return _sound(name, bundle, files["outputs.npz"], next(iter(signals.values())).shape[1])


def _sound(name: str, bundle: Bundle, content: bytes, frames: int) -> dict[str, np.ndarray]:
    """The sound that the board `name` sent for a clip of `frames`, if it is what was asked for."""
    try:
        outputs = read_arrays(io.BytesIO(content))
        check_outputs(bundle, outputs, frames)
    except (*UNREADABLE, SoundError) as error:
        text = str(error) if isinstance(error, SoundError) else repr(error)
        raise BenchError(f"{name} sent invalid sound: {printable(text)}; nothing was written") from error
    return outputs


def _most(bundle: Bundle, signals: dict[str, np.ndarray]) -> int:
    """The bytes that the sound of a clip can have, as an archive of doubles."""
    frames = max(signal.shape[1] for signal in signals.values())
    return SPARE_BYTES + 8 * frames * sum(output.width for output in bundle.outputs)
