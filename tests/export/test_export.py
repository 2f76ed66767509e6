"""An exported bundle is whole, explains itself and computes what the module computes; else there is none."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from places import ROOT
from tonearm.export.errors import ExportError, GraphError, VerifyError
from tonearm.export.simplify import simplify
from tonearm.export.streaming import Signals, StreamingModule, step
from tonearm.export.write import Export, export_bundle
from tonearm.runtime.bundle import Bundle, Provenance, read_bundle
from tonearm.runtime.parity import TOLERANCE, check_parity
from tonearm.runtime.stream import Stream
from torch import Tensor

HOP = 4


class OnePole(StreamingModule):
    """`y[t] = y[t-1] / 2 + x[t]` a frame, and each frame's value times `shape`: small, and exported in a second."""

    sample_rate = 400
    hop = HOP
    latency = 0
    inputs: Mapping[str, int] = {"level": 1}
    outputs: Mapping[str, int] = {"audio": HOP}

    def __init__(self) -> None:
        super().__init__()
        self.filter = torch.nn.Linear(HOP, 400)  # large enough to be stored in the weights' file
        self.shape = torch.nn.Linear(400, HOP)
        for index, parameter in enumerate(self.parameters()):
            parameter.data = torch.linspace(-0.1, 0.3 + index, parameter.numel()).reshape(parameter.shape)

    def zero_states(self, batch: int = 1) -> Signals:
        return {"memory": torch.zeros(batch, 1, 1)}

    def example(self, frames: int) -> Signals:
        return {"level": torch.cos(torch.arange(frames) * 0.37).reshape(1, frames, 1)}

    def smooth(self, level: Tensor, memory: Tensor) -> Tensor:
        smoothed = []
        for frame in level.split(1, 1):
            memory = memory / 2 + frame
            smoothed.append(memory)
        return torch.cat(smoothed, 1)

    def forward(self, level: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        smoothed = self.smooth(level, memory)
        return self.shape(torch.tanh(self.filter(smoothed.expand(-1, -1, HOP)))), smoothed[:, -1:]


class WeighsNothing(OnePole):
    """No tensor is large enough for the weights' file."""

    def __init__(self) -> None:
        StreamingModule.__init__(self)

    def forward(self, level: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        smoothed = self.smooth(level, memory)
        return smoothed.expand(-1, -1, HOP), smoothed[:, -1:]


class Counts(OnePole):
    """Every second frame is silent, and all before the level first falls; a counter and a switch are its states."""

    def zero_states(self, batch: int = 1) -> Signals:
        return {"frames": torch.zeros(batch, dtype=torch.int64), "awake": torch.zeros(batch, 1, 1, dtype=torch.bool)}

    def forward(self, level: Tensor, memory: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        frames, awake = memory, *others
        odd = (frames[:, None, None] + torch.arange(level.shape[1])[:, None]) % 2 == 1
        heard = torch.cat([awake, level < 0], 1).int().cumsum(1)[:, 1:] > 0
        return (level * (heard & odd)).expand(-1, -1, HOP), frames + level.shape[1], heard[:, -1:]


class Stays(OnePole):
    """Its second output never moves."""

    outputs: Mapping[str, int] = {"audio": HOP, "gate": 1}

    def forward(self, level: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        audio, memory = super().forward(level, memory)
        return audio, level * 0 + 0.5, memory


class ShortExample(OnePole):
    """Its example is a recording, which ends."""

    def example(self, frames: int) -> Signals:
        return super().example(min(frames, 100))


class FailingExample(OnePole):
    def example(self, frames: int) -> Signals:
        if frames > 100:
            raise ValueError("the recording\nis too short")
        return super().example(frames)


class HidesItsState(OnePole):
    """Its memory is an attribute: right for a whole clip, forgotten between the blocks of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hidden", torch.zeros(1, 1, 1), persistent=False)

    def forward(self, level: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        audio, last = super().forward(level, self.hidden)
        self.hidden = last
        return audio, memory


class TracesDifferently(OnePole):
    """It is another function while it is exported."""

    def forward(self, level: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        gain = 1.01 if torch.compiler.is_exporting() else 1.0
        return super().forward(level * gain, memory)


class Undecided(OnePole):
    """What it computes depends on the data: no exporter can follow."""

    def forward(self, level: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        return super().forward(-level if level.sum() > 0 else level, memory)


def raises(graph: bytes) -> bytes:
    raise ValueError("no idea how")


def crashes(graph: bytes) -> bytes:
    os.abort()


def hangs(graph: bytes) -> bytes:
    time.sleep(60)
    return graph


def returns_no_graph(graph: bytes) -> bytes:
    return b"\xffnonsense"


def computes_something_else(graph: bytes) -> bytes:
    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(1.5), tensor.name))
    return model.SerializeToString()


def forgets_an_output(graph: bytes) -> bytes:
    model = onnx.load_from_string(graph)
    del model.graph.output[-1]
    return model.SerializeToString()


def uses_an_unknown_operator(graph: bytes) -> bytes:
    model = onnx.load_from_string(graph)
    model.graph.node[0].op_type = "Theremin"
    return model.SerializeToString()


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simplifiers above can be found by the process that runs them."""
    monkeypatch.syspath_prepend(ROOT)


def export(module: StreamingModule, folder: Path, blocks: tuple[int, ...] = (HOP, 2 * HOP), **rest: Any) -> Export:
    return export_bundle(module, "small", folder, blocks, weights=Provenance("made up"), **rest)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(OnePole(), tmp_path_factory.mktemp("small") / "bundle")


@pytest.fixture
def installed(small: Export, tmp_path: Path) -> Bundle:
    """A bundle of which a test may do as it likes, alone in its folder."""
    shutil.copytree(small.bundle.folder, tmp_path / "made" / "bundle")
    return read_bundle(tmp_path / "made" / "bundle")


def external(graph: onnx.ModelProto) -> dict[str, tuple[str, int, int]]:
    """File, offset and length of each tensor that is stored outside the graph."""
    outside = [tensor for tensor in graph.graph.initializer if tensor.external_data]
    places = {tensor.name: {entry.key: entry.value for entry in tensor.external_data} for tensor in outside}
    return {name: (at["location"], int(at["offset"]), int(at["length"])) for name, at in places.items()}


def graphs_of(bundle: Bundle) -> dict[int, onnx.ModelProto]:
    return {block: onnx.load(bundle.graph(block), load_external_data=False) for block in bundle.graphs}


def test_a_bundle_is_its_graphs_weights_golden_vectors_and_manifest(golden_bundle: Bundle) -> None:
    files = {"block-64.onnx", "block-256.onnx", "weights.bin", "golden.npz"}
    assert {path.name for path in golden_bundle.folder.iterdir()} == files | {"manifest.json"}
    assert set(golden_bundle.files) == files
    golden_bundle.check_files()


def test_the_manifest_says_what_a_player_must_know(golden_bundle: Bundle) -> None:
    facts = golden_bundle
    assert (facts.name, facts.weights, facts.precision) == ("hpn-reduced", "golden", "fp32")
    assert (facts.sample_rate, facts.hop, facts.latency) == (16_000, 64, 32)
    assert [(s.name, s.width, s.noise) for s in facts.inputs] == [
        ("f0_hz", 1, False),
        ("loudness_db", 1, False),
        ("noise", 64, True),
    ]
    assert [(s.name, s.width) for s in facts.outputs] == [("audio", 64)]
    assert facts.parameters == {"decoder": 7_510, "synth": 0, "reverb": 16_002}


def test_the_manifest_names_the_versions_it_was_made_with(golden_bundle: Bundle) -> None:
    made_with = json.loads((golden_bundle.folder / "manifest.json").read_text())["made_with"]
    assert made_with["torch"] == torch.__version__
    assert made_with["onnx"] == onnx.__version__


def test_the_golden_vectors_are_the_models_example_rendered_offline(small: Export) -> None:
    with np.load(small.bundle.folder / small.bundle.golden) as arrays:
        golden = dict(arrays)
    module, frames = OnePole(), len(golden["audio"]) // HOP
    inputs = module.example(frames)
    with torch.no_grad():
        outputs, _ = step(module, inputs, module.zero_states())
    assert np.array_equal(golden["level"], inputs["level"].numpy())
    assert np.array_equal(golden["audio"], outputs["audio"].flatten().numpy())


def test_an_export_reports_the_error_it_measured(small: Export) -> None:
    assert 0 < small.error < TOLERANCE
    assert small.unsimplified == ""


def test_weights_are_stored_once_for_all_blocks(golden_bundle: Bundle) -> None:
    content = (golden_bundle.folder / "weights.bin").read_bytes()
    stored = [set(external(graph).values()) for graph in graphs_of(golden_bundle).values()]
    places = set.union(*stored)
    tensors = [content[offset : offset + length] for _, offset, length in places]
    assert {location for location, _, _ in places} == {"weights.bin"}
    assert len(set(tensors)) == len(tensors) > 0
    assert set.intersection(*stored)  # not all: the reverb has another form for longer blocks
    assert len(content) < sum(len(tensor) for tensor in tensors) + 4096 * len(tensors)


def test_weights_lie_on_pages_and_do_not_overlap(golden_bundle: Bundle) -> None:
    places = {place for graph in graphs_of(golden_bundle).values() for place in external(graph).values()}
    end = 0
    for _, offset, length in sorted(places):
        assert offset % 4096 == 0
        assert offset >= end
        end = offset + length
    assert end == golden_bundle.files["weights.bin"].size


def test_graphs_are_valid_and_of_the_pinned_versions(golden_bundle: Bundle) -> None:
    for block, graph in graphs_of(golden_bundle).items():
        onnx.checker.check_model(golden_bundle.graph(block), full_check=True)
        assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 18)]
        assert graph.ir_version == 9


@pytest.mark.parametrize("block", [64, 256])
def test_a_graph_explains_itself(golden_bundle: Bundle, block: int) -> None:
    graph = graphs_of(golden_bundle)[block]
    facts = {entry.key: entry.value for entry in graph.metadata_props if entry.key.startswith("tonearm.")}
    states = json.loads(facts.pop("tonearm.states"))
    assert facts == {
        "tonearm.name": "hpn-reduced",
        "tonearm.sample_rate": "16000",
        "tonearm.hop": "64",
        "tonearm.block": str(block),
        "tonearm.latency": "32",
    }
    assert [value.name for value in graph.graph.input] == ["f0_hz", "loudness_db", "noise", *states]
    assert [value.name for value in graph.graph.output] == ["audio", *states.values()]
    assert list(states) == [state.name for state in golden_bundle.states]


def test_shapes_are_fixed(golden_bundle: Bundle) -> None:
    for block, graph in graphs_of(golden_bundle).items():
        shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.graph.input}
        assert shapes["noise"] == [1, block // 64, 64]
        assert {state.name: list(state.shape) for state in golden_bundle.states}.items() <= shapes.items()


def test_a_double_precision_state_stays_one(golden_bundle: Bundle, golden: dict[str, np.ndarray]) -> None:
    assert {state.name for state in golden_bundle.states if state.dtype == "float64"} == {"phase"}
    for graph in graphs_of(golden_bundle).values():
        types = {value.name: value.type.tensor_type.elem_type for value in (*graph.graph.input, *graph.graph.output)}
        assert types["phase"] == types["phase_next"] == onnx.TensorProto.DOUBLE
    stream = Stream(golden_bundle, 64)
    stream.inputs["f0_hz"][...] = golden["f0_hz"][0]
    for _ in range(3):
        stream.step()
    phase = stream.states()["phase"]
    assert phase.dtype == np.float64
    assert phase != phase.astype(np.float32)


def test_no_path_of_this_machine_travels(golden_bundle: Bundle) -> None:
    paths = [str(ROOT), sysconfig.get_path("purelib"), "site-packages", sys.prefix, str(golden_bundle.folder.parent)]
    for file in golden_bundle.folder.iterdir():
        found = [path for path in paths if path.encode() in file.read_bytes()]
        assert not found, f"{file.name} holds {found}"


@pytest.mark.parametrize(("block", "near"), [(5, 4), (6, 8), (1, 4), (0, 4), (-8, 4), (1023, 1024)])
def test_a_block_that_is_no_whole_number_of_hops_is_refused_with_one_that_is(
    tmp_path: Path, block: int, near: int
) -> None:
    with pytest.raises(ExportError, match=rf"a block of {block} samples .* hops of 4: try {near},"):
        export(OnePole(), tmp_path / "bundle", (HOP, block))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("module", "where"),
    [(HidesItsState, r"blocks of 8: .* audio .* block 1, sample 8:"), (TracesDifferently, r"audio .* block 0,")],
)
def test_a_module_that_computes_something_else_as_a_graph_is_refused(
    installed: Bundle, module: type[OnePole], where: str
) -> None:
    with pytest.raises(VerifyError, match=where):
        export(module(), installed.folder, (2 * HOP,))
    assert_untouched(installed)


def test_a_module_that_cannot_be_traced_is_refused_by_name(installed: Bundle) -> None:
    with pytest.raises(GraphError, match="torch could not export Undecided for blocks of 4"):
        export(Undecided(), installed.folder)
    assert_untouched(installed)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Stays, "output gate is 0.5 throughout the example, .*: make example() give"),
        (ShortExample, "example(512) gives {'level': (1, 100, 1)}: it must give {'level': (1, 512, 1)}"),
        (FailingExample, "example(512) raises ValueError: the recording is too short (test_export.py, line "),
    ],
)
def test_an_example_that_proves_nothing_or_ends_early_is_refused(
    installed: Bundle, module: type[OnePole], said: str
) -> None:
    with pytest.raises(ExportError, match=re.escape(said).replace(r"\.\*", ".*")):
        export(module(), installed.folder)
    assert_untouched(installed)


