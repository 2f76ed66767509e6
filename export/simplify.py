"""Simplify graphs in a process of their own: a simplifier may fail, crash or hang without taking us along."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx

DEADLINE_SECONDS = 1200
# Not multiprocessing: its new process runs the caller's script once more, up to where it is called from.
PROGRAM = """
import pathlib, pickle, sys
folder = pathlib.Path(sys.argv[1])
with open(folder / "job", "rb") as job:
    sys.path[:] = pickle.load(job)
    try:
        simplifier = pickle.load(job)
        for graph in folder.glob("*.onnx"):
            graph.write_bytes(simplifier(graph.read_bytes()))
    except Exception as error:
        (folder / "problem").write_text(f"the simplifier failed: {error}")
"""

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
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _apart(Path(folder), graphs, simplifier, deadline)
    except subprocess.TimeoutExpired:
        return graphs, f"the simplifier did not end within {deadline} s"
    except Exception as error:  # whatever it gave, the unsimplified graphs are good
        return graphs, f"the simplifier failed: {error}"


def _apart(
    folder: Path, graphs: dict[int, onnx.ModelProto], simplifier: Simplifier, deadline: float
) -> tuple[dict[int, onnx.ModelProto], str]:
    """`simplify` in a process of its own, by way of files in `folder`; what it prints is dropped."""
    files = {block: folder / f"{block}.onnx" for block in graphs}
    for block, file in files.items():
        file.write_bytes(graphs[block].SerializeToString())
    (folder / "job").write_bytes(pickle.dumps(sys.path) + pickle.dumps(simplifier))
    command, none = [sys.executable, "-P", "-c", PROGRAM, str(folder)], subprocess.DEVNULL
    ended = subprocess.run(command, stdin=none, stdout=none, stderr=none, timeout=deadline, check=False)
    if ended.returncode:
        return graphs, "the simplifier crashed"
    problem = folder / "problem"
    if problem.exists():
        return graphs, problem.read_text()
    return {block: onnx.load_from_string(file.read_bytes()) for block, file in files.items()}, ""
