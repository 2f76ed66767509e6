"""Nodes are named after the module that computes them, and nothing else of a graph changes."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx.parser
import pytest
import torch
from tonearm.bench.stats.node_parts import part_of
from tonearm.export.graph import trace
from tonearm.export.names import name_nodes
from tonearm.export.streaming import Signals, StreamingModule
from tonearm.export.write import export_bundle
from tonearm.runtime.bundle import Bundle, Provenance
from torch import Tensor, nn

HOP = 4
BLOCK = 2 * HOP


class Amp(StreamingModule):
    """A person's own module: two modules in a third one, and something computed in none."""

    sample_rate, hop, latency = 400, HOP, 0
    inputs: Mapping[str, int] = {"audio_in": HOP}
    outputs: Mapping[str, int] = {"audio": HOP}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        drive = nn.Sequential(nn.Linear(HOP, 16), nn.LeakyReLU())
        self.stages = nn.ModuleDict({"drive": drive, "cabinet": nn.Linear(16, HOP)})

    def zero_states(self, batch: int = 1) -> Signals:
        return {"before": torch.zeros(batch, 1, HOP)}

    def example(self, frames: int) -> Signals:
        return {"audio_in": torch.cos(torch.arange(frames * HOP) * 0.37).reshape(1, frames, HOP)}

    def forward(self, audio_in: Tensor, before: Tensor) -> tuple[Tensor, ...]:
        mixed = audio_in + torch.cat([before, audio_in], 1)[:, :-1] / 2
        return torch.sin(self.stages["cabinet"](self.stages["drive"](mixed))), audio_in[:, -1:]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """The module exported twice."""
    folders = [tmp_path_factory.mktemp("amp") / "amp" for _ in range(2)]
    return [export_bundle(Amp(), "amp", folder, [BLOCK], weights=Provenance("none")).bundle for folder in folders]


@pytest.fixture
def paths(made: list[Bundle]) -> dict[str, list[str]]:
    """Of each operator of the graph, the paths in the names of its nodes."""
    found: dict[str, list[str]] = {}
    for node in onnx.load(made[0].graph(BLOCK), load_external_data=False).graph.node:
        found.setdefault(node.op_type, []).append(node.name.rpartition("/")[0])
    return found


def test_names_begin_with_the_path_of_the_module(paths: dict[str, list[str]]) -> None:
    assert (paths["Sin"], paths["Concat"]) == (["."], ["."])
    assert paths["LeakyRelu"] == ["stages.drive.1"]


def test_what_the_simplifier_puts_in_belongs_to_the_module_of_its_weights(paths: dict[str, list[str]]) -> None:
    assert "Gemm" not in {node.op_type for node in trace(Amp(), BLOCK).graph.node}
    assert paths["Gemm"] == ["stages.drive.0", "stages.cabinet"]


def test_the_parts_of_a_persons_own_module_are_its_outermost_modules(paths: dict[str, list[str]]) -> None:
    assert {part_of(f"{path}/a") for found in paths.values() for path in found} == {"stages", "other"}


def test_a_module_exported_twice_gives_the_same_bytes(made: list[Bundle]) -> None:
    assert made[0].files == made[1].files
    assert made[0].digest == made[1].digest


def nameless() -> onnx.ModelProto:
    """Nodes as tools leave them that put some in: with a name of their own, with none, and with none to lean on."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
    g (float[4] x, float[4] w) => (float[4] y, float[4] z) {
        a = Add(x, w)
        b = Tanh(a)
        y = Sigmoid(b)
        z = Neg(x)
    }""")
    for node, name in zip(model.graph.node, ["decoder.gru/add", "node_tanh_1", "", ""], strict=True):
        node.name = name
    return model


def test_a_node_without_a_path_belongs_to_where_its_input_comes_from() -> None:
    model = nameless()
    name_nodes(model)
    names = [node.name for node in model.graph.node]
    assert names == ["decoder.gru/add", "decoder.gru/tanh_1", "decoder.gru/Sigmoid_2", "./Neg_3"]


def test_naming_changes_names_alone_and_once() -> None:
    named, twice = nameless(), nameless()
    for model in (named, twice, twice):
        name_nodes(model)
    assert named == twice
    for before, after in zip(nameless().graph.node, named.graph.node, strict=True):
        before.name = after.name
        assert before == after


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("decoder.in_mlps.0.0/linear", "decoder"),
        ("scale/clamp_1", "decoder"),
        ("synth/Slice_180/GatherSliceToSplitFusion", "synth"),
        ("synth.phase/cumsum", "synth"),
        ("synth.noise/conv1d", "noise"),
        ("synth.delay/slice_7", "noise"),
        ("synth.reverb/matmul_2", "reverb"),
        ("fused synth.reverb/matmul_2", "reverb"),
        ("synth.reverbs/matmul_2", "synth"),
        ("/synth/reverb/MatMul", "reverb"),
        ("/encoder/conv1/Conv", "encoder"),
        ("/encoder.conv1/Conv", "encoder"),
        ("./clamp", "other"),
        ("./slice_2/GatherSliceToSplitFusion", "other"),
        ("node_slice_2/GatherSliceToSplitFusion", "other"),
        ("MatMul_17", "other"),
        ("/MatMul", "other"),
        ("//", "other"),
        ("", "other"),
    ],
)
def test_a_name_tells_the_part(name: str, part: str) -> None:
    assert part_of(name) == part
