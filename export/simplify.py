"""Simplify graphs in a process of their own: a simplifier may fail, crash or hang without taking us along."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import onnx

from ..runtime.progress import Progress
from .apart import ApartError, run_apart

DEADLINE_SECONDS = 1200

Simplifier = Callable[[bytes], bytes]


def onnxsim_simplify(graph: bytes) -> bytes:
    """A serialized graph through onnxsim. Whether it computes the same is seen when the bundle is verified."""
    # onnxsim imports torch where it finds it, for quantization alone: that is most of what this process would take.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    import onnxsim

    simplified, _ = onnxsim.simplify(onnx.load_from_string(graph))
    simplified.ir_version = onnx.load_from_string(graph).ir_version
    return simplified.SerializeToString()


def simplify(
    graphs: dict[int, onnx.ModelProto],
    simplifier: Simplifier = onnxsim_simplify,
    deadline: float = DEADLINE_SECONDS,
) -> tuple[dict[int, onnx.ModelProto], str]:
    """All graphs simplified, or none of them (else their weights differ and nothing can be shared).

    Args:
        graphs: by block size.
        simplifier: a function of a module that can be imported, not of a script.
        deadline: seconds for all of them.

    Returns:
        The graphs to go on with, and an empty text or what kept them from being simplified.
    """
    contents = {block: graph.SerializeToString() for block, graph in graphs.items()}
    try:
        done = run_apart(_simplified, simplifier, contents, deadline=deadline)
        return {block: onnx.load_from_string(content) for block, content in done.items()}, ""
    except ApartError as error:
        return graphs, f"the simplifier {error}"
    except Exception as error:  # whatever it gave, the unsimplified graphs are good
        return graphs, f"the simplifier failed: {error}"


def _simplified(simplifier: Simplifier, graphs: dict[int, bytes], progress: Progress) -> dict[int, bytes]:
    """In a process of its own; what the simplifier prints is dropped."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    return {block: simplifier(content) for block, content in graphs.items()}
