"""What tests of hostile bundles share: ways to damage a bundle whose hashes are right, and what is said about each."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mutants import explode
from onnx import TensorProto, helper
from tonearm.runtime.bundle import MANIFEST, sha256
from tonearm.runtime.clip import read_arrays, write_arrays

GRAPH, WEIGHTS, VECTORS = "block-64.onnx", "weights.bin", "golden.npz"

Change = Callable[[Path], None]


def seal(folder: Path) -> None:
    """Give the manifest the hashes of the files as they are now."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {
        name: {"sha256": sha256(folder / name), "size": (folder / name).stat().st_size}
        for name in (GRAPH, WEIGHTS, VECTORS)
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))


def manifest(**changes: Any) -> Change:
    """Replace fields of the manifest."""

    def change(folder: Path) -> None:
        path = folder / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def listed(name: str) -> Change:
    """List another file, with the right hash if there is one."""

    def change(folder: Path) -> None:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        manifest(files=files | {name: {"sha256": "0" * 64, "size": 1}})(folder)

    return change


def raw(content: bytes) -> Change:
    """Another manifest altogether."""

    def change(folder: Path) -> None:
        (folder / MANIFEST).write_bytes(content)

    return change


def linked(name: str) -> Change:
    """A file of the bundle lies outside, with a link to it."""

    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return change


def piped(name: str) -> Change:
    """What is read from there never ends."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def grown(name: str, size: int) -> Change:
    """A file with a hole at its end, `size` bytes in all, with the right hash."""

    def change(folder: Path) -> None:
        os.truncate(folder / name, size)
        seal(folder)

    return change


def graph(edit: Callable[[onnx.ModelProto], object]) -> Change:
    """Another graph, with the right hash."""

    def change(folder: Path) -> None:
        model = onnx.load(folder / GRAPH, load_external_data=False)
        edit(model)
        (folder / GRAPH).write_bytes(model.SerializeToString())
        seal(folder)

    return change


def weight(model: onnx.ModelProto) -> TensorProto:
    """The weight that lies outside."""
    return next(tensor for tensor in model.graph.initializer if tensor.external_data)


def outside(**entries: str) -> Change:
    """Say otherwise where the weights lie."""

    def edit(model: onnx.ModelProto) -> None:
        for entry in weight(model).external_data:
            entry.value = entries.get(entry.key, entry.value)

    return graph(edit)


def within(model: onnx.ModelProto) -> onnx.GraphProto:
    """A graph in the graph."""
    return next(node for node in model.graph.node if node.op_type == "If").attribute[0].g


def hide_constant(model: onnx.ModelProto) -> None:
    """A constant in a graph in the graph, whose value lies outside."""
    hidden = TensorProto(name="hidden", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="../secret.bin")
    within(model).node.append(helper.make_node("Constant", [], ["hidden"], value=hidden))


def add_value(model: onnx.ModelProto) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info("y", 1, [10**6, 10**9]))


def call_itself(model: onnx.ModelProto) -> None:
    model.functions[0].opset_import.add(domain="own", version=1)
    model.functions[0].node.add(op_type="bend", domain="own", input=["x"], output=["again"])


def nest(model: onnx.ModelProto) -> None:
    part = model.graph
    for _ in range(90):
        node = part.node.add(op_type="If", input=["loud"], output=["deep"])
        part = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g


def npy(shape: tuple[int, ...], data: bytes = b"", kind: str = "<f4") -> bytes:
    """An array whose header says what it wants."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


