"""HpN: the same sound as the original implementation, however it is cut into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tonearm.export.streaming import Signals, StreamingModule, render, step, stream
from tonearm.models.catalogue import load
from tonearm.models.controls import scale_f0, scale_loudness
from tonearm.models.hpn import HOP, SAMPLE_RATE, HpN
from tonearm.models.oscillator import HarmonicOscillator, Phase
from tonearm.models.reverb import CONVOLVED_FRAMES, Reverb
from tonearm.runtime.clip import align, hold_last
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
FRAMES = 40
HEADS = {"amplitude": slice(0, 1), "harmonic_distribution": slice(1, 101), "noise_bands": slice(101, 166)}
PITCHES = st.one_of(st.just(0.0), st.floats(20, 7000, width=32), st.sampled_from([20.0, 80.0, 7000.0]))
LEVELS = st.one_of(st.just(-80.0), st.just(-200.0), st.floats(-80, 0, width=32))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small models gain nothing from threads, and lose a lot where other processes want the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def student() -> HpN:
    return hpn("hpn-reduced", GOLDEN / "hpn-reduced.pt")


@pytest.fixture(scope="module")
def golden_parts(student: HpN, golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every part of the golden clip: sounds `(samples,)`, aligned; controls `(frames, width)`."""
    frames = len(golden["f0_hz"])
    controls = [torch.from_numpy(golden[name]).reshape(1, frames, -1) for name in student.inputs]
    with torch.no_grad():
        parts, _ = student.parts(*(hold_last(x, frames + 1) for x in controls), *student.zero_states().values())
    sounds = {name: align(parts[name], student.latency, frames)[0] for name in ("harmonic", "noise", "dry", "wet")}
    heads = {name: parts["controls"][0, :frames, columns] for name, columns in HEADS.items()}
    return {name: value.numpy() for name, value in {**sounds, **heads}.items()}


def hpn(name: str, checkpoint: Path | None = None) -> HpN:
    module = load(name, checkpoint)
    assert isinstance(module, HpN)
    return module


def full_scale_error(wanted: np.ndarray | Tensor, got: np.ndarray | Tensor) -> float:
    wanted, got = np.asarray(wanted, np.float64), np.asarray(got, np.float64)
    assert wanted.shape == got.shape
    return float(np.max(np.abs(wanted - got)) / np.max(np.abs(wanted)))


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def in_blocks(module: StreamingModule, inputs: Signals, partition: list[int]) -> Tensor:
    with torch.no_grad():
        return torch.cat([outputs["audio"] for outputs in stream(module, inputs, partition)], 1)


def at_once(module: StreamingModule, inputs: Signals) -> Tensor:
    batch = next(iter(inputs.values())).shape[0]
    with torch.no_grad():
        return step(module, inputs, module.zero_states(batch))[0]["audio"]


@st.composite
def partitions(draw: st.DrawFn, frames: int) -> list[int]:
    cuts = draw(st.sets(st.integers(1, frames - 1), max_size=12))
    edges = [0, *sorted(cuts), frames]
    return [end - start for start, end in pairwise(edges)]


