"""The folder of a bundle: graphs, weights, golden vectors, manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..runtime.bundle import FORMAT, MANIFEST, Bundle, Provenance, next_name, read_bundle, sha256
from ..runtime.check import check_bundle
from ..runtime.clip import write_arrays
from ..runtime.errors import BundleError
from .errors import ExportError
from .weights import share_weights

IR_VERSION = 9  # with opset 18 it loads in every ONNX Runtime from 1.16 on; onnx's own default does not
VERIFY_BLOCKS = 32
WEIGHTS = "weights.bin"
GOLDEN = "golden.npz"


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

    Raises:
        ExportError: what was written is no bundle that a board would take; the message says why.
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
    try:
        bundle = read_bundle(folder)
        check_bundle(bundle)
    except BundleError as error:  # no board would take it
        raise ExportError(f"no bundle can be made of {facts['name']}: {error}") from error
    return bundle


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
