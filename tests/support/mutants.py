"""What the fuzzing of bundles mutates: a small bundle with all that one can hold, and its mutants, made by seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
from onnx import TensorProto
from tonearm.export.foreign.convert import import_graph
from tonearm.runtime.bundle import MANIFEST, Bundle, sha256

MODEL = """
<ir_version: 9, opset_import: ["": 17, "own": 1]>
amp (float[1, 64] audio_in, float[1, 1, 16] h_in) => (float[1, 64] audio_out, float[1, 1, 16] h_out) {
    steps = Reshape(audio_in, steps_shape)
    y, h_out = GRU <hidden_size = 16> (steps, w, r, b, , h_in)
    mixed = MatMul(y, v)
    bent = own.bend(mixed)
    sum = ReduceSum <keepdims = 0> (bent)
    loud = Greater(sum, limit)
    kept = If (loud) <
        then_branch = a () => (float[64, 1, 1, 1] soft) { soft = Mul(bent, half) },
        else_branch = b () => (float[64, 1, 1, 1] same) { same = Identity(bent) }
    >
    audio_out = Reshape(kept, out_shape)
}
<domain: "own", opset_import: ["": 17]>
bend (x) => (z) { z = Tanh(x) }
"""
ODD_NUMBERS = (-1, 0, 1, 63, 10**6, 10**12, 10**15, 2**31, 2**63 - 1, -(2**63), 10**400)
ODD_TEXTS = (
    "",
    "..",
    "../weights.bin",
    "/etc/passwd",
    "a/b",
    "a\0b",
    "x\n",
    "é" * 9,
    "n" * 5000,
    "\ud800",
    "*/_ORT_MEM_ADDR_/*",
)
ODD = (*ODD_NUMBERS, *ODD_TEXTS, 1.5, 1e400, float("nan"), True, None, [], {}, [[[]]] * 3, {"name": {"name": []}})
OPERATORS = ("Tanh", "Sigmoid", "Loop", "NoSuchThing", "", "ConstantOfShape", "Upsample", "EPContext", "bend")

Json = Any
Rng = random.Random


def make_base(folder: Path) -> Bundle:
    """A small bundle with all that a graph can hold: weights outside, a function, graphs in a graph."""
    model = onnx.parser.parse_model(MODEL)
    rng = np.random.default_rng(0)
    weights = {"w": (1, 48, 1), "r": (1, 48, 16), "b": (1, 96), "v": (16, 1)}
    values = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in weights.items()}
    values |= {"steps_shape": np.array([64, 1, 1]), "out_shape": np.array([1, 64])}
    values |= {"limit": np.array(2.0, np.float32), "half": np.array(0.5, np.float32)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in values.items())
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / "amp.onnx"
    path.write_bytes(model.SerializeToString())
    return import_graph(path, "amp", folder, sample_rate=48000).bundle


def mutate(base: Bundle, folder: Path, rng: Rng) -> str:
    """Make `folder`, a copy of `base`, a mutant, of which all hashes are right; what was changed, in a word."""
    kind = rng.choice(["fields", "fields", "text", "graph", "graph", "graph", "bytes", "bytes", "golden"])
    manifest = json.loads((base.folder / MANIFEST).read_text())
    (graph,) = base.graphs.values()
    if kind == "fields":
        for _ in range(rng.choice([1, 1, 2, 3])):
            manifest = changed(manifest, rng)
    elif kind == "graph":
        model = onnx.load(folder / graph, load_external_data=False)
        for _ in range(rng.choice([1, 1, 1, 2])):
            rng.choice(GRAPH_CHANGES)(model, rng)
        (folder / graph).write_bytes(model.SerializeToString())
    elif kind in ("bytes", "golden"):
        path = folder / (graph if kind == "bytes" else base.golden)
        path.write_bytes(damaged(path.read_bytes(), rng))
    if kind not in ("fields", "text"):
        for name in (graph, base.golden):
            manifest["files"][name] = {"sha256": sha256(folder / name), "size": (folder / name).stat().st_size}
    content = json.dumps(manifest).encode()
    (folder / MANIFEST).write_bytes(damaged(content, rng) if kind == "text" else content)
    return kind


def changed(value: Json, rng: Rng) -> Json:
    """A JSON value with one place in it dropped, renamed, doubled or replaced."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(ODD)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, result = rng.choice(keys), value.copy()
    way = rng.choice(["deeper", "deeper", "replace", "drop", "rename"])
    if way in ("deeper", "replace"):
        result[key] = changed(value[key], rng) if way == "deeper" else rng.choice(ODD)
    elif way == "drop" or not isinstance(result, dict):
        result.pop(key)
    else:
        result[rng.choice(ODD_TEXTS)] = result.pop(key)
    return result


