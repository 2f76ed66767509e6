"""The inputs of a graph made elsewhere: sizes, values of those that never change, and states that have a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import ForeignError
from .guesses import Tensor, correspond
from .plan import FLOATS, check_names


def free_states(model: onnx.ModelProto, outputs: Sequence[str], states: Mapping[str, str] | None) -> None:
    """Make states of `model` that have a value of their own, to begin with, inputs like all others.

    `ForeignError` for one that does not begin as zeros: a stream does.
    """
    inputs = {value.name for value in model.graph.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name in inputs]:
        guessed = states is None and any(correspond(tensor.name, output) for output in outputs)
        if guessed or tensor.name in (states or ()):
            if np.any(numpy_helper.to_array(tensor)):
                raise ForeignError(f"state {tensor.name} begins with other values than zeros, a stream with zeros")
            model.graph.initializer.remove(tensor)


def read_inputs(
    model: onnx.ModelProto, dims: Mapping[str, int], constants: Mapping[str, str]
) -> tuple[list[Tensor], dict[str, np.ndarray]]:
    """The inputs that change from call to call, and the values of those that don't."""
    held = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in held or value.name in constants]
    check_names("--set", constants, [value.name for value in values])
    tensors = [_tensor(value) for value in values]
    names = {dim for value in values for dim in _dims(value)}
    check_names("--dim", dims, sorted(name for name in names if isinstance(name, str)))
    open_dims = sorted({dim for value in values for dim in _dims(value) if isinstance(dim, str)} - set(dims))
    if open_dims:
        raise ForeignError(
            f"shapes must be fixed, and {', '.join(open_dims)} is not: give the sizes, "
            f"--dim {' '.join(f'{dim}=1' for dim in open_dims)} (1 or whatever a call takes)"
        )
    fixed = [_fixed(one, value, dims) for one, value in zip(tensors, values, strict=True)]
    given = {one.name: _value(one, constants[one.name]) for one in fixed if one.name in constants}
    return [one for one in fixed if one.name not in given], given


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    """Name and type; the shape is not known yet."""
    kind = value.type.tensor_type.elem_type
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise ForeignError(f"input {value.name} is not a tensor with a shape: a stream can't feed it")
    try:
        dtype = helper.tensor_dtype_to_np_dtype(kind).name
    except KeyError:
        dtype = "undefined"
    return Tensor(value.name, "str" if kind == TensorProto.STRING else dtype, ())


def _dims(value: onnx.ValueInfoProto) -> list[int | str]:
    """The sizes of an input; the name of a dimension where its size is not fixed."""
    shape = value.type.tensor_type.shape.dim
    names = [dim.dim_param or f"{value.name}:{axis}" for axis, dim in enumerate(shape)]
    fixed = [dim.HasField("dim_value") and dim.dim_value >= 0 for dim in shape]
    return [dim.dim_value if known else name for dim, known, name in zip(shape, fixed, names, strict=True)]


def _fixed(one: Tensor, value: onnx.ValueInfoProto, dims: Mapping[str, int]) -> Tensor:
    sizes = tuple(dims[dim] if isinstance(dim, str) else dim for dim in _dims(value))
    return Tensor(one.name, one.dtype, sizes)


def _value(one: Tensor, text: str) -> np.ndarray:
    """What `--set` gives an input: one number for all elements, or each."""
    words = {"true": 1, "false": 0}
    try:
        numbers = [words.get(part) if part in words else float(part) for part in text.lower().split(",")]
        array = np.array(numbers, np.float64)
        exact = array.astype(one.dtype)
        if one.dtype not in FLOATS and not np.array_equal(exact, array):
            raise ValueError
        return np.broadcast_to(exact.reshape(one.shape if array.size > 1 else ()), one.shape).copy()
    except (ValueError, TypeError) as error:
        raise ForeignError(
            f"--set {one.name}={text}: the graph takes {one.dtype} of shape {one.shape} there"
        ) from error