@st.composite
def clips(draw: st.DrawFn, frames: int = FRAMES) -> Signals:
    """One or two clips side by side: notes of any pitch, no pitch, any level, silence, jumps between them."""
    batch = draw(st.integers(1, 2))
    notes = st.lists(st.tuples(PITCHES, LEVELS, st.integers(1, 16)), min_size=1, max_size=8)
    clip = [_held(draw(notes), frames) for _ in range(batch)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    noise = torch.rand(batch, frames, HOP, generator=generator) * 2 - 1
    controls = torch.tensor(clip, dtype=torch.float32)
    return {"f0_hz": controls[:, :, :1], "loudness_db": controls[:, :, 1:], "noise": noise}


def _held(notes: list[tuple[float, float, int]], frames: int) -> list[tuple[float, float]]:
    held = [(pitch, level) for pitch, level, length in notes for _ in range(length)]
    return (held + held[-1:] * frames)[:frames]


@pytest.mark.parametrize(
    ("part", "original"),
    [
        ("harmonic", "out.harmonic_audio"),
        ("noise", "out.noise_audio"),
        ("dry", "out.dereverb_audio"),
        ("wet", "out.synth_audio"),
        *((head, f"control.{head}") for head in HEADS),
    ],
)
def test_each_part_is_the_original_implementations(
    golden_parts: dict[str, np.ndarray], golden: dict[str, np.ndarray], part: str, original: str
) -> None:
    wanted = golden[original].reshape(golden_parts[part].shape)
    assert full_scale_error(wanted, golden_parts[part]) < 1e-4


def test_controls_are_scaled_as_the_original_scales_them(golden: dict[str, np.ndarray]) -> None:
    assert full_scale_error(golden["f0_scaled"], scale_f0(torch.from_numpy(golden["f0_hz"]))) < 1e-4
    assert full_scale_error(golden["loudness_scaled"], scale_loudness(torch.from_numpy(golden["loudness_db"]))) < 1e-4


def test_no_pitch_and_less_than_the_floor_scale_to_zero() -> None:
    assert scale_f0(torch.tensor([0.0, -1.0])).tolist() == [0, 0]
    assert scale_loudness(torch.tensor([-80.0, -81.0, -200.0])).tolist() == [0, 0, 0]


def test_the_offline_render_takes_the_latency_off(student: HpN, golden: dict[str, np.ndarray]) -> None:
    inputs = {name: torch.from_numpy(golden[name]).reshape(1, 300, -1) for name in student.inputs}
    assert full_scale_error(golden["out.synth_audio"][:, 0], render(student, inputs)["audio"][0]) < 1e-4


@pytest.mark.parametrize(
    ("name", "total", "decoder"), [("hpn-full", 4_314_408, 4_298_406), ("hpn-reduced", 23_512, 7_510)]
)
def test_sizes_are_the_papers(name: str, total: int, decoder: int) -> None:
    module = load(name)
    parts = {part: parameters(child) for part, child in module.parts_by_name().items()}
    assert parts == {"decoder": decoder, "synth": 16_002}
    assert parameters(module) == total


def test_the_full_model_streams() -> None:
    module = load("hpn-full")
    inputs = module.example(12)
    assert full_scale_error(at_once(module, inputs), in_blocks(module, inputs, [1, 3, 1, 7])) < 1e-5


def test_random_weights_repeat_and_leave_the_callers_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    first = load("hpn-reduced").state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    second = load("hpn-reduced").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert first["decoder.gru.weight_hh_l0"].std() > 0


@settings(deadline=None, max_examples=40)
@given(inputs=clips(), partition=partitions(FRAMES))
def test_any_partition_into_blocks_equals_the_whole(student: HpN, inputs: Signals, partition: list[int]) -> None:
    wanted, got = at_once(student, inputs), in_blocks(student, inputs, partition)
    assert torch.isfinite(wanted).all()
    for clip in range(len(wanted)):
        error = full_scale_error(wanted[clip], got[clip])
        assert error < 1e-5, f"blocks of {partition}: clip {clip} is off by {error:.2g} of full scale"


def test_clips_side_by_side_do_not_touch_each_other(student: HpN) -> None:
    one = student.example(FRAMES)
    other = {"f0_hz": one["f0_hz"] * 3, "loudness_db": one["loudness_db"] - 20, "noise": one["noise"].flip(1)}
    both = {name: torch.cat([one[name], other[name]]) for name in one}
    together = at_once(student, both)
    for index, inputs in enumerate((one, other)):
        assert full_scale_error(at_once(student, inputs)[0], together[index]) < 1e-5, f"clip {index}"


@settings(deadline=None, max_examples=20)
@given(inputs=clips(), frame=st.integers(1, FRAMES - 1), size=st.sampled_from([1, 8, FRAMES]))
def test_new_input_never_changes_earlier_output(student: HpN, inputs: Signals, frame: int, size: int) -> None:
    partition = [size] * (FRAMES // size)
    later = {name: value.clone() for name, value in inputs.items()}
    later["f0_hz"][:, frame:] = 333
    later["loudness_db"][:, frame:] += 10
    later["noise"][:, frame:] *= -1
    before, after = (in_blocks(student, clip, partition).flatten(1) for clip in (inputs, later))
    changed = (before != after).any(0).nonzero()[:, 0]
    first = int(changed[0])
    assert first >= frame * HOP, f"frame {frame} changes sample {first}, before its own first, {frame * HOP}"
    assert first < (frame + 1) * HOP, f"frame {frame} is first heard at sample {first}"


def room(scale: int) -> Reverb:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(scale)
        reverb = Reverb(SAMPLE_RATE, HOP, scale)
    reverb.load_state_dict(reverb.state_dict() | {"decay": torch.tensor(6.0), "wet": torch.tensor(-1.0)})
    return reverb


def true_impulse_response(reverb: Reverb) -> np.ndarray:
    """The formula of the paper's code, in float64."""
    noise, decay, wet = (p.detach().numpy().astype(np.float64) for p in (reverb.noise, reverb.decay, reverb.wet))
    seconds = np.arange(len(noise)) / SAMPLE_RATE
    response = noise[:, 0] * np.exp(-np.log1p(np.exp(-decay)) * seconds * 500) / (1 + np.exp(-wet))
    response[0] = 1
    return response


def through(reverb: Reverb, dry: Tensor, size: int) -> np.ndarray:
    """`dry (1, frames, hop)` in blocks of `size` frames."""
    states, wet = tuple(reverb.zero_states(1).values()), []
    with torch.no_grad():
        for block in dry.split(size, 1):
            out, *states = reverb(block, *states)
            wet.append(out)
    return torch.cat(wet, 1).flatten().numpy()


@pytest.mark.parametrize("scale", [1, 3], ids=lambda scale: f"{SAMPLE_RATE // scale}-taps")
@pytest.mark.parametrize("size", [1, CONVOLVED_FRAMES - 1, CONVOLVED_FRAMES, 300], ids="blocks-of-{}".format)
def test_both_forms_of_the_reverb_are_a_convolution_with_every_tap(scale: int, size: int) -> None:
    reverb = room(scale)
    dry = torch.rand(1, 300, HOP, generator=torch.Generator().manual_seed(7)) * 2 - 1
    samples = dry.flatten().numpy().astype(np.float64)
    wanted = np.convolve(samples, true_impulse_response(reverb))[: len(samples)]
    assert len(samples) > reverb.taps
    assert full_scale_error(wanted, through(reverb, dry, size)) < 1e-5


def test_the_reverb_sounds_to_its_last_tap_and_no_further() -> None:
    reverb = room(3)
    impulse = torch.zeros(1, 100, HOP)
    impulse[0, 0, 0] = 1
    heard = through(reverb, impulse, 1)
    assert full_scale_error(true_impulse_response(reverb), heard[: reverb.taps]) < 1e-5
    assert np.abs(heard[reverb.taps :]).max() < 1e-6


def minute() -> tuple[np.ndarray, np.ndarray]:
    """`f0_hz (frames,)` gliding with vibrato over four octaves, and the cycles of each offline sample, float64."""
    frames = 60 * SAMPLE_RATE // HOP
    seconds = np.arange(frames) * HOP / SAMPLE_RATE
    f0_hz = (440 * 2 ** (2 * np.sin(0.7 * seconds)) * (1 + 0.01 * np.sin(35 * seconds))).astype(np.float32)
    centres = np.arange(frames) * HOP + (HOP - 1) / 2
    upsampled = np.interp(np.arange(frames * HOP), centres, f0_hz.astype(np.float64))
    return f0_hz, np.cumsum(upsampled / SAMPLE_RATE)


def oscillate(f0_hz: np.ndarray, amplitudes: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cycles and sound, `(size, hop)`, of each block of `size` frames."""
    phase, oscillator = Phase(SAMPLE_RATE, HOP), HarmonicOscillator(amplitudes.shape[2])
    of_phase, of_sound = phase.zero_states(1).values(), tuple(oscillator.zero_states(1).values())
    for block in torch.from_numpy(f0_hz).reshape(1, -1, 1).split(size, 1):
        cycles, *of_phase = phase(block, *of_phase)
        sound, *of_sound = oscillator(cycles, amplitudes.expand(1, size, -1), *of_sound)
        yield cycles[0], sound[0]


def test_phase_is_kept_through_a_minute_of_streaming() -> None:
    f0_hz, wanted = minute()
    with torch.no_grad():
        blocks = list(oscillate(f0_hz, torch.full((1, 1, 100), 0.01), size=4))
    delay = HOP // 2
    cycles, sound = (torch.cat(part).flatten().double().numpy()[delay:] for part in zip(*blocks, strict=True))
    wanted = wanted[:-delay]
    drift = np.abs((cycles - wanted + 0.5) % 1 - 0.5)
    assert drift.max() < 1e-6, f"phase is lost from sample {np.argmax(drift >= 1e-6)}"
    end = slice(-SAMPLE_RATE, None)
    sines = 0.01 * np.sin(2 * np.pi * np.outer(np.arange(1, 101), wanted[end])).sum(0)
    assert full_scale_error(sines, sound[end]) < 1e-3