def damaged(content: bytes, rng: Rng) -> bytes:
    """Bytes with some flipped, cut off, taken out, put in or doubled."""
    data = bytearray(content)
    place = rng.randrange(len(data))
    length = rng.choice([1, 2, 8, 100])
    way = rng.choice(["flip", "flip", "flip", "cut", "take", "put", "double", "ends"])
    if way == "flip":
        for _ in range(rng.choice([1, 1, 2, 16])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif way == "cut":
        del data[place:]
    elif way == "take":
        del data[place : place + length]
    elif way == "put":
        data[place:place] = rng.randbytes(length)
    elif way == "double":
        data[place:place] = data[place : place + length]
    else:
        data[-place % 64 - 64 :] = rng.randbytes(64)
    return bytes(data)


def number(rng: Rng) -> int:
    """A number that fits an int64."""
    return rng.choice(ODD_NUMBERS[:-1])


def word(rng: Rng) -> str:
    """A text that fits a protobuf."""
    return rng.choice([text for text in ODD_TEXTS if text.isascii()])


def change_external(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    entry = rng.choice(tensor.external_data)
    entry.value = word(rng) if rng.random() < 0.6 or entry.key == "location" else str(number(rng))
    if rng.random() < 0.2:
        tensor.external_data.add(key=rng.choice(["location", "offset", "basepath"]), value=word(rng))


def change_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = rng.choice(model.graph.initializer)
    if rng.random() < 0.3:
        tensor.data_type = rng.randrange(30)
    elif rng.random() < 0.3:
        tensor.data_location = TensorProto.EXTERNAL
    elif tensor.dims and rng.random() < 0.7:
        tensor.dims[rng.randrange(len(tensor.dims))] = number(rng)
    else:
        tensor.dims.append(number(rng))


def change_shape(model: onnx.ModelProto, rng: Rng) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output, *model.graph.value_info])
    dims = value.type.tensor_type.shape.dim
    if rng.random() < 0.2:
        value.name = word(rng)
    elif rng.random() < 0.2:
        value.type.tensor_type.elem_type = rng.randrange(30)
    elif dims and rng.random() < 0.8:
        rng.choice(dims).dim_value = number(rng)
    else:
        dims.add().dim_param = word(rng)


def every_node(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    inner = [one.g for node in graph.node for one in node.attribute if one.HasField("g")]
    return [*graph.node, *(node for part in inner for node in every_node(part))]


def change_node(model: onnx.ModelProto, rng: Rng) -> None:
    node = rng.choice([*every_node(model.graph), *(node for part in model.functions for node in part.node)])
    way = rng.choice(["op", "op", "domain", "attribute", "input", "drop", "data"])
    if way == "op":
        node.op_type = rng.choice(OPERATORS)
    elif way == "domain":
        node.domain = rng.choice(["com.microsoft", "own", "other", "ai.onnx", "com.microsoft.nchwc"])
    elif way == "attribute":
        node.attribute.add(name=rng.choice(["axis", "value", "hidden_size"]), i=number(rng), type=2)
    elif way == "data":
        hidden = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
        hidden.CopyFrom(TensorProto(data_type=1, dims=[4], data_location=TensorProto.EXTERNAL))
        hidden.external_data.add(key="location", value=word(rng))
    elif node.input and way == "input":
        node.input[rng.randrange(len(node.input))] = rng.choice(["h_in", "w", "nothing", ""])
    else:
        node.ClearField("output")


def change_opset(model: onnx.ModelProto, rng: Rng) -> None:
    entry = rng.choice([*model.opset_import, *(entry for part in model.functions for entry in part.opset_import)])
    entry.version = rng.choice([number(rng), 1, 6, 18, 27, 99])
    if rng.random() < 0.3:
        entry.domain = rng.choice(["other", "ai.onnx", "com.microsoft"])


def change_function(model: onnx.ModelProto, rng: Rng) -> None:
    function = model.functions[0]
    way = rng.choice(["itself", "name", "many", "twice"])
    if way == "itself":
        function.opset_import.add(domain="own", version=1)
        function.node.add(op_type="bend", domain="own", input=["x"], output=["again"])
    elif way == "name":
        function.name = word(rng)
    elif way == "twice":
        model.functions.add().CopyFrom(function)
    else:
        explode(model, rng.choice([2, 20, 200]))


def explode(model: onnx.ModelProto, levels: int) -> None:
    """Functions that each call the next twice: 2 ** levels nodes when they are written out."""
    inner = model.functions[0]
    for level in range(levels):
        outer = model.functions.add(name=f"more{level}", domain="own", input=["x"], output=["z"])
        outer.opset_import.extend(inner.opset_import)
        if not any(entry.domain == "own" for entry in outer.opset_import):
            outer.opset_import.add(domain="own", version=1)
        outer.node.add(op_type=inner.name, domain="own", input=["x"], output=["y"])
        outer.node.add(op_type=inner.name, domain="own", input=["y"], output=["z"])
        inner = outer
    for node in model.graph.node:
        if node.domain == "own":
            node.op_type = inner.name


def nest(model: onnx.ModelProto, rng: Rng) -> None:
    """Graphs in graphs, deeper than any reader should follow."""
    part = model.graph
    for _ in range(rng.choice([3, 30, 90])):
        node = part.node.add(op_type="If", input=["loud"], output=["deep"])
        part = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g


GRAPH_CHANGES: tuple[Callable[[onnx.ModelProto, Rng], None], ...] = (
    *(change_external, change_external, change_tensor, change_shape, change_node),
    *(change_opset, change_function, nest),
)