def test_a_counter_and_a_switch_are_states_like_others(tmp_path: Path) -> None:
    bundle = export(Counts(), tmp_path / "bundle", (3 * HOP,)).bundle
    assert {state.name: (state.shape, state.dtype) for state in bundle.states} == {
        "frames": ((1,), "int64"),
        "awake": ((1, 1, 1), "bool"),
    }
    stream = Stream(bundle, 3 * HOP)
    stream.inputs["level"][...] = -1
    stream.step()
    stream.step()
    assert {name: state.item() for name, state in stream.states().items()} == {"frames": 6, "awake": True}
    assert stream.outputs["audio"][0, :, 0].tolist() == [-1, 0, -1]


def assert_untouched(bundle: Bundle) -> None:
    """The bundle is the one it was, and nothing else lies beside it."""
    assert [path.name for path in bundle.folder.parent.iterdir()] == [bundle.folder.name]
    now = read_bundle(bundle.folder)
    now.check_files()
    assert now.digest == bundle.digest


@pytest.mark.parametrize("moment", ["trace", "simplify", "verify"])
def test_ctrl_c_leaves_the_old_bundle_and_nothing_else(installed: Bundle, moment: str) -> None:
    def interrupt(text: str, done: int, total: int) -> None:
        if text.startswith(moment):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(OnePole(), installed.folder, (HOP,), progress=interrupt)
    assert_untouched(installed)


