"""Weights stored once for the graphs of all block sizes.

Each tensor lies page-aligned in one file under its hash, so that ONNX Runtime maps it instead of copying it,
and graphs that hold the same tensor point to the same place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import onnx
from onnx import numpy_helper

PAGE = 4096
INLINE_BYTES = 1024  # smaller tensors stay in the graph: shape constants must, for shape inference
_PACKED = ("INT4", "INT2", "FLOAT4")  # as numpy arrays they take more bytes than in a file


def share_weights(graphs: Iterable[onnx.ModelProto], location: str) -> bytes:
    """Move the large tensors of all `graphs` into one file's content, which is returned; `location` is its name."""
    content = bytearray()
    offsets: dict[str, int] = {}
    for graph in graphs:
        for tensor in graph.graph.initializer:
            data = _stored(tensor)
            if len(data) < INLINE_BYTES:
                continue
            digest = hashlib.sha256(data).hexdigest()
            if digest not in offsets:
                content.extend(bytes(-len(content) % PAGE))
                offsets[digest] = len(content)
                content.extend(data)
            _point(tensor, location, offsets[digest], len(data))
    return bytes(content)


def _stored(tensor: onnx.TensorProto) -> bytes:
    """A tensor as a file holds it; nothing for those that no file can hold as numpy does, they stay in the graph."""
    if tensor.HasField("raw_data"):
        return tensor.raw_data
    kind = onnx.TensorProto.DataType.Name(tensor.data_type)
    apart = kind == "STRING" or any(name in kind for name in _PACKED)
    return b"" if apart else numpy_helper.to_array(tensor).tobytes()


def _point(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    shape, kind, name = list(tensor.dims), tensor.data_type, tensor.name
    tensor.Clear()
    tensor.dims.extend(shape)
    tensor.data_type, tensor.name = kind, name
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
