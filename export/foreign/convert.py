"""Make a bundle of an ONNX graph made elsewhere; its golden vectors are what the original file computes here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...runtime.bundle import PLAIN, Bundle, is_plain, read_bundle
from ...runtime.progress import Progress, unwatched
from ..apart import DEADLINE_SECONDS, ApartError, run_apart
from ..errors import ForeignError, GraphError
from ..folder import check_folder, replacing
from .plan import How, Plan


@dataclass(frozen=True)
class Import:
    """A bundle, how its graph is streamed, its greatest error against the original file, and what it can't play."""

    bundle: Bundle
    plan: Plan
    error: float
    warnings: list[str]


def import_graph(
    path: Path,
    name: str,
    folder: Path,
    *,
    sample_rate: int,
    states: Mapping[str, str] | None = None,
    hop: int | None = None,
    latency: int = 0,
    constants: Mapping[str, str] | None = None,
    dims: Mapping[str, int] | None = None,
    progress: Progress = unwatched,
    deadline: float = DEADLINE_SECONDS,
) -> Import:
    """Make a bundle of any graph that takes blocks of float signals and gives its states back at every call.

    Args:
        path: the .onnx file; external data is read from beside it only.
        name: the bundle's name, plain.
        folder: where the bundle goes; what is there is replaced only once the new one is verified.
        sample_rate: in Hz.
        states: the output that each state comes out as, all of them; default: guessed. They start at zero.
        hop: samples a call takes; default: guessed.
        latency: samples by which the output lags the input, apart from the block itself.
        constants: values of inputs that never change, as text: a number, or numbers with commas between.
        dims: sizes by the name of a dimension, or by `INPUT:AXIS` where it has none.
        progress: called with what is being done, and how much of how much is done.
        deadline: seconds for all of it.

    Raises:
        ForeignError: what is given and what can be guessed do not tell how to stream the graph; or an output is not a
            finite number where the input is within full scale.
        GraphError: the file is no graph, or none that ONNX Runtime loads and runs, or it does not end in time.
        VerifyError: the bundle's graph computes something else than the original file.
        ExportError: `folder` is there and is no bundle.
    """
    if not is_plain(name):
        raise ForeignError(f"{name[:60]!r} can't be a bundle's name: {PLAIN}")
    check_folder(folder)
    how = How(sample_rate, states, hop, latency, constants or {}, dims or {})
    try:
        with replacing(folder) as new:
            plan, error, warnings = run_apart(_convert, path, name, new, how, deadline=deadline, progress=progress)
    except ApartError as problem:
        raise GraphError(f"{path} can't be streamed: ONNX Runtime {problem} while it was read and called") from problem
    progress(f"imported {name}", 4, 4)
    return Import(read_bundle(folder), plan, error, warnings)


def _convert(path: Path, name: str, new: Path, how: How, progress: Progress) -> tuple[Plan, float, list[str]]:
    """`inside.convert`, in a process of its own; this one need not import what that needs."""
    from .inside import convert

    return convert(path, name, new, how, progress)
