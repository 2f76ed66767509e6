"""Give a graph made elsewhere the edges that a stream expects: one frame of float32 in and out, named states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.bundle import next_name
from ...runtime.names import shown, wrong_names
from ..errors import ForeignError
from ..values import free
from .guesses import Tensor


def with_edges(
    model: onnx.ModelProto,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    states: Mapping[Tensor, str],
    constants: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
    """A copy of the graph that a `Stream` can play.

    ```
    name (1, 1, width) float32 -> Reshape [-> Cast] -> the graph [-> Cast] -> Reshape -> name (1, 1, width) float32
    state                                           -> the graph -> Identity          -> state_next
    ```

    Args:
        model: shapes may be symbolic; it stays as it is.
        inputs: the signals that go in.
        outputs: the signals that come out.
        states: the output that each state comes out as.
        constants: the inputs that have one value for good.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    nexts = {next_name(state.name): output for state, output in states.items()}
    public = [*(signal.name for signal in (*inputs, *outputs)), *(state.name for state in states), *nexts]
    for name, reason in wrong_names(public):
        raise ForeignError(f"no tensor can be called {shown(name)}, which {reason}: rename it in the graph")
    _set_constants(graph, constants)
    inner = free(graph, set(public) - {state.name for state in states})
    before = [node for signal in inputs for node in _enter(graph, signal, inner[signal.name])]
    after = [node for signal in outputs for node in _leave(graph, signal, inner[signal.name])]
    after += [helper.make_node("Identity", [inner.get(output, output)], [name]) for name, output in nexts.items()]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    _declare(graph, inputs, outputs, states)
    return copy


def _set_constants(graph: onnx.GraphProto, constants: Mapping[str, np.ndarray]) -> None:
    others = [tensor for tensor in graph.initializer if tensor.name not in constants]
    del graph.initializer[:]
    graph.initializer.extend([*others, *(numpy_helper.from_array(value, name) for name, value in constants.items())])


def _enter(graph: onnx.GraphProto, signal: Tensor, inner: str) -> list[onnx.NodeProto]:
    """From a frame to what the graph takes."""
    shape = _shape(graph, inner, signal.shape)
    if signal.dtype == "float32":
        return [helper.make_node("Reshape", [signal.name, shape], [inner])]
    reshaped = helper.make_node("Reshape", [signal.name, shape], [f"{inner}_float32"])
    return [reshaped, helper.make_node("Cast", [f"{inner}_float32"], [inner], to=_onnx_type(signal.dtype))]


def _leave(graph: onnx.GraphProto, signal: Tensor, inner: str) -> list[onnx.NodeProto]:
    """From what the graph gives to a frame."""
    shape = _shape(graph, inner, (1, 1, signal.size))
    if signal.dtype == "float32":
        return [helper.make_node("Reshape", [inner, shape], [signal.name])]
    cast = helper.make_node("Cast", [inner], [f"{inner}_float32"], to=TensorProto.FLOAT)
    return [cast, helper.make_node("Reshape", [f"{inner}_float32", shape], [signal.name])]


def _shape(graph: onnx.GraphProto, inner: str, shape: Sequence[int]) -> str:
    """The name of a new constant that holds `shape`."""
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{inner}_shape"))
    return f"{inner}_shape"


def _onnx_type(dtype: str) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _declare(
    graph: onnx.GraphProto, inputs: Sequence[Tensor], outputs: Sequence[Tensor], states: Mapping[Tensor, str]
) -> None:
    """The graph's inputs and outputs, all shapes fixed; an initializer that is among the inputs becomes constant."""

    def frame(signal: Tensor) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(signal.name, TensorProto.FLOAT, [1, 1, signal.size])

    def state(tensor: Tensor, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, _onnx_type(tensor.dtype), tensor.shape)

    before = [*map(frame, inputs), *(state(tensor, tensor.name) for tensor in states)]
    after = [*map(frame, outputs), *(state(tensor, next_name(tensor.name)) for tensor in states)]
    del graph.input[:], graph.output[:]
    graph.input.extend(before)
    graph.output.extend(after)
