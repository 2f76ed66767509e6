"""A bundle of each family streams as its model does, whatever is played to it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import GOLDEN
from streams import HOP, clips, full_scale_error
from tonearm.bench.stats.node_parts import part_of
from tonearm.export.streaming import Signals, render
from tonearm.export.write import export_bundle
from tonearm.models.catalogue import load
from tonearm.models.families.family import Family
from tonearm.runtime.bundle import Bundle, Provenance
from tonearm.runtime.clip import check_signals
from tonearm.runtime.errors import SignalError
from tonearm.runtime.profile import profile
from tonearm.runtime.stream import Stream

FRAMES = 24
BLOCKS = (64, 320)  # samples: one for each form of the reverb
MADE = [("hpn-reduced", {}), ("ddx7-reduced-trumpet", {}), ("wavetable-reduced", {}), ("hpn-reduced", {"causal": True})]
PARTS = {"hpn": {"decoder", "synth", "noise", "reverb"}, "ddx7": {"decoder", "synth", "reverb"}}
PARTS["wavetable"] = PARTS["hpn"]
# The operators with a decoder's weights: all heads are one product, a DDX7 block has two convolutions or three.
PRODUCTS = {"hpn": {"Gemm": 10, "GRU": 1}, "wavetable": {"Gemm": 10, "GRU": 1}, "ddx7": {"Conv": 8}}


@pytest.fixture(scope="module", params=MADE, ids=str)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Family, Bundle]:
    name, options = request.param
    module = load(name, GOLDEN / f"{name}.pt", **options)
    return module, export_bundle(
        module, name, tmp_path_factory.mktemp("made") / name, BLOCKS, weights=Provenance("golden")
    ).bundle


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(inputs=clips(FRAMES), block=st.sampled_from(BLOCKS))
def test_a_bundle_streams_whatever_is_played(exported: tuple[Family, Bundle], inputs: Signals, block: int) -> None:
    module, bundle = exported
    taken = {name: inputs[name][:1] for name in module.inputs}
    wanted = render(module, taken)["audio"][0]
    got = Stream(bundle, block).render({name: value.numpy() for name, value in taken.items()})["audio"]
    assert full_scale_error(wanted, got) < 1e-4


@pytest.mark.parametrize("control", ["f0_hz", "loudness_db"])
@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_control_that_is_no_number_is_refused(exported: tuple[Family, Bundle], control: str, odd: float) -> None:
    module, bundle = exported
    inputs = {name: value.numpy().copy() for name, value in module.example(FRAMES).items()}
    inputs[control][0, 7] = odd
    with pytest.raises(SignalError, match=f"{control} is not a finite number at frame 7"):
        check_signals(bundle, inputs)


def test_a_bundles_sound_begins_after_the_latency_that_it_declares(exported: tuple[Family, Bundle]) -> None:
    module, bundle = exported
    assert bundle.latency == module.latency
    stream, inputs = Stream(bundle, HOP), module.example(30)
    inputs["loudness_db"][:] = -10.0
    sounds = []
    for frame in range(30):
        for name, buffer in stream.inputs.items():
            buffer[...] = inputs[name][:, frame : frame + 1].numpy()
        stream.step()
        sounds.append(torch.from_numpy(stream.outputs["audio"].copy()))
    silent = int(torch.cat(sounds).flatten().abs().gt(1e-6).nonzero()[0])
    assert bundle.latency <= silent < bundle.latency + 4


def family_of(bundle: Bundle) -> str:
    return bundle.name.split("-")[0]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_node_of_a_graph_says_what_part_it_belongs_to(exported: tuple[Family, Bundle], block: int) -> None:
    _, bundle = exported
    nodes = onnx.load(bundle.graph(block), load_external_data=False).graph.node
    assert {part_of(node.name) for node in nodes} == PARTS[family_of(bundle)]
    assert len({node.name for node in nodes}) == len(nodes)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_operators_with_a_decoders_weights_belong_to_the_decoder(
    exported: tuple[Family, Bundle], block: int
) -> None:
    _, bundle = exported
    nodes = onnx.load(bundle.graph(block), load_external_data=False).graph.node
    found = Counter(node.op_type for node in nodes if part_of(node.name) == "decoder")
    wanted = PRODUCTS[family_of(bundle)]
    assert {op: found[op] for op in ("Gemm", "GRU", "Conv", "MatMul") if found[op]} == wanted
    for node in nodes:
        owners = {name.split(".")[0] for name in node.input if name.startswith(("decoder.", "synth."))}
        assert not owners or ("decoder" in owners) == (part_of(node.name) == "decoder")


@pytest.mark.parametrize("block", BLOCKS)
def test_every_node_that_onnx_runtime_runs_is_known_to_a_part(
    exported: tuple[Family, Bundle], block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, bundle = exported
    monkeypatch.chdir(tmp_path)
    clip: dict[str, np.ndarray] = {name: value.numpy() for name, value in module.example(FRAMES).items()}
    nodes = profile(bundle, clip, block, threads=1, steps=2)["nodes"]
    assert {part_of(node["name"]) for node in nodes} == PARTS[family_of(bundle)]
    assert not list(tmp_path.glob("profile*"))
