#!/usr/bin/env bash
# ONNX Runtime 1.32.0: a fused node is named after one of the nodes that it was made of, the others are lost.
#
# Seen: MatMul "decoder.layer/matmul" and Add "decoder.layer/add" become one Gemm that is named
# after the MatMul only. That the Add is in it can't be read from the optimised graph.
#
# Output seen:
#   ONNX Runtime 1.32.0 [('Gemm', 'decoder.layer/matmul/MatMulAddFusion')]
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

shapes = {"w": (8, 8), "b": (8,)}
weights = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
nodes = [
    helper.make_node("MatMul", ["x", "w"], ["y"], name="decoder.layer/matmul"),
    helper.make_node("Add", ["y", "b"], ["z"], name="decoder.layer/add"),
]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8]) for name in "xz"]
graph = helper.make_graph(nodes, "layer", ends[:1], ends[1:], weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), "model.onnx")
options = onnxruntime.SessionOptions()
options.optimized_model_filepath = "fused.onnx"
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
found = [(node.op_type, node.name) for node in onnx.load("fused.onnx").graph.node]
print("ONNX Runtime", onnxruntime.__version__, found)
names = " ".join(name for _, name in found)
if len(found) != 1 or ("matmul" in names and "layer/add" in names):
    sys.exit("changed: nothing is fused, or the fused node bears both names")
PYTHON
