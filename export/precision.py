"""Precisions: how a graph's weights are kept, and by how much a stream of such a graph may be off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from ..runtime.bundle import FP32
from ..runtime.parity import TOLERANCE

PRECISIONS: dict[int, str] = {
    TensorProto.FLOAT: FP32,
    TensorProto.DOUBLE: "fp64",
    TensorProto.FLOAT16: "fp16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
}
HALF_TOLERANCE = 1e-2  # of full scale: where float16 is rounded is each machine's own


def numbers(tensors: Iterable[TensorProto]) -> Counter[str]:
    """How many numbers of each precision are kept in the tensors; others, such as shapes, do not count."""
    counts: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.data_type in PRECISIONS:
            counts[PRECISIONS[tensor.data_type]] += int(np.prod(tensor.dims, dtype=np.int64))
    return counts


def precision_facts(counts: Mapping[str, int] = {}, *, streams_halves: bool = False) -> dict[str, Any]:
    """A manifest's `precision` and `tolerance`, a part of full scale; by default those of what PyTorch has traced.

    The precision is that of most of the weights, where there is none the first of `PRECISIONS`. With `streams_halves`,
    signals or states are float16.
    """
    half = counts.get("fp16", 0) > 0 or streams_halves
    return {
        "precision": max(PRECISIONS.values(), key=lambda name: counts.get(name, 0)),
        "tolerance": HALF_TOLERANCE if half else TOLERANCE,
    }
