"""A file that is no checkpoint is called what it is, with what to do."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import places
import pytest
import safetensors.torch
import soundfile
import torch
from commands import tonearm
from tonearm.models.catalogue import resolve
from tonearm.models.errors import CheckpointError
from tonearm.models.files.checkpoints import read_checkpoint

GOLDEN = places.GOLDEN / "hpn-reduced.pt"
SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def binary(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(GOLDEN, "run/best.pt")


def tarred(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(GOLDEN, "best.pt")


def exported(path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, path.with_suffix(".pt2"))
    path.with_suffix(".pt2").rename(path)


def graph(path: Path) -> None:
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:])), path)


def keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, b"{}")


def recording(path: Path) -> None:
    soundfile.write(path, np.zeros(100), 16_000, format="WAV")


def cut(share: float, content: bytes) -> Callable[[Path], object]:
    return binary(content[: int(share * len(content))])


def small(zipped: bool) -> bytes:
    content = io.BytesIO()
    torch.save({"model": SMALL}, content, _use_new_zipfile_serialization=zipped)
    return content.getvalue()


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 134217728\n"
INDEX = {
    "metadata": {"total_size": 9},
    "weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"},
}
NAM = {"version": "0.5.4", "architecture": "WaveNet", "config": {}, "weights": [0.1]}
CUT = r"is cut short( or damaged)?[ :(].*copy or download it again$"
KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (binary(b""), r"is empty \(0 bytes\): copy or download it again$"),
    "pointer": (text(POINTER), r"is a pointer of Git LFS, which stands for 134217728 bytes of weights: .*git lfs pull"),
    "page": (text("<!DOCTYPE html>\n<html><body>Sign in</body></html>"), "is a web page, saved instead of the file"),
    "page with space": (text("\n\n  <html lang=en>"), "is a web page"),
    "answer": (
        text('{"error": "Repository not found"}'),
        r"is a server's answer, not the file: 'Repository not found'",
    ),
    "answer in xml": (text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), "is a server's answer"),
    "index": (text(json.dumps(INDEX)), "is the index of weights in 2 files"),
    "nam": (text(json.dumps(NAM)), r"is a model of Neural Amp Modeler \(\.nam\): tonearm import takes ONNX graphs"),
    "json": (text("[1, 2]"), "is JSON: weights are read from"),
    "text": (text("lr: 0.001\nhidden: 16\n"), r"is text, which begins with 'lr: 0\.001': weights are read from"),
    "program": (exported, r"is a program of torch\.export: save the weights alone"),
    "graph": (graph, "is an ONNX graph: use tonearm import$"),
    "hdf5": (binary(b"\x89HDF\r\n\x1a\n" + bytes(100)), "is an HDF5 file, as Keras and TensorFlow write them"),
    "keras": (keras, "is a model of Keras"),
    "lite": (binary(b"\x1c\x00\x00\x00TFL3" + bytes(100)), "is a model of TensorFlow Lite"),
    "zip": (zipped, r"is a zip archive: unpack it, and give the file inside$"),
    "tar": (tarred, "is a tar archive: unpack it"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(GOLDEN.read_bytes())), "is compressed with gzip: unpack it"),
    "xz": (lambda path: path.write_bytes(lzma.compress(GOLDEN.read_bytes())), "is compressed with xz: unpack it"),
    "recording": (recording, "is a recording: weights are read from"),
    "array": (lambda path: np.save(path.open("wb"), np.zeros(3)), "is an array of NumPy"),
    "noise": (
        binary(bytes(range(200, 256))),
        r"is no file of torch\.save or safetensors, or damaged: weights",
    ),
    "cut zip": (cut(0.9, small(True)), CUT),
    "cut legacy": (cut(0.97, small(False)), CUT),
    "cut early": (cut(0.3, small(False)), CUT),
    "cut safetensors": (cut(0.95, safetensors.torch.save(SMALL)), r"is cut short: it has \d+ of at least \d+ bytes"),
    "cut header": (cut(0.2, safetensors.torch.save(SMALL)), r"is cut short: it has \d+ of at least \d+ bytes; copy"),
}


@pytest.mark.parametrize("name", ["run.pt", "run.safetensors", "run.ckpt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, kind: str, name: str) -> None:
    write, said = KINDS[kind]
    write(tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"/{name} {said}") as caught:
        read_checkpoint(tmp_path / name)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["saved_model.pb"], "is a folder with a SavedModel of TensorFlow"),
        ([".metadata", "__0_0.distcp"], r"is a folder of torch\.distributed\.checkpoint: .*dcp_to_torch"),
        (["config.json", "model.safetensors"], r"is a folder: give a file in it, such as model\.safetensors$"),
        ([], "is a folder, not a file: weights are read from"),
    ],
)
@pytest.mark.parametrize("read", [read_checkpoint, lambda path: resolve("hpn-reduced", path)])
def test_a_folder_says_which_file_to_give(
    tmp_path: Path, files: list[str], said: str, read: Callable[[Path], object]
) -> None:
    for file in files:
        (tmp_path / file).touch()
    with pytest.raises(CheckpointError, match=f"{tmp_path} {said}"):
        read(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_model_is_told_from_its_weights(tmp_path: Path, zipped: bool) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "run.pt", _use_new_zipfile_serialization=zipped)
    said = r"holds no named tensors but an object: save model\.state_dict\(\), not the model"
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(tmp_path / "run.pt")


def test_weights_as_arrays_are_told_from_tensors(tmp_path: Path) -> None:
    torch.save({"model": {key: value.numpy() for key, value in SMALL.items()}, "epoch": 3}, tmp_path / "run.pt")
    with pytest.raises(CheckpointError, match=r"run\.pt holds NumPy arrays, no named tensors: save model\.state_dict"):
        read_checkpoint(tmp_path / "run.pt")


@pytest.mark.parametrize("command", ["convert", "export"])
def test_commands_say_it_in_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "run.pt").write_text(POINTER)
    target = ["run.safetensors"] if command == "convert" else ["--block", 64, "-o", tmp_path / "bundle"]
    how = [tmp_path / "run.pt"] if command == "convert" else ["hpn-reduced", "--checkpoint", tmp_path / "run.pt"]
    done = tonearm(command, *how, *target, status=1)
    assert [line for line in done.stderr.splitlines() if "is a pointer of Git LFS" in line] == [
        done.stderr.splitlines()[-1]
    ]
