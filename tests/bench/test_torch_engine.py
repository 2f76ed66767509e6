"""A bundle's model measured uncompiled: the same sound as the graph's, the same loop, a record like a board's."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import GOLDEN
from tonearm.bench.errors import EngineError
from tonearm.bench.output.tables import markdown
from tonearm.bench.report.protocol_cells import cells
from tonearm.bench.report.protocol_tables import tables
from tonearm.bench.results.store import append, load
from tonearm.bench.sweep.plan import Plan
from tonearm.bench.sweep.run import Swept, sweep
from tonearm.bench.sweep.torch_engine import measure_here, module_of, torch_version
from tonearm.bench.sweep.torch_stream import TorchStream
from tonearm.bench.terms import BURST, DDX7, ONNXRUNTIME, TIME, TORCH
from tonearm.export.write import export_bundle
from tonearm.models import catalogue
from tonearm.runtime.bundle import Bundle, Provenance
from tonearm.runtime.clip import read_arrays, read_golden
from tonearm.runtime.parity import full_scale_error
from tonearm.runtime.progress import unwatched
from tonearm.runtime.stream import Stream

REQUEST = {"task": "measure", "mode": "burst", "block": 64, "threads": 1, "steps": 20, "warmup": 5, "floor": 7}
REQUEST |= {"telemetry": True, "samples": "samples.npz"}


@pytest.fixture(scope="module")
def fm(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An untrained DDX7 student, as `tonearm export` makes it."""
    name = "ddx7-reduced-flute4"
    folder = tmp_path_factory.mktemp("bundles") / name
    weights = catalogue.resolve(name).provenance
    return export_bundle(catalogue.load(name), name, folder, [64], weights=weights).bundle


def blocks(stream: Stream | TorchStream, signals: dict[str, np.ndarray], count: int) -> np.ndarray:
    """The first blocks that a stream gives, one after the other, as it is."""
    found = []
    for index in range(count):
        for name, buffer in stream.inputs.items():
            buffer[...] = signals[name][:, index * stream.frames : (index + 1) * stream.frames]
        stream.step()
        found.append(stream.outputs["audio"].ravel().copy())
    return np.concatenate(found)


@pytest.mark.parametrize(("name", "block"), [("hpn", 64), ("hpn", 256), ("fm", 64)])
def test_it_sounds_as_the_graph_does_sample_by_sample_and_again_after_a_reset(
    name: str, block: int, golden_bundle: Bundle, fm: Bundle
) -> None:
    bundle = golden_bundle if name == "hpn" else fm
    checkpoint = GOLDEN / "hpn-reduced.pt" if name == "hpn" else None
    stream = TorchStream(bundle, catalogue.load(bundle.name, checkpoint), block)
    signals, count = read_golden(bundle), 500 * 64 // block
    wanted = blocks(Stream(bundle, block), signals, count)
    got = blocks(stream, signals, count)
    assert full_scale_error(wanted, got) < 1e-5
    going_on = blocks(stream, signals, 20)
    assert full_scale_error(wanted[: going_on.size], going_on) > 1e-2  # the states are carried
    stream.reset()
    assert np.array_equal(blocks(stream, signals, 20), got[: going_on.size])


def test_a_fresh_process_gives_a_record_like_a_boards(fm: Bundle, tmp_path: Path) -> None:
    record, samples = measure_here(fm, REQUEST, 100)
    arrays = read_arrays(io.BytesIO(samples))
    assert arrays["step_ns"].shape == (20,)
    assert (arrays["step_ns"] > 0).all()
    assert (record["torch"], record["onnxruntime"]) == (torch_version(), "")
    assert list(record["memory"]) == ["python", "numpy", "buffers", "onnxruntime", "torch", "session", "run"]
    assert list(record["seconds"]) == ["import_numpy", "import_onnxruntime", "session"]
    assert record["denormals_flushed"]
    assert record["parity"]["error"] < 1e-5
    append(tmp_path, "a", entry(fm, record), samples)
    (row,) = load(tmp_path).cases.to_dict("records")
    assert (row["model"], row["engine"], row["onnxruntime"], row["n"]) == (fm.name, "torch", "", 20)
    assert row["model_kb"] > 0


