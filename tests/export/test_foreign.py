"""A graph made elsewhere streams from its bundle as it does on its own, or is refused with what to say."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tonearm.bench.bundles import ensure_bundle
from tonearm.bench.errors import BenchError
from tonearm.export.errors import ExportError, ForeignError, GraphError
from tonearm.export.foreign.convert import Import, import_graph
from tonearm.runtime.bundle import Bundle, read_bundle
from tonearm.runtime.clip import read_arrays
from tonearm.runtime.parity import TOLERANCE, check_parity, full_scale_error
from tonearm.runtime.stream import Stream

FRAMES = 100
Save = Callable[..., Path]
VAD = {"constants": {"sr": "16000"}, "dims": {"batch": 1}}
DENOISER = """
    denoiser (float[1, 257, 1, 2] mix, float[4, 8] A, float[4, 8] B)
        => (float[1, 257, 1, 2] enh, float[4, 8] C, float[4, 8] D)
    {
        level = ReduceMean <keepdims = 0> (mix)
        peak = ReduceMax <keepdims = 0> (mix)
        most = Mul(A, decay)
        C = Add(most, level)
        D = Sub(peak, B)
        gain = Sub(C, D)
        one = ReduceMean <keepdims = 0> (gain)
        enh = Mul(mix, one)
    }"""


@pytest.fixture
def denoiser(save_graph: Save, tmp_path: Path) -> Callable[[Sequence[str]], Path]:
    """A denoiser of spectra with two caches of one shape: their names going in, and coming back."""

    def save(names: Sequence[str]) -> Path:
        called = dict(zip("ABCD", names, strict=True))
        text = re.sub(r"\b[ABCD]\b", lambda found: called[found[0]], DENOISER)
        return save_graph(tmp_path / "denoiser.onnx", text, decay=np.array(0.9, np.float32))

    return save


def bring(path: Path, folder: Path, **how: Any) -> Import:
    return import_graph(path, "own", folder, **{"sample_rate": 16_000, **how})


def by_hand(
    path: Path, signals: dict[str, np.ndarray], states: dict[str, str], **constants: np.ndarray
) -> dict[str, np.ndarray]:
    """The original file, called in a loop as its maker would: all outputs of all calls, `(calls, ...)` each."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    memory = {name: session_zero(session, name) for name in states}
    heard: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for call in range(len(next(iter(signals.values())))):
        blocks = {name: value[call] for name, value in signals.items()}
        results = dict(zip(names, session.run(None, {**constants, **blocks, **memory}), strict=True))
        memory = {name: results[output] for name, output in states.items()}
        for name in names:
            heard[name].append(np.asarray(results[name]))
    return {name: np.stack(values) for name, values in heard.items()}


def session_zero(session: Any, name: str) -> np.ndarray:
    """Zeros for an input; what is symbolic is 1."""
    (node,) = (node for node in session.get_inputs() if node.name == name)
    return np.zeros([size if isinstance(size, int) else 1 for size in node.shape], np.float32)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, shape).astype(np.float32)


