"""Stream a clip on a board and bring the sound back."""

from __future__ import annotations

import io

import numpy as np

from ..device.boards import board
from ..device.releases import install, run_task
from ..device.runtimes.provision import prepare
from ..device.ssh.connection import Upload
from ..device.turn import turn
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from ..runtime.clip import UNREADABLE, read_arrays, write_arrays
from .errors import BenchError
from .output.console import Report


def render_on(
    name: str, bundle: Bundle, signals: dict[str, np.ndarray], report: Report, block: int | None = None
) -> dict[str, np.ndarray]:
    """The clip as streamed on the board, the latency taken off: `(samples,)` per output.

    Args:
        name: the board's.
        bundle: pushed when it is not there; `current` is left alone.
        signals: `(1, frames, width)` each, as from `controls.read_controls`.
        report: progress.
        block: samples per call; default: the largest of the bundle, the result is the same.
    """
    archive = io.BytesIO()
    write_arrays(archive, signals)
    uploads = [Upload("inputs.npz", archive.getvalue())]
    block = max(bundle.graphs) if block is None else block
    bundle.graph(block)
    check_bundle(bundle)
    with board(name, report) as connection, turn(connection, f"play {bundle.name}", report):
        site = prepare(connection, report)
        release = install(connection, bundle, report, (site.runtime, site.runner))
        request = {
            "task": "render",
            "block": block,
            "threads": 1,
            "inputs": "inputs.npz",
            "outputs": "outputs.npz",
        }
        _, files = run_task(
            connection,
            site,
            release,
            request,
            uploads,
            ["outputs.npz"],
            on_progress=lambda done, total: report(f"play on {name}", done, total),
        )
    try:
        return read_arrays(io.BytesIO(files["outputs.npz"]))
    except UNREADABLE as error:
        raise BenchError(f"{name} sent back no sound: {error!r}") from error