def test_an_export_replaces_the_bundle_that_was_there(installed: Bundle) -> None:
    heard: list[tuple[str, int, int]] = []
    new = export(OnePole(), installed.folder, (3 * HOP,), progress=lambda *now: heard.append(now)).bundle
    assert set(new.graphs) == {3 * HOP}
    assert {path.name for path in new.folder.iterdir()} == {*new.files, "manifest.json"}
    assert [path.name for path in new.folder.parent.iterdir()] == [new.folder.name]
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
    assert heard[-1][1] == heard[-1][2]


def test_an_export_repeats_bit_for_bit(small: Export, tmp_path: Path) -> None:
    assert export(OnePole(), tmp_path / "again").bundle.digest == small.bundle.digest


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="documents"):
        export(OnePole(), folder, (HOP,))
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_manifest_does_not_make_a_folder_of_something_else_a_bundle(small: Export, tmp_path: Path) -> None:
    for name, manifest in (("app", "{}"), ("site", (small.bundle.folder / "manifest.json").read_text())):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "manifest.json").write_text(manifest)
        (folder / "index.html").write_text("hello")
        with pytest.raises(ExportError, match="is not a bundle"):
            export(OnePole(), folder, (HOP,))
        assert (folder / "index.html").read_text() == "hello"


def test_a_model_without_large_tensors_is_exported(tmp_path: Path) -> None:
    assert export(WeighsNothing(), tmp_path / "bundle", (HOP,)).error < TOLERANCE


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("simplifier", "reason"),
    [
        (raises, "the simplifier failed: no idea how"),
        (crashes, "the simplifier crashed"),
        (returns_no_graph, "the simplifier failed: "),
        (computes_something_else, "the simplifier changed the result: .* output audio is wrong from block 0,"),
        (forgets_an_output, "the simplifier"),
        (uses_an_unknown_operator, "the simplifier"),
    ],
)
def test_without_a_good_simplifier_the_plain_graph_is_verified_and_the_reason_kept(
    tmp_path: Path, simplifier: Any, reason: str
) -> None:
    done = export(OnePole(), tmp_path / "bundle", (HOP,), simplifier=simplifier)
    assert re.match(reason, done.unsimplified)
    assert done.error < TOLERANCE
    manifest = json.loads((done.bundle.folder / "manifest.json").read_text())
    assert manifest["unsimplified"] == done.unsimplified
    with np.load(done.bundle.folder / done.bundle.golden) as golden:
        assert check_parity(Stream(done.bundle, HOP), dict(golden))["error"] < TOLERANCE


@pytest.mark.usefixtures("importable")
def test_a_simplifier_that_hangs_is_left_at_the_deadline(small: Export) -> None:
    graphs = graphs_of(small.bundle)
    assert simplify(graphs, hangs, 0.5) == (graphs, "the simplifier did not end within 0.5 s")


SCRIPT = """
import onnx.parser
from tonearm.export.simplify import simplify

print("runs")
graph = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) {y = Neg(x)}')
print(simplify({64: graph})[1] or "simplified")
"""


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["runs", "simplified"]
