"""Whatever inputs, outputs and states are called: it goes all the way to the sound, or is refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from commands import tonearm
from onnx import TensorProto, helper
from tonearm.bench.names import plain_name
from tonearm.export.errors import ExportError, ForeignError
from tonearm.export.foreign.convert import import_graph
from tonearm.export.foreign.inside import convert
from tonearm.export.foreign.plan import How
from tonearm.export.lint import lint
from tonearm.export.streaming import Signals, StreamingModule
from tonearm.export.write import export_bundle
from tonearm.runtime.bundle import Bundle, Provenance, is_plain, read_bundle
from tonearm.runtime.check import check_bundle
from tonearm.runtime.clip import check_signals, read_arrays, write_arrays
from tonearm.runtime.names import unusable
from tonearm.runtime.progress import unwatched
from tonearm.runtime.stream import Stream
from torch import Tensor

HOP, FRAMES = 16, 8
WORK = [
    *("next_", "_next", "x_next", "state", "states", "inputs", "outputs", "self", "block", "frames", "signals"),
    *("noise", "golden", "manifest.json", "arr_0", "args", "kwds", "name", "batch", "none", "true", "loop", "If"),
    *("a b", " a", "a ", "a/b", "a/b/c", "a\\b", "a:b", "a=b", "a,b", "a.npy", ".npy", "x.npy.npy", "..a", "a..b"),
    *("CON", "nul", "aux.npy", "C:\\a", "größe", "音", "🎸", "é" * 200, "n" * 200, "N" * 995, "'", '"', "[red]"),
    *("%s", "{x}", "$HOME", "`id`", "<b>", "-", "--state", "0", "1e5", "*", "?", "~", "#", "a;b", "linear", "val_0"),
    *("[/x]", "tonearm.edge.i0", "weight", "audio_inside", "kept_next_inside"),
]
REFUSED = [
    *("", "file", "allow_pickle", "/a", "a/", "a//b", "..", ".", "...", "../a", "a/../b", "/", "a\nb", "a\tb"),
    *("\x1b[2J", "a\u202eb", "\u200b", "n" * 1001, "a\x7f"),
]


def own_graph(path: Path, sound: str, state: str, audio: str, after: str) -> Path:
    """`audio = sound / 2 + state`, and the state is the last audio, with these names."""
    shape = [1, HOP]
    nodes = [
        helper.make_node("Mul", [sound, "half"], ["softer"]),
        helper.make_node("Add", ["softer", state], [audio]),
        helper.make_node("Mul", [audio, "half"], [after]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (sound, state, audio, after)]
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    graph = helper.make_graph(nodes, "own", ends[:2], ends[2:], [half])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path


def played(bundle: Bundle, name: str, folder: Path) -> dict[str, np.ndarray]:
    """A clip of which the controls went through an .npz, as they do on their way to a board."""
    clip = np.linspace(-1, 1, FRAMES * HOP, dtype=np.float32)
    write_arrays(folder / "inputs.npz", {name: clip})
    check_bundle(bundle)
    sound = Stream(bundle, HOP).render(check_signals(bundle, read_arrays(folder / "inputs.npz")))
    write_arrays(folder / "outputs.npz", sound)
    return read_arrays(folder / "outputs.npz")


def wanted() -> np.ndarray:
    blocks, state = [], np.zeros(HOP)
    for block in np.linspace(-1, 1, FRAMES * HOP).reshape(FRAMES, HOP):
        blocks.append(block / 2 + state)
        state = blocks[-1] / 2
    return np.concatenate(blocks)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_graphs_with_names_that_work_are_imported_and_play(tmp_path: Path, place: int) -> None:
    """Each name is one tensor's, and three graphs take them all; the others bear common names."""
    for index, name in enumerate(WORK[place::3]):
        names = ["sound", "memory", "audio", "after"]
        names[(0, 1, 2)[(index + place) % 3]] = name
        path = own_graph(tmp_path / "own.onnx", *names)
        convert(path, "own", tmp_path / "bundle", How(8000, {names[1]: names[3]}, HOP, 0, {}, {}), unwatched)
        bundle = read_bundle(tmp_path / "bundle")
        assert [one.name for one in (*bundle.inputs, *bundle.states, *bundle.outputs)] == names[:3]
        heard = played(bundle, names[0], tmp_path)[names[2]]
        assert np.allclose(heard, wanted(), atol=1e-6), name


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_other_names_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    assert unusable(name)
    if name:  # without a name, an output is none
        path = own_graph(tmp_path / "own.onnx", "sound", "memory", name, "after")
        with pytest.raises(ForeignError, match=r"no tensor can be called .*, which is .*: rename it in the graph"):
            convert(path, "own", tmp_path / "bundle", How(8000, {"memory": "after"}, HOP, 0, {}, {}), unwatched)
    assert not (tmp_path / "bundle").exists()


