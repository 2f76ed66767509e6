"""Ten minutes of streaming: phases neither drift nor break, in every family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from streams import HOP, full_scale_error
from tonearm.export.streaming import Signals
from tonearm.export.write import export_bundle
from tonearm.models.catalogue import load
from tonearm.models.constants import SAMPLE_RATE
from tonearm.models.families.ddx7 import PERIOD
from tonearm.models.families.family import Family
from tonearm.models.families.oscillator import Phase
from tonearm.runtime.bundle import Provenance
from tonearm.runtime.clip import uniform_noise
from tonearm.runtime.stream import Stream

MINUTES = 10
BLOCK = 64  # frames
FRAMES = MINUTES * 60 * SAMPLE_RATE // HOP // BLOCK * BLOCK
SETTLED = 750  # frames after which decoder and reverb have forgotten how they began
COMPARED = 64
MODELS = ("hpn-reduced", "ddx7-reduced-flute", "ddx7-reduced-piano", "wavetable-reduced")


def glide(frames: int) -> np.ndarray:
    """`f0_hz (frames,)`: vibrato and slow glides over two octaves."""
    seconds = np.arange(frames) * HOP / SAMPLE_RATE
    return (440 * 2 ** np.sin(0.7 * seconds) * (1 + 0.01 * np.sin(35 * seconds))).astype(np.float32)


def true_cycles(f0_hz: np.ndarray) -> np.ndarray:
    """The phase after each offline sample of a clip, not wrapped, float64."""
    centres = np.arange(len(f0_hz)) * HOP + (HOP - 1) / 2
    return np.cumsum(np.interp(np.arange(len(f0_hz) * HOP), centres, f0_hz.astype(np.float64))) / SAMPLE_RATE


@pytest.mark.parametrize("period", [1, PERIOD])
def test_phase_is_kept_through_ten_minutes(period: int) -> None:
    f0_hz, delay = glide(FRAMES), HOP // 2
    phase = Phase(SAMPLE_RATE, HOP, causal=False, period=period)
    states, blocks = phase.zero_states(1), []
    for block in torch.from_numpy(f0_hz).reshape(1, -1, 1).split(BLOCK, 1):
        cycles, states = phase(block, states)
        blocks.append(cycles.flatten())
    got, wanted = torch.cat(blocks).numpy()[delay:], true_cycles(f0_hz)[:-delay]
    assert np.abs(got).max() <= period / 2
    drift = np.abs((got - wanted + period / 2) % period - period / 2)
    assert drift.max() < 1e-6, f"phase is lost from sample {np.argmax(drift >= 1e-6)}"


def clip(module: Family, frames: int) -> Signals:
    noise = {name: torch.from_numpy(uniform_noise(frames, HOP)) for name in module.noise}
    f0_hz = torch.from_numpy(glide(frames)).reshape(1, -1, 1)
    loudness = -20 - 10 * torch.sin(torch.arange(frames) / 40).reshape(1, -1, 1)
    return {"f0_hz": f0_hz, "loudness_db": loudness, **noise}


def true_end(name: str, inputs: Signals) -> np.ndarray:
    """The last `COMPARED` frames in float64: from where all but the phase is forgotten, the phase from one sum."""
    module, start = load(name).double(), FRAMES - SETTLED - COMPARED
    states = {key: value.double() for key, value in module.zero_states().items()}
    cycles = true_cycles(inputs["f0_hz"][0, :, 0].numpy())
    first = cycles[0] if name.startswith("wavetable") else 0  # a table is read from its beginning
    states["phase"][:] = cycles[start * HOP - HOP // 2 - 1] - first
    states["last_f0"][:] = inputs["f0_hz"][0, start - 1].double()
    states["started"][:] = 1
    end = [value[:, start:].double() for value in inputs.values()]
    with torch.no_grad():
        audio, *_ = module(*end, *states.values())
    return audio[0, SETTLED:].flatten().numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_ten_minutes_of_streaming_end_as_a_float64_render_does(name: str, tmp_path: Path) -> None:
    module = load(name)
    inputs = clip(module, FRAMES)
    bundle = export_bundle(module, name, tmp_path / name, [BLOCK * HOP], weights=Provenance("random")).bundle
    streamed = Stream(bundle, BLOCK * HOP)
    for start in range(0, FRAMES, BLOCK):
        for key, buffer in streamed.inputs.items():
            buffer[...] = inputs[key][:, start : start + BLOCK]
        streamed.step()
    last = streamed.outputs["audio"].flatten()
    assert full_scale_error(true_end(name, inputs)[-len(last) :], last) < 1e-3
