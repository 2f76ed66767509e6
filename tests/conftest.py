"""Shared fixtures: nothing of the person's own configuration is read or written, and real parts are made once."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import platformdirs
import pytest
import torch
from places import GOLDEN
from tonearm.device.loopback import serve
from tonearm.device.ssh import lookup
from tonearm.device.ssh.connection import Connection
from tonearm.export.write import export_bundle
from tonearm.models.catalogue import load
from tonearm.runtime.bundle import Bundle, Provenance

# What is imported stays, and a trace makes millions of objects that go as soon as they are not needed any more: to look
# for garbage among them again and again takes a twentieth of the tests' time.
gc.freeze()
gc.set_threshold(100_000, 50, 100)

BLOCKS = (64, 256)
CACHE = platformdirs.user_cache_path()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What is started in the background ignores Ctrl-C, and so would all commands that tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards, their state, ~/.ssh and /etc/ssh of a person who has just installed Tonearm; downloads stay cached."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(lookup, "SYSTEM", tmp_path / "etc" / "ssh_config")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the boards of a module's tests are, so that the runtime of its loopback board is installed once."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def own_place(own_folders: None, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person in an empty folder, whose boards are those of the module."""
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small models gain nothing from threads, and lose a lot where other processes want the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """The original implementation's inputs and outputs for hpn-reduced, 300 frames."""
    with np.load(GOLDEN / "hpn-reduced.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The golden checkpoint as a bundle with blocks of 64 and 256 samples. Tests must not change it."""
    module = load("hpn-reduced", GOLDEN / "hpn-reduced.pt")
    folder = tmp_path_factory.mktemp("bundles") / "hpn-reduced"
    return export_bundle(module, "hpn-reduced", folder, BLOCKS, weights=Provenance("golden")).bundle


@pytest.fixture(scope="session")
def save_graph() -> Callable[..., Path]:
    """Write an ONNX graph given as text, with its weights by name, as any other tool would have made it."""

    def save(path: Path, text: str, **weights: np.ndarray) -> Path:
        model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]>' + text)
        model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in weights.items())
        path.write_bytes(model.SerializeToString())
        return path

    return save


def some(*shape: int, seed: int = 0) -> np.ndarray:
    """Weights of a model that nobody trained."""
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


@pytest.fixture(scope="session")
def amp(save_graph: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recurrent amplifier, blocks of 64 samples, made elsewhere."""
    text = """
    amp (float[1, 64] audio_in, float[1, 1, 8] h_in) => (float[1, 64] audio_out, float[1, 1, 8] h_out) {
        steps = Reshape(audio_in, steps_shape)
        y, h_out = GRU <hidden_size = 8> (steps, w, r, b, , h_in)
        mixed = MatMul(y, v)
        bent = Tanh(mixed)
        audio_out = Reshape(bent, out_shape)
    }"""
    return save_graph(
        tmp_path_factory.mktemp("amp") / "amp.onnx",
        text,
        w=some(1, 24, 1),
        r=some(1, 24, 8, seed=1),
        b=some(1, 48, seed=2),
        v=some(8, 1, seed=3),
        steps_shape=np.array([64, 1, 1]),
        out_shape=np.array([1, 64]),
    )


@pytest.fixture(scope="session")
def vad(save_graph: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice activity detector made elsewhere: one number for 512 samples, at one of two sample rates."""
    text = """
    vad (float[batch, 512] input, float[2, batch, 128] state, int64 sr)
        => (float[p, 1] output, float[q, r, 128] stateN) {
        fast = Equal(sr, sixteen)
        scaled = If (fast) <
            then_branch = a () => (float[n, 512] loud) { loud = Add(input, input) },
            else_branch = b () => (float[n, 512] soft) { soft = Mul(input, half) }
        >
        seen = MatMul(scaled, w)
        old = Gather <axis = 0> (state, zero)
        both = Add(seen, old)
        new = Tanh(both)
        stacked = Unsqueeze(new, axes)
        kept = Unsqueeze(old, axes)
        stateN = Concat <axis = 0> (stacked, kept)
        sum = MatMul(new, v)
        output = Sigmoid(sum)
    }"""
    return save_graph(
        tmp_path_factory.mktemp("vad") / "vad.onnx",
        text,
        sixteen=np.array(16000),
        half=np.array(0.5, np.float32),
        zero=np.array(0),
        axes=np.array([0]),
        w=some(512, 128) / 8,
        v=some(128, 1) / 8,
    )


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Connection]:
    """A fresh loopback board: a real SSH server in this process with an empty home."""
    with serve(tmp_path / "loopback") as endpoint, Connection("loopback", endpoint) as connection:
        yield connection
