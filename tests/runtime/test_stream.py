"""A bundle streams as its model does: every block size, every state, every time."""

from __future__ import annotations

import json
import mmap
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import places
import pytest
import torch
from tonearm.export.streaming import step
from tonearm.models.catalogue import load
from tonearm.runtime.bundle import Bundle, Signal, read_bundle
from tonearm.runtime.clip import check_signals
from tonearm.runtime.errors import BundleError, SessionError, SignalError
from tonearm.runtime.memory import memory
from tonearm.runtime.parity import full_scale_error
from tonearm.runtime.stream import Stream

GOLDEN = places.GOLDEN / "hpn-reduced.pt"
BLOCKS = (64, 256)
Signals = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def signals(golden_bundle: Bundle, golden: dict[str, np.ndarray]) -> Signals:
    return check_signals(golden_bundle, {signal.name: golden[signal.name] for signal in golden_bundle.inputs})


def feed(stream: Stream, signals: Signals, index: int) -> None:
    """Block `index` of the clip through the stream."""
    for name, buffer in stream.inputs.items():
        buffer[...] = signals[name][:, index * stream.frames : (index + 1) * stream.frames]
    stream.step()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_stream_is_the_original_implementation(
    golden_bundle: Bundle, golden: dict[str, np.ndarray], signals: Signals, block: int
) -> None:
    audio = Stream(golden_bundle, block).render(signals)["audio"]
    assert audio.shape == (300 * 64,)
    assert full_scale_error(golden["out.synth_audio"][:, 0], audio) < 1e-4


@pytest.mark.parametrize("frames", [1, 3, 4, 5])
def test_a_clip_of_any_length_comes_out_as_long_as_it_went_in(
    golden_bundle: Bundle, signals: Signals, frames: int
) -> None:
    clip = {name: value[:, :frames] for name, value in signals.items()}
    heard = [Stream(golden_bundle, block).render(clip)["audio"] for block in BLOCKS]
    assert [len(audio) for audio in heard] == [frames * 64] * len(BLOCKS)
    assert full_scale_error(heard[0], heard[1]) < 1e-5


def test_a_bundle_of_noise_alone_is_told_that_a_clip_needs_a_length(golden_bundle: Bundle) -> None:
    noisy = replace(golden_bundle, inputs=(Signal("noise", 64, noise=True),))
    with pytest.raises(SignalError, match=r"hpn-reduced takes only noise, .*: give noise"):
        check_signals(noisy, {})
    assert check_signals(noisy, {"noise": np.zeros(128)})["noise"].shape == (1, 2, 64)


@pytest.mark.parametrize("block", BLOCKS)
def test_two_threads_give_the_sound_of_one(golden_bundle: Bundle, signals: Signals, block: int) -> None:
    one, two = (Stream(golden_bundle, block, threads).render(signals)["audio"] for threads in (1, 2))
    assert full_scale_error(one, two) < 1e-5


@pytest.mark.parametrize("block", BLOCKS)
def test_a_reset_stream_repeats_bit_for_bit(golden_bundle: Bundle, signals: Signals, block: int) -> None:
    stream = Stream(golden_bundle, block)
    first = stream.render(signals)["audio"]
    feed(stream, signals, 0)
    stream.reset()
    assert not any(state.any() for state in stream.states().values())
    assert np.array_equal(stream.render(signals)["audio"], first)


def test_without_a_reset_the_stream_goes_on(golden_bundle: Bundle, signals: Signals) -> None:
    stream = Stream(golden_bundle, 64)
    feed(stream, signals, 0)
    first = stream.outputs["audio"].copy()
    feed(stream, signals, 0)
    assert not np.array_equal(stream.outputs["audio"], first)


@pytest.mark.parametrize("block", BLOCKS)
def test_after_every_step_the_states_are_the_models(golden_bundle: Bundle, signals: Signals, block: int) -> None:
    module, stream = load("hpn-reduced", GOLDEN), Stream(golden_bundle, block)
    wanted = module.zero_states()
    for index in range(5):
        feed(stream, signals, index)
        inputs = {name: torch.tensor(buffer) for name, buffer in stream.inputs.items()}
        with torch.no_grad():
            _, wanted = step(module, inputs, wanted)
        for name, state in stream.states().items():
            error = full_scale_error(wanted[name].numpy(), state)
            assert error < 1e-4, f"state {name} is off by {error:.2g} of full scale after step {index}"


def test_states_are_copies_that_later_steps_leave_alone(golden_bundle: Bundle, signals: Signals) -> None:
    stream = Stream(golden_bundle, 64)
    feed(stream, signals, 0)
    states = stream.states()
    before = {name: state.copy() for name, state in states.items()}
    for index in range(1, 4):
        feed(stream, signals, index)
    assert all(np.array_equal(states[name], before[name]) for name in states)
    assert not np.array_equal(stream.states()["gru"], before["gru"])


