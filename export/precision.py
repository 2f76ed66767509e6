"""Precisions: how a graph's weights are kept, and by how much a stream of such a graph may be off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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


def precision_facts(counts: Counter[str], streams_halves: bool = False) -> dict[str, Any]:
    """A manifest's `precision`, that of most of the weights, and its `tolerance`, a part of full scale.

    With `streams_halves`, signals or states are float16.
    """
    half = counts["fp16"] > 0 or streams_halves
    return {
        "precision": max(counts, key=counts.__getitem__, default=FP32),
        "tolerance": HALF_TOLERANCE if half else TOLERANCE,
    }
