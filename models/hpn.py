"""HpN: harmonic plus noise, the DDSP autoencoder's synthesizer with a GRU decoder.

Source: Engel et al., DDSP (2020); sizes and constants of "Distilling DDSP" (Giudici et al., JAES 73, 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..export.streaming import StreamingModule
from ..runtime.clip import uniform_noise
from .controls import example_controls, exp_sigmoid, scale_f0, scale_loudness
from .errors import CheckpointError
from .noise import FilteredNoise
from .oscillator import HalfFrameDelay, HarmonicOscillator, Phase
from .reverb import Reverb

SAMPLE_RATE = 16_000
HOP = 64
HARMONICS = 100
BANDS = 65
MAX_BANDS = 1025  # the map from bands to a filter has bands x 2 (bands - 1) elements on its way


def _mlp(inputs: int, hidden: int) -> nn.Sequential:
    """Three times Linear, LayerNorm, LeakyReLU."""
    layers: list[nn.Module] = []
    for size in (inputs, hidden, hidden):
        layers += [nn.Linear(size, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


class Decoder(nn.Module):
    """Controls to the synthesizer's raw parameters: an MLP per control, a GRU, an MLP, linear heads."""

    def __init__(self, hidden: int, heads: tuple[int, ...]) -> None:
        super().__init__()
        self.hidden = hidden
        self.heads = heads
        self.in_mlps = nn.ModuleList([_mlp(1, hidden), _mlp(1, hidden)])
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.out_mlp = _mlp(hidden + 2, hidden)
        self.proj_matrices = nn.ModuleList([nn.Linear(hidden, size) for size in heads])

    def hidden_layer(self, f0_scaled: Tensor, loudness_scaled: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What the heads see, `(batch * frames, hidden)`, and the GRU's state."""
        batch, frames, _ = f0_scaled.shape
        # Flat (frames, width) matrices: ONNX Runtime wraps every product of a 3-d tensor in two more nodes.
        controls = [control.flatten(0, 1) for control in (f0_scaled, loudness_scaled)]
        embedded = [mlp(control) for mlp, control in zip(self.in_mlps, controls, strict=True)]
        recurrent, state = self.gru(torch.cat(embedded, 1).reshape(batch, frames, -1), state)
        return self.out_mlp(torch.cat([recurrent.flatten(0, 1), *controls], 1)), state

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Controls `(batch, frames, 1)`, GRU state `(1, batch, hidden)` to all heads side by side and the state."""
        hidden, state = self.hidden_layer(f0_scaled, loudness_scaled, state)
        # The heads as one product: in a small model a node costs more than its arithmetic.
        weight = torch.cat([head.weight for head in self.proj_matrices])  # type: ignore[misc]
        bias = torch.cat([head.bias for head in self.proj_matrices])  # type: ignore[misc]
        return functional.linear(hidden, weight, bias).reshape(*f0_scaled.shape[:2], -1), state


class Synthesizer(nn.Module):
    """Raw parameters to sound; only the reverb has weights."""

    def __init__(self, harmonics: int, bands: int) -> None:
        super().__init__()
        self.phase = Phase(SAMPLE_RATE, HOP)
        self.oscillator = HarmonicOscillator(harmonics)
        self.noise = FilteredNoise(bands, HOP)
        self.delay = HalfFrameDelay(HOP)
        self.reverb = Reverb(SAMPLE_RATE, HOP)
        self.register_buffer("numbers", torch.arange(1.0, harmonics + 1), persistent=False)

    numbers: Tensor

    def amplitudes(self, overall: Tensor, distribution: Tensor, f0_hz: Tensor) -> Tensor:
        """Amplitude of each harmonic, `(batch, frames, harmonics)`: nearly none above half the sample rate."""
        audible = (self.numbers * f0_hz < SAMPLE_RATE / 2).float() + 1e-4
        distribution = distribution * audible
        return distribution * (overall / distribution.sum(2, keepdim=True))


class HpN(StreamingModule):
    """The harmonic-plus-noise family; `hidden` is 512 for the teacher ("full"), 16 for the student ("reduced")."""

    sample_rate: ClassVar[int] = SAMPLE_RATE
    hop: ClassVar[int] = HOP
    latency: ClassVar[int] = HOP // 2
    inputs: ClassVar[Mapping[str, int]] = {"f0_hz": 1, "loudness_db": 1, "noise": HOP}
    outputs: ClassVar[Mapping[str, int]] = {"audio": HOP}
    noise: ClassVar[tuple[str, ...]] = ("noise",)

    def __init__(self, hidden: int, harmonics: int = HARMONICS, bands: int = BANDS) -> None:
        super().__init__()
        self.decoder = Decoder(hidden, (1, harmonics, bands))
        self.synth = Synthesizer(harmonics, bands)

    def zero_states(self, batch: int = 1) -> dict[str, Tensor]:
        """GRU, phase, oscillator, noise delay and reverb, before the first block."""
        synth = self.synth
        return {
            "gru": torch.zeros(1, batch, self.decoder.hidden),
            **synth.phase.zero_states(batch),
            **synth.oscillator.zero_states(batch),
            **synth.delay.zero_states(batch),
            **synth.reverb.zero_states(batch),
        }

    def example(self, frames: int) -> dict[str, Tensor]:
        """Notes with vibrato, attacks, decays and rests, `(1, frames, width)`."""
        f0_hz, loudness_db = example_controls(frames, SAMPLE_RATE / HOP)
        return {
            "f0_hz": f0_hz,
            "loudness_db": loudness_db,
            "noise": torch.from_numpy(uniform_noise(frames, HOP)),
        }

    def parts(self, f0_hz: Tensor, loudness_db: Tensor, noise: Tensor, *states: Tensor) -> tuple[dict, list]:
        """What `forward` computes, with everything on the way by name: controls, harmonic, noise, dry, wet.

        Returns:
            The parts, each `(batch, frames, width)` and the sounds `latency` late, and the new states.
        """
        synth, (gru, phase, last_f0, started, last_amplitudes, delay, *reverb) = self.synth, states
        controls, gru = self.decoder(scale_f0(f0_hz), scale_loudness(loudness_db), gru)
        overall, distribution, bands = torch.split(exp_sigmoid(controls), list(self.decoder.heads), 2)
        cycles, *phase_states = synth.phase(f0_hz, phase, last_f0, started)
        amplitudes = synth.amplitudes(overall, distribution, f0_hz)
        harmonic, last_amplitudes = synth.oscillator(cycles, amplitudes, last_amplitudes)
        filtered, delay = synth.delay(synth.noise(bands, noise), delay)
        dry = harmonic + filtered
        wet, *reverb = synth.reverb(dry, *reverb)
        parts = {"controls": controls, "harmonic": harmonic, "noise": filtered, "dry": dry, "wet": wet}
        return parts, [gru, *phase_states, last_amplitudes, delay, *reverb]

    def forward(self, *inputs_and_states: Tensor) -> tuple[Tensor, ...]:
        """See `StreamingModule`."""
        parts, states = self.parts(*inputs_and_states)
        return (parts["wet"], *states)


def head_sizes(state: Mapping[str, Tensor], hidden: int) -> tuple[int, int]:
    """Harmonics and noise bands of published weights: the rows of their heads, which must be `hidden` wide.

    A head that is missing or of another width counts as the published one. `CheckpointError` for sizes that no
    synthesizer has.
    """
    sizes = []
    for head, published in ((1, HARMONICS), (2, BANDS)):
        weight = state.get(f"decoder.proj_matrices.{head}.weight")
        fits = weight is not None and weight.dim() == 2 and weight.shape[1] == hidden
        sizes.append(weight.shape[0] if weight is not None and fits else published)
    harmonics, bands = sizes
    if harmonics < 1 or not HOP // 2 < bands <= MAX_BANDS:
        raise CheckpointError(
            f"the checkpoint is for {harmonics} harmonics and {bands} noise bands: HpN has at least 1 and "
            f"{HOP // 2 + 1} to {MAX_BANDS}"
        )
    return harmonics, bands
