"""Make a bundle of an ONNX graph made elsewhere; its golden vectors are what the original file computes here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ...runtime.bundle import PLAIN_NAME, Bundle, Provenance, read_bundle, sha256
from ...runtime.clip import align, hold_last, lag, padded_frames
from ...runtime.errors import RunnerError, SignalError
from ...runtime.progress import Progress, unwatched
from ...runtime.stream import TYPES, open_session
from ..assemble import (
    IR_VERSION,
    VERIFY_BLOCKS,
    check_folder,
    drop_notes,
    origin_facts,
    replacing,
    verify,
    write_files,
)
from ..errors import ForeignError, GraphError
from ..precision import numbers, precision_facts
from .edges import nested, with_edges
from .guesses import Tensor
from .plan import Plan, check_types, free_states, make_plan, read_inputs

GOLDEN_SECONDS, GOLDEN_CALLS = 3, 4096  # at most


@dataclass(frozen=True)
class Import:
    """A bundle, how its graph is streamed, and its greatest error against the original file."""

    bundle: Bundle
    plan: Plan
    error: float


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

    Raises:
        ForeignError: what is given and what can be guessed do not tell how to stream the graph.
        GraphError: the file is no graph, or none that ONNX Runtime loads and runs.
        VerifyError: the bundle's graph computes something else than the original file.
        ExportError: `folder` is there and is no bundle.
    """
    if not PLAIN_NAME.fullmatch(name):
        raise ForeignError(f"{name!r} can't be a bundle's name: letters, digits and . _ + - only")
    check_folder(folder)
    progress(f"read {path}", 0, 4)
    model = read_graph(path)
    session = _open(path)
    outputs = {output.name: TYPES.get(output.type) for output in session.get_outputs()}
    free_states(model, list(outputs), states)
    inputs, given = read_inputs(model, dims or {}, constants or {})
    check_types(inputs, outputs, states)
    progress(f"run {path}", 1, 4)
    plan = make_plan(inputs, _probe(session, inputs, given), given, states, hop)
    _check_latency(plan, latency)
    facts = _origin(path, name, plan.hop) | {"sample_rate": sample_rate, "latency": latency}
    golden = _golden(session, plan, sample_rate, latency)
    progress(f"verify {name}", 2, 4)
    error = _write(model, plan, golden, facts, folder, f"the original {path.name}")
    progress(f"imported {name}", 4, 4)
    return Import(read_bundle(folder), plan, error)


def _origin(path: Path, name: str, hop: int) -> dict[str, Any]:
    source = sha256(path)
    weights = Provenance(f"imported from {path.name}, sha256 {source[:16]}", "graph", path.name, source)
    return origin_facts(name, weights, source, [hop], ("tonearm", "onnx", "onnxruntime"))


def _write(
    model: onnx.ModelProto,
    plan: Plan,
    golden: dict[str, np.ndarray],
    facts: dict[str, Any],
    folder: Path,
    original: str,
) -> float:
    """The bundle in its place, verified before; its greatest error, of full scale."""
    graph = with_edges(model, plan.inputs, plan.outputs, plan.states, plan.constants)
    _settle(graph)
    facts |= _facts(graph, plan)
    with replacing(folder) as new:
        return verify(write_files(new, {plan.hop: graph}, golden, facts), plan.hop, golden, original)


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
    results = _run(session, {**constants, **zeros})
    for name, result in zip(names, results, strict=True):
        if not isinstance(result, np.ndarray) or not result.size or result.dtype.kind not in "fiub":
            raise ForeignError(f"output {name} is not a tensor of numbers: a stream can't bring it back")
    return [Tensor(name, result.dtype.name, result.shape) for name, result in zip(names, results, strict=True)]


def _run(session: Any, feeds: dict[str, np.ndarray]) -> list[Any]:
    try:
        return session.run(None, feeds)
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise GraphError(f"the graph does not run with inputs of these sizes: {error}") from error


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


def _golden(session: Any, plan: Plan, sample_rate: int, latency: int) -> dict[str, np.ndarray]:
    """An example clip and what the original file makes of it, call by call, the latency taken off."""
    frames = min(max(VERIFY_BLOCKS, -(-GOLDEN_SECONDS * sample_rate // plan.hop)), GOLDEN_CALLS)
    clip = {one.name: example_clip(frames, one.size, seed) for seed, one in enumerate(plan.inputs)}
    total = padded_frames(frames, plan.hop, latency)
    heard = list(stream_original(session, plan, {name: hold_last(value, total) for name, value in clip.items()}))
    golden = dict(clip)
    for one in plan.outputs:
        signal = np.stack([outputs[one.name] for outputs in heard])[None]
        if not np.isfinite(signal).all():
            raise ForeignError(f"output {one.name} of the original graph is not always a finite number")
        golden[one.name] = align(signal, lag(latency, plan.hop, one.size), frames)[0]
        if np.ptp(golden[one.name]) == 0:
            raise ForeignError(
                f"output {one.name} of the original graph stays {golden[one.name][0]:.6g} for an example clip of "
                "bursts, so nothing can be verified with it: check the constants, or drop that output from the graph"
            )
    return golden


def stream_original(session: Any, plan: Plan, clip: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Call a graph as it is, frame by frame, its states fed back: `(width,)` float32 for each output."""
    names = [output.name for output in session.get_outputs()]
    states = {one: np.zeros(one.shape, one.dtype) for one in plan.states}
    for frame in range(next(iter(clip.values())).shape[1]):
        signals = {one.name: clip[one.name][0, frame].astype(one.dtype).reshape(one.shape) for one in plan.inputs}
        fed = {one.name: value for one, value in states.items()}
        results = dict(zip(names, _run(session, {**plan.constants, **signals, **fed}), strict=True))
        states = {one: results[output] for one, output in plan.states.items()}
        for one in plan.outputs:
            if results[one.name].shape != one.shape:
                raise ForeignError(f"output {one.name} has another shape at call {frame}: a stream needs a fixed one")
        yield {one.name: results[one.name].astype(np.float32).reshape(-1) for one in plan.outputs}


def example_clip(frames: int, width: int, seed: int = 0) -> np.ndarray:
    """Bursts of a glide, some noise and silence in [-1, 1], `(1, frames, width)` float32, the same at every call."""
    count = frames * width
    place = np.arange(count) / count
    glide = np.sin(2 * np.pi * np.cumsum(0.002 * 100**place))  # from 1/500 to 1/5 of the sample rate
    noise = np.random.default_rng(seed).uniform(-1, 1, count)
    part, within = np.divmod(12 * place, 1)  # of every three parts: glide, glide with noise, silence
    loudness = np.where(part % 3 < 2, 0.7 * np.exp(-3 * within), 0)
    signal = loudness * (glide + np.where(part % 3 == 1, 0.4 * noise, 0))
    return signal.astype(np.float32).reshape(1, frames, width)