def test_no_two_buffers_share_memory(golden_bundle: Bundle) -> None:
    stream = Stream(golden_bundle, 256)
    one, other = stream._states
    buffers = [*one, *other, *stream.inputs.values(), *stream.outputs.values()]
    assert len(one) == len(other) == len(golden_bundle.states)
    assert not any(np.shares_memory(a, b) for a, b in combinations(buffers, 2))


def test_a_step_leaves_the_states_it_read_as_they_were(golden_bundle: Bundle, signals: Signals) -> None:
    stream = Stream(golden_bundle, 64)
    for index in range(4):
        read = stream._states[index % 2]
        before = [state.copy() for state in read]
        feed(stream, signals, index)
        assert all(np.array_equal(old, now) for old, now in zip(before, read, strict=True)), f"step {index}"


def test_the_buffers_stay_the_same_arrays(golden_bundle: Bundle, signals: Signals) -> None:
    stream = Stream(golden_bundle, 64)
    audio = stream.outputs["audio"]
    stream.render(signals)
    feed(stream, signals, 50)
    assert stream.outputs["audio"] is audio
    assert audio.any()


def test_progress_is_told_to_the_end(golden_bundle: Bundle, signals: Signals) -> None:
    heard: list[tuple[int, int]] = []
    Stream(golden_bundle, 64).render(signals, lambda done, total: heard.append((done, total)))
    dones, totals = zip(*heard, strict=True)
    assert list(dones) == sorted(dones)
    assert set(totals) == {totals[0]}
    assert 0 <= dones[0] <= dones[-1] <= totals[0]


def test_a_block_without_a_graph_is_refused(golden_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no graph for blocks of 128 samples, only \[64, 256\]"):
        Stream(golden_bundle, 128)


@pytest.mark.parametrize("name", ["block-64.onnx", "weights.bin"])
@pytest.mark.parametrize("kept", [0.0, 0.1, None], ids=["emptied", "cut", "missing"])
def test_a_damaged_graph_or_weights_are_refused_by_name(
    golden_bundle: Bundle, tmp_path: Path, name: str, kept: float | None
) -> None:
    shutil.copytree(golden_bundle.folder, tmp_path / "bundle")
    path = tmp_path / "bundle" / name
    content = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(BundleError, match=rf"block-64\.onnx can't be trusted: .*({name}|not an ONNX|cut|file)"):
        Stream(read_bundle(tmp_path / "bundle"), 64)


@pytest.mark.parametrize("changes", [{"name": "tempo"}, {"shape": [1, 2, 3]}, {"dtype": "float64"}], ids=str)
def test_a_graph_with_other_states_than_the_manifests_is_refused(
    golden_bundle: Bundle, tmp_path: Path, changes: dict[str, object]
) -> None:
    shutil.copytree(golden_bundle.folder, tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["states"][0] |= changes
    path.write_text(json.dumps(manifest))
    with pytest.raises(SessionError):
        Stream(read_bundle(tmp_path / "bundle"), 64).step()


def python(program: str) -> str:
    """What a fresh Python prints: the mode of floating point is a process's own."""
    imports = "from tonearm.runtime.denormals import denormals_are_flushed, flush_denormals\n"
    done = subprocess.run([sys.executable, "-c", imports + program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


SMALL = "import numpy as np; print(float(np.prod(np.full(2, 1e-20, np.float32))))"


def test_denormals_are_flushed_to_zero() -> None:
    assert python(f"flush_denormals(); print(denormals_are_flushed()); {SMALL}") == "True\n0.0"


def test_without_flushing_a_denormal_stays_one() -> None:
    flushed, product = python(f"print(denormals_are_flushed()); {SMALL}").split("\n")
    assert flushed == "False"
    assert float(product) == pytest.approx(1e-40, rel=1e-4)


@pytest.mark.parametrize(("first", "inherited"), [("flush_denormals()", "[True]"), ("", "[False]")])
def test_a_thread_started_later_inherits_the_mode(first: str, inherited: str) -> None:
    program = f"""
{first}
import threading
seen = []
thread = threading.Thread(target=lambda: seen.append(denormals_are_flushed()))
thread.start()
thread.join()
print(seen)
"""
    assert python(program) == inherited


def test_memory_is_of_this_process_and_in_order() -> None:
    kb = memory()
    assert kb["peak_kb"] >= kb["resident_kb"] > 0
    assert 0 <= kb["private_kb"] <= kb["resident_kb"] + 4096  # two files of /proc, read one after the other


def test_memory_grows_with_what_is_used_and_the_peak_remains() -> None:
    before = memory()
    with mmap.mmap(-1, 50_000_000) as used:
        used.write(bytes(range(1, 251)) * 200_000)
        during = memory()
    after = memory()
    assert during["resident_kb"] - before["resident_kb"] > 45_000
    assert during["private_kb"] - before["private_kb"] > 45_000
    assert after["private_kb"] < during["private_kb"] - 45_000
    assert after["peak_kb"] > during["resident_kb"] - 4096  # the kernel counts pages in batches