def streamed(bundle: Bundle, **signals: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of a bundle for signals of `FRAMES` blocks, flat."""
    return Stream(bundle, bundle.hop).render({name: v.reshape(1, FRAMES, -1) for name, v in signals.items()})


@pytest.fixture(scope="module")
def imported_amp(amp: Path, tmp_path_factory: pytest.TempPathFactory) -> Import:
    return bring(amp, tmp_path_factory.mktemp("bundles") / "amp")


@pytest.mark.parametrize("states", [None, {"h_in": "h_out"}])
def test_an_amplifier_streams_as_its_graph_called_in_a_loop(
    amp: Path, tmp_path: Path, states: dict[str, str] | None
) -> None:
    done = bring(amp, tmp_path / "amp", states=states)
    audio = noise(FRAMES, 1, 64)
    wanted = by_hand(amp, {"audio_in": audio}, {"h_in": "h_out"})
    assert np.max(np.abs(streamed(done.bundle, audio_in=audio)["audio_out"] - wanted["audio_out"].ravel())) < 1e-6
    assert done.error < 1e-6
    assert str(done.plan) == ("state h_in -> h_out (1, 1, 8)\naudio_in (1, 64) -> audio_out (1, 64): 64 samples a call")


def test_a_stream_that_forgets_its_state_is_another_and_would_be_noticed(amp: Path, imported_amp: Import) -> None:
    audio = noise(FRAMES, 1, 64)
    got = streamed(imported_amp.bundle, audio_in=audio)["audio_out"]
    kept = by_hand(amp, {"audio_in": audio[:3]}, {"h_in": "h_out"})["audio_out"]
    alone = [by_hand(amp, {"audio_in": audio[[call]]}, {"h_in": "h_out"})["audio_out"] for call in range(3)]
    assert full_scale_error(kept.ravel(), got[: 3 * 64]) < 1e-6
    assert full_scale_error(np.ravel(alone), got[: 3 * 64]) > 100 * TOLERANCE


def test_a_detector_streams_with_its_constant_and_its_size_fixed(vad: Path, tmp_path: Path) -> None:
    done = bring(vad, tmp_path / "vad", **VAD)
    audio = noise(FRAMES, 1, 512)
    for rate, same in ((16_000, True), (8_000, False)):
        wanted = by_hand(vad, {"input": audio}, {"state": "stateN"}, sr=np.array(rate))["output"].ravel()
        got = streamed(done.bundle, input=audio)["output"]
        assert got.shape == (FRAMES,)
        assert (full_scale_error(wanted, got) < 1e-6) is same
    bundle = done.bundle
    assert (bundle.hop, list(bundle.graphs), bundle.latency) == (512, [512], 0)
    assert [(s.name, s.width) for s in (*bundle.inputs, *bundle.outputs)] == [("input", 512), ("output", 1)]
    assert [(s.name, s.shape, s.dtype) for s in bundle.states] == [("state", (2, 1, 128), "float32")]


@pytest.mark.parametrize("states", [{"A": "C", "B": "D"}, {"A": "D", "B": "C"}])
def test_caches_of_one_shape_go_where_they_are_said_to(
    denoiser: Callable[[Sequence[str]], Path], tmp_path: Path, states: dict[str, str]
) -> None:
    path = denoiser("ABCD")
    done = bring(path, tmp_path / "bundle", states=states, hop=256)
    spectra = noise(FRAMES, 1, 257, 1, 2)
    right, wrong = (
        by_hand(path, {"mix": spectra}, pairs)["enh"].ravel()
        for pairs in (states, {"A": states["B"]} | {"B": states["A"]})
    )
    got = streamed(done.bundle, mix=spectra)["enh"]
    assert full_scale_error(right, got) < 1e-6
    assert full_scale_error(wrong, got) > 100 * TOLERANCE


def test_caches_of_one_shape_are_told_apart_by_their_names(
    denoiser: Callable[[Sequence[str]], Path], tmp_path: Path
) -> None:
    path = denoiser(["conv_cache", "tra_cache", "conv_cache_out", "tra_cache_out"])
    done = bring(path, tmp_path / "bundle", hop=256)
    assert {s.name: o for s, o in done.plan.states.items()} == {
        "conv_cache": "conv_cache_out",
        "tra_cache": "tra_cache_out",
    }


@pytest.mark.parametrize("names", ["ABCD", ["cache", "prev_cache", "cache_out", "new_cache"], ["x1", "x2", "y1", "y2"]])
def test_caches_that_are_not_told_apart_are_refused_with_the_option_to_give(
    denoiser: Callable[[Sequence[str]], Path], tmp_path: Path, names: list[str]
) -> None:
    path = denoiser(names)
    a, b, c, d = names
    said = rf"not clear.*{a} -> {c} or {d}, {b} -> {c} or {d}.*--state (mix=enh )?{a}={c} {b}={d} \(or --state none\)"
    with pytest.raises(ForeignError, match=said):
        bring(path, tmp_path / "bundle", hop=256)
    assert not (tmp_path / "bundle").exists()


def test_a_bundles_own_graph_can_be_brought_in_again(golden_bundle: Bundle, tmp_path: Path) -> None:
    done = bring(golden_bundle.graph(64), tmp_path / "again", latency=32)
    again = done.bundle
    assert (again.hop, again.latency, again.inputs[:2], again.states) == (
        64, 32, golden_bundle.inputs[:2], golden_bundle.states
    )  # fmt: skip
    golden = read_arrays(golden_bundle.folder / golden_bundle.golden)
    assert check_parity(Stream(again, 64), golden)["error"] < TOLERANCE


STATES = """
    counter (float[4] x, float16[4] tone, double d, int64[1] n, int32 m, bool[2] b, float16[1, 3] g)
        => (float[4] sound, float16[4] level, double d_next, int64[1] n_next, int32 m_next,
            bool[2] b_next, float16[1, 3] g_next)
    {
        d_next = Add(d, dd)
        n_next = Add(n, nn)
        m_next = Sub(m, mm)
        b_next = Not(b)
        g_next = Add(g, gg)
        a1 = Cast <to = 1> (d_next)
        a2 = Cast <to = 1> (n_next)
        a3 = Cast <to = 1> (m_next)
        a4 = Cast <to = 1> (b_next)
        a5 = Cast <to = 1> (g_next)
        s2 = Add(a1, a2)
        s3 = Add(s2, a3)
        s4 = ReduceSum <keepdims = 0> (a4)
        s5 = ReduceSum <keepdims = 0> (a5)
        s6 = Add(s3, s4)
        s7 = Add(s6, s5)
        sound = Add(x, s7)
        level = Add(tone, tone)
    }"""


def test_states_of_every_type_are_carried(save_graph: Save, tmp_path: Path) -> None:
    path = save_graph(
        tmp_path / "counter.onnx",
        STATES,
        dd=np.array(0.125),
        nn=np.array([3]),
        mm=np.array(1, np.int32),
        gg=np.ones((1, 3), np.float16),
    )
    names = ("d", "n", "m", "b", "g")
    done = bring(path, tmp_path / "bundle", states={name: f"{name}_next" for name in names})
    dtypes = {state.name: state.dtype for state in done.bundle.states}
    assert dtypes == {"d": "float64", "n": "int64", "m": "int32", "b": "bool", "g": "float16"}
    stream = Stream(done.bundle, 4)
    stream.inputs["tone"][...] = 0.25
    for call in range(1, 6):
        stream.step()
        bits = 2 * (call % 2)
        assert stream.outputs["sound"].ravel().tolist() == [(0.125 + 3 - 1 + 3) * call + bits] * 4
        assert stream.outputs["level"].ravel().tolist() == [0.5] * 4


def test_the_latency_is_taken_off_in_values_of_each_output(save_graph: Save, tmp_path: Path) -> None:
    text = """
    late (float[1, 4] audio, float[1, 4] prev_block) => (float[1, 4] out, float[1, 2] level, float[1, 4] block) {
        out = Identity(prev_block)
        block = Identity(audio)
        level = Slice(prev_block, start, end, axis)
    }"""
    path = save_graph(tmp_path / "late.onnx", text, start=np.array([0]), end=np.array([2]), axis=np.array([1]))
    done = bring(path, tmp_path / "late", latency=4)
    audio = noise(FRAMES, 4)
    got = streamed(done.bundle, audio=audio)
    assert np.array_equal(got["out"], audio.ravel())
    assert np.array_equal(got["level"], audio[:, :2].ravel())
    with pytest.raises(ForeignError, match=r"output level: a latency of 3 samples is not a whole number of values"):
        bring(path, tmp_path / "late", latency=3)


def test_a_wrong_sample_of_a_narrow_output_is_reported_with_its_block(vad: Path, tmp_path: Path) -> None:
    bundle = bring(vad, tmp_path / "vad", **VAD).bundle
    golden = read_arrays(bundle.folder / bundle.golden)
    golden["output"][7] += 0.5
    with pytest.raises(Exception, match="output output is wrong from block 7, sample 7"):
        check_parity(Stream(bundle, 512), golden)


def test_the_bundle_says_where_it_comes_from(amp: Path, imported_amp: Import) -> None:
    bundle = imported_amp.bundle
    bundle.check_files()
    assert re.fullmatch(r"imported from amp\.onnx, sha256 [0-9a-f]{16}", bundle.weights)
    weights = [t for t in onnx.load(amp).graph.initializer if t.data_type == TensorProto.FLOAT]
    assert bundle.parameters == {"graph": sum(int(np.prod(t.dims)) for t in weights)}
    assert (bundle.name, bundle.sample_rate, bundle.hop, bundle.precision) == ("own", 16_000, 64, "fp32")
    model = onnx.load(bundle.graph(64))
    onnx.checker.check_model(model, full_check=True)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["tonearm.states"]) == {"h_in": "h_in_next"}
    assert facts["tonearm.hop"] == facts["tonearm.block"] == "64"


def test_an_import_repeats_bit_for_bit(amp: Path, imported_amp: Import, tmp_path: Path) -> None:
    assert bring(amp, tmp_path / "again").bundle.digest == imported_amp.bundle.digest


def test_the_golden_clip_is_loud_and_silent_and_within_full_scale(imported_amp: Import) -> None:
    clip = read_arrays(imported_amp.bundle.folder / imported_amp.bundle.golden)["audio_in"]
    assert 0.5 < np.max(np.abs(clip)) <= 1
    silent = ~clip[0].any(axis=1)
    assert FRAMES < silent.sum() < len(silent) / 2


def test_a_format_too_new_for_its_operators_is_lowered(amp: Path, tmp_path: Path) -> None:
    model = onnx.load(amp)
    model.ir_version = 11
    onnx.save(model, tmp_path / "new.onnx")
    assert onnx.load(bring(tmp_path / "new.onnx", tmp_path / "bundle").bundle.graph(64)).ir_version == 9


def test_external_data_is_read_from_beside_the_graph(amp: Path, imported_amp: Import, tmp_path: Path) -> None:
    onnx.save(onnx.load(amp), tmp_path / "amp.onnx", save_as_external_data=True, location="amp.data", size_threshold=60)
    assert (tmp_path / "amp.data").stat().st_size > 1000
    bundle = bring(tmp_path / "amp.onnx", tmp_path / "bundle").bundle
    audio = noise(FRAMES, 64)
    wanted = streamed(imported_amp.bundle, audio_in=audio)["audio_out"]
    assert np.array_equal(streamed(bundle, audio_in=audio)["audio_out"], wanted)


@pytest.mark.parametrize("place", ["../amp.data", "{absolute}", "gone.data"])
def test_external_data_from_elsewhere_is_refused(amp: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "amp.data").write_bytes(bytes(4096))
    (tmp_path / "in").mkdir()
    model = onnx.load(amp)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place.format(absolute=tmp_path / "amp.data"))
    (tmp_path / "in" / "amp.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(GraphError, match=r"amp\.onnx is not an ONNX graph, or not a whole one: .*amp\.data|gone\.data"):
        bring(tmp_path / "in" / "amp.onnx", tmp_path / "bundle")


def test_what_is_no_bundle_is_not_replaced_and_a_bundle_is(amp: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="own exists and is not a bundle"):
        bring(amp, tmp_path / "own")
    assert (tmp_path / "own" / "thesis.txt").read_text() == "years of work"
    first = bring(amp, tmp_path / "other").bundle
    assert bring(amp, tmp_path / "other", latency=64).bundle.digest != first.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "other", "own"]


def test_an_imported_bundle_is_used_as_it_is(imported_amp: Import, tmp_path: Path) -> None:
    folder = tmp_path / "bundles" / "amp"
    shutil.copytree(imported_amp.bundle.folder, folder)
    for what in (str(folder), "amp"):
        bundle, line = ensure_bundle(what, lambda text, done, total: None, [64], folder.parent)
        assert (bundle.digest, bundle.weights in line) == (imported_amp.bundle.digest, True)


def test_an_imported_bundle_is_never_taken_for_a_model(imported_amp: Import, tmp_path: Path) -> None:
    folder = tmp_path / "bundles" / "hpn-reduced"
    shutil.copytree(imported_amp.bundle.folder, folder)
    with pytest.raises(BenchError, match=r"holds .*, not hpn-reduced: name the folder, or move it away"):
        ensure_bundle("hpn-reduced", lambda text, done, total: None, [64], folder.parent)
    assert read_bundle(folder).digest == imported_amp.bundle.digest


def test_a_state_with_a_value_of_its_own_is_a_state_like_others_if_that_is_zero(tmp_path: Path) -> None:
    for begins in (0.0, 1.0):
        nodes = [helper.make_node("Add", ["audio", "h"], ["out"]), helper.make_node("Identity", ["out"], ["hn"])]
        signals = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16])
            for name in ("audio", "h", "out", "hn")
        }
        default = numpy_helper.from_array(np.full((1, 16), begins, np.float32), "h")
        graph = helper.make_graph(
            nodes, "sum", [signals["audio"], signals["h"]], [signals["out"], signals["hn"]], [default]
        )
        path = tmp_path / f"begins-{begins:g}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    done = import_graph(tmp_path / "begins-0.onnx", "sum", tmp_path / "sum", sample_rate=16_000)
    assert [(state.name, output) for state, output in done.plan.states.items()] == [("h", "hn")]
    with pytest.raises(ForeignError, match="state h begins with other values than zeros"):
        import_graph(tmp_path / "begins-1.onnx", "sum", tmp_path / "sum", sample_rate=16_000, states={"h": "hn"})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, r"shapes must be fixed, and batch is not: give the sizes, --dim batch=1"),
        ({"dims": {"batch": 1}}, r"input sr \(\) int64 is neither a signal nor a state: .*--set sr=VALUE"),
        ({**VAD, "dims": {"batch": 1, "time": 9}}, r"--dim time: the graph has no such name, only batch"),
        ({**VAD, "constants": {"rate": "1"}}, r"--set rate: the graph has no such name, only input, state, sr"),
        ({**VAD, "constants": {"sr": "fast"}}, r"--set sr=fast: the graph takes int64 of shape \(\) there"),
        ({**VAD, "constants": {"sr": "1.5"}}, r"--set sr=1.5: the graph takes int64"),
        ({**VAD, "constants": {"sr": "1,2"}}, r"--set sr=1,2: the graph takes int64"),
        ({**VAD, "dims": {"batch": 2}}, r"how many samples a call takes is not clear.*input \(2, 512\).*--hop 256"),
        ({**VAD, "states": {"h": "stateN"}}, r"--state h: the graph has no such name, only input, state"),
        ({**VAD, "states": {"state": "hn"}}, r"--state state=hn: the outputs are output, stateN"),
        ({**VAD, "states": {"state": "output"}}, r"state \(2, 1, 128\) can't take what output \(1, 1\) gives"),
        ({**VAD, "states": {}}, r"how many samples a call takes is not clear"),
        ({**VAD, "latency": 100}, r"output output: a latency of 100 samples is not a whole number"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(vad: Path, tmp_path: Path, how: dict[str, Any], said: str) -> None:
    with pytest.raises(ForeignError, match=said):
        bring(vad, tmp_path / "bundle", **how)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("g (float[1, 9] a, float[1, 5] b) => (float[1, 4] y) { y = Constant <value_floats = [1.0]> () }", "--hop 256"),
        ("g (float[1, 257] a) => (float[1, 257] y) { y = Relu(a) }", "--hop 256"),
        ("g (float[1, 1] f0) => (float[1, 4] y) { s = Constant <value_ints = [1, 4]> () y = Expand(f0, s) }", "--hop"),
        ("g (float[1, 4] prev_h) => (float[1, 4] h) { h = Relu(prev_h) }", "nothing is left to play"),
        ("g (float[1, 4] a) => (float[1, 4] y) { y = Theremin(a) }", "does not load .*Theremin"),
        ('<opset_import: ["": 17, "own": 1]> g (float[1, 4] a) => (float[1, 4] y) { y = own.Theremin(a) }', "Theremin"),
        ("g (int64[4] a) => (int64[4] y) { y = Abs(a) }", r"input a \(4,\) int64 is neither"),
        ("g (string[4] a) => (string[4] y) { y = Identity(a) }", r"input a \(4,\) str is neither"),
        ("g (seq(float[4]) a) => (seq(float[4]) y) { y = Identity(a) }", "input a is not a tensor with a shape"),
        ("g (float[4] a) => (seq(float[4]) y) { y = SequenceConstruct(a) }", "output y is not a tensor of numbers"),
        ("g (float[4, ?] a) => (float[4, ?] y) { y = Relu(a) }", "a:1 is not: give the sizes, --dim a:1=1"),
        ("g (float[4] a) => (float[4] y) { z = Sub(a, a) y = Div(a, z) }", "not always a finite number"),
        ("g (float[4] a) => (float[4] y) { y = RandomNormalLike(a) }", "the original own.onnx differ"),
    ],
)  # fmt: skip
def test_a_graph_that_can_not_be_streamed_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    header = "" if text.startswith("<") else '<ir_version: 8, opset_import: ["": 17]>'
    text = text.replace("<opset", "<ir_version: 8, opset")
    (tmp_path / "own.onnx").write_bytes(onnx.parser.parse_model(header + text).SerializeToString())
    with pytest.raises(ExportError, match=said):
        bring(tmp_path / "own.onnx", tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "own.onnx"]


@pytest.mark.parametrize("content", [b"", b"plain text\n" * 100, b"\x08\x09", b"\xff" * 100, None])
def test_a_file_that_is_no_graph_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "own.onnx"
    path.mkdir() if content is None else path.write_bytes(content)
    said = "own.onnx is a folder" if content is None else r"own\.onnx is not an ONNX graph"
    with pytest.raises(GraphError, match=said):
        bring(path, tmp_path / "bundle")
    with pytest.raises(GraphError, match=r"there is no file .*gone\.onnx"):
        bring(tmp_path / "gone.onnx", tmp_path / "bundle")


def test_a_name_that_is_no_file_name_is_refused(amp: Path, tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=r"'\.\./own' can't be a bundle's name"):
        import_graph(amp, "../own", tmp_path / "bundle", sample_rate=16_000)


def test_names_inside_the_graph_never_meet_those_at_its_edges(save_graph: Save, tmp_path: Path) -> None:
    text = """
    clash (float[1, 4] a, float[1, 4] h) => (float[1, 4] y, float[1, 4] hn) {
        h_next = Add(a, h)
        a_inside = Tanh(h_next)
        y_inside_shape = Neg(a_inside)
        hn = Sub(y_inside_shape, a)
        y = Add(hn, h_next)
    }"""
    path = save_graph(tmp_path / "clash.onnx", text)
    done = bring(path, tmp_path / "bundle", states={"h": "hn"})
    audio = noise(FRAMES, 1, 4)
    wanted = by_hand(path, {"a": audio}, {"h": "hn"})["y"].ravel()
    assert full_scale_error(wanted, streamed(done.bundle, a=audio)["y"]) < 1e-6


def test_an_initializer_among_the_inputs_is_no_input(amp: Path, tmp_path: Path) -> None:
    model = onnx.load(amp)
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, tmp_path / "old.onnx")
    bundle = bring(tmp_path / "old.onnx", tmp_path / "bundle").bundle
    assert [signal.name for signal in bundle.inputs] == ["audio_in"]
