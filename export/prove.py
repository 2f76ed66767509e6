"""Stream a bundle here as a board does, in a process of its own, and compare it with the original."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..runtime.bundle import Bundle, read_bundle
from ..runtime.errors import ParityError, RunnerError
from ..runtime.parity import check_parity
from ..runtime.progress import Progress, unwatched
from ..runtime.stream import Stream
from .apart import DEADLINE_SECONDS, ApartError, run_apart
from .errors import ExportError, VerifyError


def verify(
    bundle: Bundle,
    golden: dict[str, np.ndarray],
    original: str,
    frames: Mapping[int, int | None],
    *,
    deadline: float = DEADLINE_SECONDS,
    progress: Progress = unwatched,
) -> float:
    """Stream the golden clip through graphs as a board does; the greatest error, of full scale.

    Args:
        bundle: whole, in its folder.
        golden: what the original takes and gives.
        original: what it is called.
        frames: by the block of each graph, how many are streamed; None: all.
        deadline: seconds for all graphs.
        progress: called with the block, and how many of how many are done.

    Raises:
        VerifyError: naming the first block and output that differ from the `original`.
        ExportError: ONNX Runtime does not load or run a graph, does not end before the deadline, or crashes.
    """
    try:
        with _as_export(original):
            return max(run_apart(_errors, bundle.folder, golden, dict(frames), deadline=deadline, progress=progress))
    except ApartError as error:
        raise ExportError(f"ONNX Runtime {error}, streaming {bundle.name}: such a graph can't be streamed") from error


def verify_here(bundle: Bundle, golden: dict[str, np.ndarray], original: str) -> float:
    """As `verify`, in this process and with all of the clip."""
    with _as_export(original):
        return max(_errors(bundle.folder, golden, dict.fromkeys(bundle.graphs), unwatched))


@contextlib.contextmanager
def _as_export(original: str) -> Iterator[None]:
    """The runtime's errors as those of an export."""
    try:
        yield
    except ParityError as error:
        raise VerifyError(f"ONNX Runtime and {original} differ: {error}") from error
    except RunnerError as error:
        raise ExportError(str(error)) from error


def _errors(
    folder: Path, golden: dict[str, np.ndarray], frames: dict[int, int | None], progress: Progress
) -> list[float]:
    bundle, found = read_bundle(folder), []
    for index, (block, count) in enumerate(frames.items()):
        progress(str(block), index, len(frames))
        found.append(check_parity(Stream(bundle, block), golden, count)["error"])
    return found