def test_both_engines_are_measured_under_a_protocol_once_and_make_its_tables(fm: Bundle, tmp_path: Path) -> None:
    engines = (ONNXRUNTIME, TORCH)
    plan = Plan((), ("loopback",), blocks=(64,), modes=(BURST,), engines=engines, repeats=1, steps=20, output=tmp_path)
    page = replace(plan, protocol=DDX7)
    assert sweep("loopback", [fm], page, unwatched) == Swept(2, 0)
    assert sweep("loopback", [fm], page, unwatched) == Swept(0, 2)
    assert sweep("loopback", [fm], replace(plan, engines=(ONNXRUNTIME,)), unwatched) == Swept(1, 0)
    results = load(tmp_path)
    assert sorted(results.cases["protocol"]) == ["", "ddx7", "ddx7"]
    ours, beside, published = map(markdown, tables(cells(results)))
    assert ours.startswith("### The DDX7 page's protocol on loopback: ")
    assert re.search(rf"\| latency ms \| +{re.escape(fm.name)} \(67\.4k\) \|", ours)
    assert "mean and (std) of 20 renders" in ours
    assert beside.startswith(f"### The same models in eager PyTorch {torch_version()}, on loopback")
    assert re.search(r"\|  +4 \| .+ \| [\d.]+x \\\[[\d.]+, [\d.]+\\\] \|", beside)
    assert "laptop i7-6700HQ" in published


def test_a_sweep_of_what_pytorch_can_not_do_does_not_begin(golden_bundle: Bundle, tmp_path: Path) -> None:
    plan = Plan((), ("loopback",), engines=(TORCH,), output=tmp_path / "results")
    with pytest.raises(EngineError, match="can't be rebuilt"):
        sweep("loopback", [golden_bundle], plan, unwatched)
    assert not (tmp_path / "results").exists()


def entry(bundle: Bundle, record: dict[str, Any]) -> dict[str, Any]:
    """A case as a sweep records it."""
    return {
        "board": "loopback",
        "clock": TIME,
        "engine": "torch",
        "repeat": 0,
        "measured_at": 0.0,
        "facts": {"kernel": "6.1.0", "cpu": "0x41 0xd08", "hostname": "here"},
        "sample_rate": bundle.sample_rate,
        "weights": bundle.weights,
        "precision": bundle.precision,
        "parameters": bundle.parameters,
        "file_bytes": 1,
        "weight_bytes": 1,
        **dict.fromkeys(("release", "runtime", "runner"), "x/0123456789abcdef"),
        "record": record,
    }


def test_a_model_that_computes_something_else_gives_no_record(golden_bundle: Bundle) -> None:
    claimed = replace(
        golden_bundle, provenance=catalogue.resolve("hpn-reduced").provenance
    )  # random ones; they are not
    with pytest.raises(EngineError, match=r"hpn-reduced in PyTorch: .*output audio is wrong from block 0"):
        measure_here(claimed, REQUEST, 100)


def test_a_process_that_takes_too_long_is_ended(fm: Bundle) -> None:
    with pytest.raises(EngineError, match=r"took longer than 0 s and was stopped"):
        measure_here(fm, REQUEST, 0.01)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"provenance": Provenance("checkpoint mine.pt, sha256 0", "checkpoint")}, "checkpoint mine.pt"),
        ({"provenance": Provenance("trained, comes with Tonearm", "trained")}, "trained"),
        ({"name": "my_module"}, "my_module"),
        ({"precision": "int8"}, "int8"),
    ],
)
def test_what_can_not_be_made_again_is_refused(changed: dict[str, Any], said: str, fm: Bundle) -> None:
    with pytest.raises(EngineError, match=said) as refusal:
        module_of(replace(fm, **changed))
    assert "can't be rebuilt in PyTorch" in str(refusal.value)


def test_the_options_of_an_export_are_read_from_the_bundles_name(fm: Bundle) -> None:
    name = catalogue.variant_name("hpn-full", reverb=False, full_noise=True)
    bundle = replace(fm, name=name, provenance=catalogue.resolve("hpn-full").provenance)
    assert module_of(bundle) == {"name": "hpn-full", "options": {"reverb": False, "causal": False, "full_noise": True}}
