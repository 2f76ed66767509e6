"""Make a bundle of a graph made elsewhere, in a process of its own: what such a graph does is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ...runtime.bundle import Provenance, sha256
from ...runtime.clip import lag
from ...runtime.errors import RunnerError, SignalError
from ...runtime.progress import Progress
from ...runtime.stream import TYPES, open_session
from ..assemble import IR_VERSION, drop_notes, origin_facts, write_files
from ..errors import ForeignError, GraphError
from ..precision import numbers, precision_facts
from ..prove import verify_here
from ..values import nested
from .edges import with_edges
from .golden import check_extremes, golden_clip, run_graph
from .guesses import Tensor
from .inputs import free_states, read_inputs
from .plan import How, Plan, check_types, make_plan


def convert(path: Path, name: str, new: Path, how: How, progress: Progress) -> tuple[Plan, float, list[str]]:
    """Make the bundle in `new`, verified: how it is streamed, its greatest error, of full scale, and warnings."""
    progress(f"read {path}", 0, 4)
    model = read_graph(path)
    session = _open(path)
    outputs = {output.name: TYPES.get(output.type) for output in session.get_outputs()}
    free_states(model, list(outputs), how.states)
    inputs, given = read_inputs(model, how.dims, how.constants)
    check_types(inputs, outputs, how.states)
    progress(f"run {path}", 1, 4)
    plan = make_plan(inputs, _probe(session, inputs, given), given, how.states, how.hop)
    _check_latency(plan, how.latency)
    facts = _origin(path, name, plan.hop) | {"sample_rate": how.sample_rate, "latency": how.latency}
    golden = golden_clip(session, plan, how.sample_rate, how.latency)
    warnings = check_extremes(session, plan)
    progress(f"verify {name}", 2, 4)
    graph = with_edges(model, plan.inputs, plan.outputs, plan.states, plan.constants)
    _settle(graph)
    bundle = write_files(new, {plan.hop: graph}, golden, facts | _facts(graph, plan))
    return plan, verify_here(bundle, golden, f"the original {path.name}"), warnings


def _origin(path: Path, name: str, hop: int) -> dict[str, Any]:
    source = sha256(path)
    weights = Provenance(f"imported from {path.name}, sha256 {source[:16]}", "graph", path.name, source)
    return origin_facts(name, weights, source, [hop], ("tonearm", "onnx", "onnxruntime"))


def read_graph(path: Path) -> onnx.ModelProto:
    """The graph in a file, with its external data; `GraphError` when it is none."""
    if not path.is_file():
        raise GraphError(f"{path} is a folder, not a graph" if path.is_dir() else f"there is no file {path}")
    try:
        model = onnx.load(path, format="protobuf")
    except Exception as error:  # protobuf's, onnx's and the file system's, with no common base
        raise GraphError(f"{path} is not an ONNX graph, or not a whole one: {error}") from error
    if not model.graph.node:
        raise GraphError(f"{path} is not an ONNX graph: it has no nodes")
    return model


def _open(path: Path) -> Any:
    try:
        return open_session(path)
    except RunnerError as error:
        raise GraphError(str(error)) from error


def _probe(session: Any, inputs: list[Tensor], constants: dict[str, np.ndarray]) -> list[Tensor]:
    """What comes out, its shapes as they are and not as they are declared."""
    zeros = {one.name: np.zeros(one.shape, one.dtype) for one in inputs}
    names = [output.name for output in session.get_outputs()]
    results = run_graph(session, {**constants, **zeros})
    for name, result in zip(names, results, strict=True):
        if not isinstance(result, np.ndarray) or not result.size or result.dtype.kind not in "fiub":
            raise ForeignError(f"output {name} is not a tensor of numbers: a stream can't bring it back")
    return [Tensor(name, result.dtype.name, result.shape) for name, result in zip(names, results, strict=True)]


def _check_latency(plan: Plan, latency: int) -> None:
    for one in plan.outputs:
        try:
            lag(latency, plan.hop, one.size)
        except SignalError as error:
            raise ForeignError(f"output {one.name}: {error}") from error


def _settle(model: onnx.ModelProto) -> None:
    """Drop notes, and pin the version of the format to the lowest that the operators allow."""
    drop_notes(model)
    needed = helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.ir_version = min(max(model.ir_version, 4), max(needed, IR_VERSION))  # from 4 on, initializers are no inputs


def _facts(model: onnx.ModelProto, plan: Plan) -> dict[str, Any]:
    ends = (*plan.inputs, *plan.outputs, *plan.states)
    counts = numbers(tensor for part in nested(model.graph) for tensor in part.initializer)
    return precision_facts(counts, streams_halves=any(one.dtype == "float16" for one in ends)) | {
        "hop": plan.hop,
        "inputs": [{"name": one.name, "width": one.size, "noise": False} for one in plan.inputs],
        "outputs": [{"name": one.name, "width": one.size} for one in plan.outputs],
        "states": [{"name": one.name, "shape": list(one.shape), "dtype": one.dtype} for one in plan.states],
        "parameters": {"graph": sum(counts.values())},
        "opset": max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0),
        "ir_version": model.ir_version,
        "unsimplified": "imported as it is",
    }
