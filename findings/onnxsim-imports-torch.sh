#!/usr/bin/env bash
# onnxsim 0.8.1: to import it imports torch as well, wherever torch is installed.
#
# Simplifying a graph needs no torch; a module about quantization, which the package always imports, tries to. With the
# real torch 2.13 that is most of the 2.2 s of processor time that a process takes to import onnxsim (0.7 s without), and a
# tool that simplifies each graph in a process of its own pays it each time. Here torch is not installed: what asks for it
# is noted.
#
# Output seen:
#   onnxsim 0.8.1
#   torch was asked for by onnxsim.ppq_integration
#   a graph is simplified all the same: 1 node of 2 is left
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxsim==0.8.1 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
cat > find.py <<'PYTHON'
import importlib.abc
import sys
from importlib import metadata


class Torch(importlib.abc.MetaPathFinder):
    """Notes which module asks for torch, and has none."""

    asked = []

    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            frame = sys._getframe()
            while "importlib" in frame.f_globals["__name__"] or frame.f_globals["__name__"] == __name__:
                frame = frame.f_back
            self.asked.append(frame.f_globals["__name__"])


sys.meta_path.insert(0, Torch())
import onnx  # noqa: E402
import onnxsim  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

print("onnxsim", metadata.version("onnxsim"))
for module in dict.fromkeys(Torch.asked):
    print("torch was asked for by", module)
nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xz"]
graph = helper.make_graph(nodes, "gain", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
simplified, good = onnxsim.simplify(model)
print(f"a graph is simplified all the same: {len(simplified.graph.node)} node of {len(nodes)} is left")
if not Torch.asked or not good:
    sys.exit("changed: onnxsim does not ask for torch any more, or simplifies nothing without it")
PYTHON
venv/bin/python find.py
