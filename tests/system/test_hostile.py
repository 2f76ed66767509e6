"""Hostile and broken bundles are refused by name before anything reaches a board, and a mutant never does worse."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from commands import tonearm
from fuzz_bundles import OUTCOMES, fuzz
from fuzzing import table
from hostile import BOMB, HOSTILE, VECTORS, Trap, archive, graph, npy, outside
from mutants import make_base
from onnx import TensorProto, helper
from tonearm.device.loopback import loopback_folder
from tonearm.runtime.bundle import Bundle, read_bundle
from tonearm.runtime.check import check_bundle
from tonearm.runtime.clip import read_arrays, write_arrays

TRIES = 2000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A whole bundle: an amplifier with weights outside of its graph, a function, and graphs in the graph."""
    return make_base(tmp_path_factory.mktemp("base") / "amp")


@pytest.fixture
def folder(base: Bundle, tmp_path: Path) -> Path:
    """A copy that a test may damage, beside a file that is none of its business."""
    shutil.copytree(base.folder, tmp_path / "bundle")
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 16))
    return tmp_path / "bundle"


def complaint(*arguments: object) -> str:
    """The one line that a command says when it refuses."""
    lines = tonearm(*arguments, status=1).stderr.splitlines()
    assert [line for line in lines if line.startswith("tonearm: ")] == lines[-1:], lines
    return lines[-1]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lines are not broken."""
    monkeypatch.setenv("COLUMNS", "2000")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_by_name_and_never_reaches_a_board(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder.parent / "state"))
    change, said = HOSTILE[name]
    change(folder)
    before = sorted(folder.parent.rglob("*"))
    assert said in complaint("deploy", folder, "--board", "loopback")
    assert sorted(folder.parent.rglob("*")) == before
    assert not loopback_folder().exists()


def test_a_whole_bundle_is_not_refused(base: Bundle) -> None:
    check_bundle(base)


@pytest.mark.parametrize(
    "command",
    [["deploy", "bundle"], ["render", "bundle", "--input", "in.npz", "-o", "out.npz"], ["sweep", "--models", "bundle"]],
    ids=lambda command: command[0],
)
def test_every_command_that_goes_to_a_board_refuses_before_there_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder.parent / "state"))
    write_arrays(Path("in.npz"), {"audio_in": read_arrays(folder / VECTORS)["audio_in"]})
    outside(location="../secret.bin")(folder)
    said = tonearm(*command, "--board", "loopback", status=1).stderr.splitlines()
    assert [line for line in said if line.startswith(("tonearm: ", "Traceback"))] == said[-1:]
    assert "block-64.onnx can't be trusted: tensor 'r' has its data in '../secret.bin'" in said[-1]
    assert not loopback_folder().exists()
    assert not Path("out.npz").exists()


def run(folder: Path) -> tuple[int, dict[str, Any]]:
    """What the runner makes of a bundle, as on a board: exit status and record."""
    request = {"format": 2, "bundle": str(folder), "task": "parity", "blocks": [64]}
    (folder.parent / "request.json").write_text(json.dumps(request))
    command = [sys.executable, "-m", "tonearm.runtime.runner", "request.json"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, timeout=120, check=False)
    return done.returncode, json.loads((folder.parent / "record.json").read_text())


def test_a_whole_bundle_runs_on_the_board(folder: Path) -> None:
    assert run(folder)[0] == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("weights above the folder", "tensor 'r' has its data in '../secret.bin'"),
        ("weights behind a link", "tensor 'r' needs 3072 bytes, but reads 3072 from offset 0 of weights.bin (0 bytes)"),
        ("a graph behind a link", "block-64.onnx can't be trusted: it is not a regular file"),
        (
            "golden vectors behind a link",
            "golden.npz holds no golden vectors: ValueError('it is a link, not a regular file')",
        ),
        ("a manifest behind a link", "manifest.json is not a manifest"),
        ("an array of objects", "audio_in.npy is of type object"),
    ],
)
def test_the_runner_follows_nothing_out_of_its_release(folder: Path, name: str, said: str) -> None:
    HOSTILE[name][0](folder)
    status, record = run(folder)
    assert (status, record["kind"]) == (1, "BundleError")
    assert said in record["error"]


def ask_for_memory(model: onnx.ModelProto) -> None:
    """Terabytes, of which no declared shape tells."""
    model.graph.initializer.append(helper.make_tensor("many", TensorProto.INT64, [1], [10**12]))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["many"], ["zeros"]))
    model.graph.node.insert(1, helper.make_node("ReduceSum", ["zeros"], ["nothing"]))


def test_a_graph_that_asks_for_too_much_memory_as_it_runs_is_an_error_of_the_runner(folder: Path) -> None:
    graph(ask_for_memory)(folder)
    check_bundle(read_bundle(folder))
    status, record = run(folder)
    assert (status, record["kind"]) == (1, "SessionError")
    assert "allocate" in record["error"] or "memory" in record["error"]


def test_the_runner_gets_no_more_memory_than_the_board_has_free() -> None:
    program = """
import numpy
from tonearm.runtime.memory import _table, limit_memory
before = _table("/proc/meminfo")
limit_memory()
free = 1024 * (before["MemAvailable"] + before.get("SwapFree", 0))
numpy.zeros(free // 4, numpy.uint8)
try:
    numpy.zeros(free + (1 << 30), numpy.uint8)
except MemoryError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.parametrize(
    ("how", "content"),
    [
        (zipfile.ZIP_STORED, npy((1, 10**12, 1))),
        (zipfile.ZIP_DEFLATED, BOMB),
        (zipfile.ZIP_STORED, npy((1,), pickle.dumps([Trap()]), "|O")),
        (zipfile.ZIP_STORED, npy((10**15,), b"", "<V0")),
        (zipfile.ZIP_STORED, npy((10**15, 0, 10**15), b"", "<f4")[:-20]),
    ],
    ids=["claims", "inflates", "objects", "nothings", "cut"],
)
def test_a_bomb_of_arrays_takes_no_memory(tmp_path: Path, how: int, content: bytes) -> None:
    archive(tmp_path / "bomb.npz", {"bomb.npy": content}, how)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bomb\.npy|its arrays take|header"):
        read_arrays(tmp_path / "bomb.npz", most=(tmp_path / "bomb.npz").stat().st_size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.slow
def test_no_mutant_does_worse_than_be_refused(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "box").mkdir()
    counts = fuzz(tmp_path / "box", TRIES, 0, said.append)
    assert said == [], table(counts, OUTCOMES)
    assert sum(counts.values()) == TRIES
    for outcome in OUTCOMES[:3]:
        assert sum(number for (_, found), number in counts.items() if found == outcome) > TRIES / 50
