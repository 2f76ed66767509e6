"""The folder of a bundle: graphs, weights, golden vectors, manifest; it appears in its place whole or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..runtime.bundle import FORMAT, MANIFEST, Bundle, Provenance, next_name, read_bundle, sha256
from ..runtime.clip import write_arrays
from ..runtime.errors import ParityError, RunnerError
from ..runtime.parity import check_parity
from ..runtime.stream import Stream
from .errors import ExportError, VerifyError
from .weights import share_weights

IR_VERSION = 9  # with opset 18 it loads in every ONNX Runtime from 1.16 on; onnx's own default does not
VERIFY_BLOCKS = 32
WEIGHTS = "weights.bin"
GOLDEN = "golden.npz"


def check_folder(folder: Path) -> None:
    """`ExportError` when a bundle in `folder` would take the place of something else."""
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    try:
        known = {MANIFEST, *read_bundle(folder).files} if found else set()
    except RunnerError:
        known = set()
    if found - known or (folder.exists() and not folder.is_dir()):
        raise ExportError(f"{folder} exists and is not a bundle: name another folder, or move it away")


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Where to write what takes the place of `folder` when the block ends well; otherwise it stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        new = Path(temporary) / "bundle"
        yield new
        check_folder(folder)  # something may have come there meanwhile
        _replace(new, folder, Path(temporary) / "old")


def _replace(new: Path, folder: Path, old: Path) -> None:
    """`new` in the place of `folder`, or the old one back in it."""
    if not folder.exists():
        new.replace(folder)
        return
    folder.replace(old)
    try:
        new.replace(folder)
    except BaseException:
        old.replace(folder)
        raise


def origin_facts(
    name: str, weights: Provenance, source: str, blocks: Sequence[int], packages: Sequence[str]
) -> dict[str, Any]:
    """The entries of a manifest that say what the bundle is, what it was made of and with which `packages`."""
    return {
        "format": FORMAT,
        "name": name,
        "weights": weights.text,
        "provenance": {"kind": weights.kind, "source": weights.source, "digest": weights.digest},
        "source": source,
        "graphs": {str(block): f"block-{block}.onnx" for block in blocks},
        "golden": GOLDEN,
        "made_with": {package: metadata.version(package) for package in packages},
    }


def drop_notes(model: onnx.ModelProto) -> None:
    """Drop what an exporter noted of the machine it ran on (stack traces, paths)."""
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]


def write_files(
    folder: Path, graphs: Mapping[int, onnx.ModelProto], golden: dict[str, np.ndarray], facts: dict[str, Any]
) -> Bundle:
    """Write a bundle into a fresh `folder`.

    Args:
        folder: made anew.
        graphs: by block size; their weights are moved out of them, and they are stamped.
        golden: the golden vectors that travel.
        facts: the manifest without `files`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(share_weights(graphs.values(), WEIGHTS))
    for block, graph in graphs.items():
        _stamp(graph, facts, block)
        (folder / facts["graphs"][str(block)]).write_bytes(graph.SerializeToString())
    write_arrays(folder / GOLDEN, golden)
    files = {path.name: {"sha256": sha256(path), "size": path.stat().st_size} for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(facts | {"files": files}, indent=1))
    return read_bundle(folder)


def _stamp(model: onnx.ModelProto, facts: dict[str, Any], block: int) -> None:
    """Write into the graph's own metadata what a player must know, so that a bare graph still explains itself."""
    states = {state["name"]: next_name(state["name"]) for state in facts["states"]}
    stamped = {key: facts[key] for key in ("name", "sample_rate", "hop", "latency")}
    stamped |= {"block": block, "states": json.dumps(states)}
    others = [entry for entry in model.metadata_props if not entry.key.startswith("tonearm.")]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    model.producer_name = "tonearm"
    for key, value in stamped.items():
        model.metadata_props.add(key=f"tonearm.{key}", value=str(value))


def verify(
    bundle: Bundle, block: int, golden: dict[str, np.ndarray], original: str, frames: int | None = None
) -> float:
    """Stream `frames` of the golden clip (default: all) as a board does; the greatest error, of full scale.

    Raises:
        VerifyError: naming the first block and output that differ from the `original`.
        ExportError: when ONNX Runtime does not load or run the graph.
    """
    try:
        return check_parity(Stream(bundle, block), golden, frames)["error"]
    except ParityError as error:
        raise VerifyError(f"ONNX Runtime and {original} differ: {error}") from error
    except RunnerError as error:
        raise ExportError(str(error)) from error