def archive(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", how) as made:
        for name, content in members.items():
            made.writestr(name, content)


def vectors(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Change:
    """Other golden vectors, with the right hash."""

    def change(folder: Path) -> None:
        archive(folder / VECTORS, members, how)
        seal(folder)

    return change


def without_output(folder: Path) -> None:
    golden = read_arrays(folder / VECTORS)
    write_arrays(folder / VECTORS, {"audio_in": golden["audio_in"]})
    seal(folder)


class Trap:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


BOMB = npy((1, 1 << 22, 1), bytes(1 << 24))
MILLION = b'{"format": 1, "states": [%s{}]}' % (b'{"name": "s", "shape": [1], "dtype": "float32"}, ' * 10**6)
STATES = [{"name": f"s{index}", "shape": [1], "dtype": "float32"} for index in range(2000)]
HUGE = [{"name": "h_in", "shape": [10**15], "dtype": "float32"}]
LONG = [{"name": "h_in", "shape": [1] * 2000, "dtype": "float32"}]
WIDE = [{"name": "audio_in", "width": 10**12}]
TWICE = [{"name": "audio_in", "width": 64}] * 2
HOSTILE: dict[str, tuple[Change, str]] = {
    "a file above the folder": (listed("../secret.bin"), "manifest.json is not a manifest: files: '../secret.bin'"),
    "a file at an absolute path": (listed("/etc/passwd"), "manifest.json is not a manifest: files: '/etc/passwd'"),
    "the manifest among its files": (listed(MANIFEST), "manifest.json lists itself as a file"),
    "a name that fills the disk's": (listed("n" * 500), "is not a plain file name"),
    "a graph above the folder": (
        manifest(graphs={"64": "../block-64.onnx"}),
        "graphs: '../block-64.onnx' is not among",
    ),
    "a graph of another format": (
        manifest(graphs={"64": WEIGHTS}),
        "graphs: 'weights.bin' is not a file of type .onnx",
    ),
    "golden vectors elsewhere": (manifest(golden="/etc/passwd"), "golden: '/etc/passwd' is not among"),
    "a name above the releases": (manifest(name="../../current"), "name: '../../current' is not a plain file name"),
    "a name that moves the cursor": (manifest(weights="\x1b[2Jtrained"), "weights: '\\x1b[2Jtrained' is not a line"),
    "weights behind a link": (linked(WEIGHTS), "weights.bin is missing"),
    "a graph behind a link": (linked(GRAPH), "block-64.onnx is missing"),
    "golden vectors behind a link": (linked(VECTORS), "golden.npz is missing"),
    "a manifest behind a link": (linked(MANIFEST), "manifest.json is not a manifest: it must be a regular file"),
    "weights that never end": (piped(WEIGHTS), "weights.bin is missing"),
    "a manifest that never ends": (piped(MANIFEST), "manifest.json is not a manifest: it must be a regular file"),
    "weights that grew": (
        lambda folder: os.truncate(folder / WEIGHTS, 1 << 33),
        "weights.bin is not what the manifest",
    ),
    "a manifest of megabytes": (raw(b" " * (1 << 21)), "it must be a regular file of at most 1 MiB"),
    "a million states": (raw(MILLION), "it must be a regular file of at most 1 MiB"),
    "a graph of 65 MiB": (
        grown(GRAPH, 65 << 20),
        "block-64.onnx can't be trusted: it has more than 64 MiB",
    ),
    "files of terabytes": (
        manifest(files={WEIGHTS: {"sha256": "0" * 64, "size": 10**13}}),
        "files: '10000000000000' is not a whole number from 0 to",
    ),
    "a manifest that is a list": (raw(b"[]"), "manifest.json is not a manifest"),
    "a manifest that is a number": (raw(b"1"), "manifest.json is not a manifest"),
    "a manifest that is a text": (raw(b'"manifest"'), "manifest.json is not a manifest"),
    "a manifest that is nothing": (raw(b"null"), "manifest.json is not a manifest"),
    "a manifest of brackets": (raw(b"[" * 100_000), "manifest.json is not a manifest"),
    "a hop of 1e12 samples": (manifest(hop=10**12), "hop: '1000000000000' is not a whole number from 1 to 4194304"),
    "a latency of 1e12 samples": (manifest(latency=10**12), "latency: '1000000000000' is not a whole number"),
    "a block of 1e12 samples": (manifest(graphs={str(64 * 10**12): GRAPH}), "graphs: '64000000000000' is not a whole"),
    "2000 states": (manifest(states=STATES), "states: 2000 entries; at most 1024 are allowed"),
    "a state of 1e15 values": (manifest(states=HUGE), "states: '1000000000000000' is not a whole number"),
    "a state of 2000 axes": (manifest(states=LONG), "states: 2000 entries; at most 16 are allowed"),
    "an input of 1e12 values": (manifest(inputs=WIDE), "inputs, outputs and states have 1000000000080 values"),
    "an input twice": (manifest(inputs=TWICE), "is the name of 2 tensors"),
    "no inputs": (manifest(inputs=[]), "manifest.json is not a manifest: no inputs, or no outputs"),
    "weights above the folder": (
        outside(location="../secret.bin"),
        "block-64.onnx can't be trusted: tensor 'r' has its data in '../secret.bin'",
    ),
    "weights at an absolute path": (outside(location="/etc/passwd"), "tensor 'r' has its data in '/etc/passwd'"),
    "weights in a file that is not listed": (outside(location="other.bin"), "tensor 'r' has its data in 'other.bin'"),
    "weights at an address": (outside(location="*/_ORT_MEM_ADDR_/*"), "has its data in '*/_ORT_MEM_ADDR_/*'"),
    "weights beyond the end": (
        outside(offset=str(10**15)),
        "tensor 'r' needs 3072 bytes, but reads 3072 from offset 1000000000000000 of",
    ),
    "weights before the start": (outside(offset="-4096"), "'-4096' is not an offset or a length"),
    "weights longer than they are": (
        outside(length=str(10**15)),
        "tensor 'r' needs 3072 bytes, but reads 1000000000000000 from",
    ),
    "weights in two places": (
        graph(lambda model: weight(model).external_data.add(key="location", value=WEIGHTS)),
        "tensor 'r' does not say unambiguously where its data is",
    ),
    "a constant of a branch above the folder": (
        graph(hide_constant),
        "tensor 'hidden' has its data in '../secret.bin'",
    ),
    "a weight of 1e15 values": (
        graph(lambda model: weight(model).dims.append(10**12)),
        "it declares a tensor of shape [1, 48, 16, 1000000000000]",
    ),
    "a weight without its data": (graph(lambda model: model.graph.initializer[0].dims.append(9)), "declares"),
    "a result of 1e15 values": (graph(add_value), "it declares a tensor of shape [1000000, 1000000000]"),
    "an unknown operator": (
        graph(lambda model: model.graph.node.add(op_type="Exec")),
        "block-64.onnx can't be trusted: it calls 'Exec', which is not an operator of opset 17",
    ),
    "an unknown operator in a branch": (graph(lambda model: within(model).node.add(op_type="Exec")), "it calls 'Exec'"),
    "an unknown operator in a function": (
        graph(lambda model: model.functions[0].node.add(op_type="Exec")),
        "it calls 'Exec'",
    ),
    "an operator of another domain": (
        graph(lambda model: model.graph.node.add(op_type="Exec", domain="evil")),
        "it calls 'evil.Exec'",
    ),
    "an operator that is gone": (graph(lambda model: model.graph.node.add(op_type="Upsample")), "it calls 'Upsample'"),
    "an operator of a later opset": (graph(lambda model: model.graph.node.add(op_type="Gelu")), "it calls 'Gelu'"),
    "an opset from the future": (
        graph(lambda model: setattr(model.opset_import[0], "version", 999)),
        "it declares opset 999 of 'ai.onnx'",
    ),
    "a function that calls itself": (graph(call_itself), "its function 'bend' calls itself"),
    "functions that fill the memory": (graph(lambda model: explode(model, 50)), "grows to more than 1048576 nodes"),
    "graphs in graphs in graphs": (graph(nest), "its messages are nested more than 64 deep"),
    "a training": (graph(lambda model: model.training_info.add()), "it holds training information"),
    "a graph that is none": (grown(GRAPH, 0), "it is empty, or not an ONNX file"),
    "a graph cut short": (grown(GRAPH, 500), "it is not protobuf, or cut short"),
    "another name for an input": (
        graph(lambda model: setattr(model.graph.input[0], "name", "other")),
        "block-64.onnx and the manifest differ: audio_in: graph None, manifest ((1, 1, 64), 'float32')",
    ),
    "another shape of a state": (
        manifest(states=[{"name": "h_in", "shape": [1, 1, 17], "dtype": "float32"}]),
        "h_in: graph ((1, 1, 16), 'float32'), manifest ((1, 1, 17), 'float32')",
    ),
    "another type of a state": (
        manifest(states=[{"name": "h_in", "shape": [1, 1, 16], "dtype": "float64"}]),
        "h_in: graph ((1, 1, 16), 'float32'), manifest ((1, 1, 16), 'float64')",
    ),
    "an array that claims 1e12 values": (
        vectors({"audio_in.npy": npy((1, 10**12, 1))}),
        "golden.npz holds no golden vectors: ValueError('audio_in.npy declares 4000000000000 bytes",
    ),
    "an array of minus one values": (vectors({"audio_in.npy": npy((-1, -1))}), "not an array of numbers"),
    "an array that inflates": (vectors({"audio_in.npy": BOMB}, zipfile.ZIP_DEFLATED), "bytes; at most"),
    "an array of objects": (vectors({"audio_in.npy": npy((1,), pickle.dumps([Trap()]), "|O")}), "is of type object"),
    "an array above the folder": (
        vectors({"../audio_in.npy": npy((1,), bytes(4))}),
        "'../audio_in.npy' is not the name of an array",
    ),
    "no golden output": (without_output, "golden.npz holds no golden vectors: KeyError('audio_out')"),
    "golden vectors that are none": (grown(VECTORS, 100), "golden.npz holds no golden vectors: BadZipFile"),
}