class Named(StreamingModule):
    """Half of the sound and half of the block before, with any names."""

    sample_rate: int = 8000
    hop: int = HOP
    latency: int = 0

    def __init__(self, sound: str, memory: str, audio: str) -> None:
        super().__init__()
        self.inputs: Mapping[str, int] = {sound: HOP}
        self.outputs: Mapping[str, int] = {audio: HOP}
        self.memory = memory
        self.linear = torch.nn.Linear(HOP, HOP)

    def zero_states(self, batch: int = 1) -> Signals:
        return {self.memory: torch.zeros(batch, 1, HOP)}

    def example(self, frames: int) -> Signals:
        return {name: torch.sin(torch.arange(frames * HOP) * 0.1).reshape(1, frames, HOP) for name in self.inputs}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        sound, memory = given
        before = torch.cat([memory, sound[:, :-1]], 1)
        return torch.tanh(sound + 0.1 * self.linear(before)), sound[:, -1:]


def export(folder: Path, *names: str, called: str = "own") -> Bundle:
    torch.manual_seed(0)
    module = Named(*names).eval()
    return export_bundle(module, called, folder, [HOP], weights=Provenance("none")).bundle


@pytest.mark.parametrize(
    "names",
    [
        ("linear", "linear.weight", "val_0"),
        ("self", "inputs", "tanh"),
        ("a b/c", "größe", "next_"),
        ("add", "sound", "linear.bias"),
        ("Audio", "audio", "AUDIO"),
        ("tonearm.edge.o0", "tonearm.edge.i0", "x.npy"),
    ],
    ids=ascii,
)
def test_modules_with_names_of_values_inside_the_graph_are_exported_and_play(
    tmp_path: Path, names: tuple[str, str, str]
) -> None:
    assert lint(Named(*names).eval()) == []
    bundle = export(tmp_path / "bundle", *names)
    plain = export(tmp_path / "plain", "one", "two", "three")
    heard, same = (played(b, b.inputs[0].name, tmp_path)[b.outputs[0].name] for b in (bundle, plain))
    assert [one.name for one in (*bundle.inputs, *bundle.states, *bundle.outputs)] == [*names]
    assert np.allclose(heard, same, atol=1e-6)
    graph = onnx.load(bundle.graph(HOP), load_external_data=False).graph
    values = [name for node in graph.node for name in node.output]
    assert len(values) == len({*values})


@pytest.mark.parametrize("name", ["file", "../a", "/a", "a\nb", "x" * 1001], ids=ascii)
def test_modules_with_names_that_can_not_be_borne_are_refused(tmp_path: Path, name: str) -> None:
    (found,) = lint(Named("sound", "memory", name).eval())
    assert found.check == "contract" and unusable(name) in str(found).replace("\n", " ")
    with pytest.raises(ExportError, match=r"no tensor can be called .*: give it another name"):
        export(tmp_path / "bundle", "sound", "memory", name)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("names", [("a", "b", "a"), ("a", "a", "b"), ("a_next", "a", "b"), ("b", "a", "a_next")])
def test_one_name_for_two_tensors_is_refused(tmp_path: Path, names: tuple[str, str, str]) -> None:
    with pytest.raises(ExportError, match="which is the name of 2 tensors"):
        export(tmp_path / "bundle", *names)


@pytest.mark.parametrize(
    ("called", "fits"),
    [
        *(("n" * 128, True), ("CON", True), ("amp.part", True), ("0", True), ("n" * 129, False), (".a", False)),
        *(("a/b", False), ("", False), ("é", False), ("a b", False), ("-a", False), ("a\n", False)),
    ],
    ids=ascii,
)
def test_a_bundles_name_is_checked_before_anything_is_made(tmp_path: Path, called: str, fits: bool) -> None:
    assert is_plain(called) is fits
    path = own_graph(tmp_path / "own.onnx", "sound", "memory", "audio", "after")
    states = {"memory": "after"}
    if fits:
        done = import_graph(path, called, tmp_path / "bundle", sample_rate=8000, hop=HOP, states=states)
        assert done.bundle.name == called
        return
    with pytest.raises(ForeignError, match="can't be a bundle's name: letters, digits"):
        import_graph(path, called, tmp_path / "bundle", sample_rate=8000, hop=HOP, states=states)
    with pytest.raises(ExportError, match="can't be a bundle's name: letters, digits"):
        export(tmp_path / "bundle", "a", "b", "c", called=called)
    assert is_plain(plain_name(called))


def test_a_few_go_to_a_board_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tables = [("a b", "state", "größe/🎸"), ("arr_0", "self", "x.npy"), ("C:\\a", "n" * 200, "[/red]")]
    for index, (sound, memory, audio) in enumerate(tables):
        path = own_graph(tmp_path / "own.onnx", sound, memory, audio, "after")
        called = ("amp.part", "n" * 128, "current")[index]
        how = {"states": {memory: "after"}, "hop": HOP, "sample_rate": 8000}
        bundle = import_graph(path, called, tmp_path / called, **how).bundle  # type: ignore[arg-type]
        tonearm("deploy", bundle.folder, "--board", "loopback")
        write_arrays(tmp_path / "inputs.npz", {sound: np.linspace(-1, 1, FRAMES * HOP, dtype=np.float32)})
        tonearm("render", bundle.folder, "--board", "loopback", "--input", "inputs.npz", "-o", "out.npz")
        assert np.allclose(read_arrays(tmp_path / "out.npz")[audio], wanted(), atol=1e-6)
