"""HpN: harmonic plus noise, the DDSP autoencoder's synthesizer with a recurrent decoder.

Source: Engel et al., DDSP (2020); sizes and constants of "Distilling DDSP" (Giudici et al., JAES 73, 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from ...export.streaming import Signals
from ..constants import HOP, SAMPLE_RATE
from ..errors import CheckpointError
from .family import Family
from .noise import TonePlusNoise
from .oscillator import HarmonicOscillator, Phase
from .recurrent import TABLE, RecurrentDecoder, recurrent_width

if TYPE_CHECKING:
    from ..model import Model

HARMONICS = 100
BANDS = 65
MAX_BANDS = 1025  # the map from bands to a filter has bands x 2 (bands - 1) elements on its way


class HarmonicSynthesizer(TonePlusNoise):
    """The tone is a sum of harmonics; nothing is trained."""

    numbers: Tensor

    def __init__(self, heads: tuple[int, int, int], *, causal: bool, full_noise: bool) -> None:
        super().__init__(heads, HOP, causal=causal, full_noise=full_noise)
        self.phase = Phase(SAMPLE_RATE, HOP, causal=causal)
        self.oscillator = HarmonicOscillator(heads[1], causal=causal)
        self.register_buffer("numbers", torch.arange(1.0, heads[1] + 1), persistent=False)

    def tone(self, overall: Tensor, shape: Tensor, f0_hz: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`shape` is the harmonic distribution; harmonics above half the sample rate are nearly silent."""
        audible = (self.numbers * f0_hz < SAMPLE_RATE / 2).to(shape.dtype) + 1e-4
        distribution = shape * audible
        amplitudes = distribution * (overall / distribution.sum(2, keepdim=True))
        cycles, after_phase = self.phase(f0_hz, states)
        tone, after_held = self.oscillator(cycles, amplitudes, states)
        return tone, {**after_phase, **after_held}


class HpN(Family):
    """The harmonic-plus-noise family.

    `hidden` is 512 for the teacher ("full") and 16 for the student ("reduced"); 156 and 44 lie between.
    """

    heads: ClassVar[tuple[str, ...]] = ("amplitude", "harmonic_distribution", "noise_bands")

    def __init__(
        self,
        hidden: int,
        harmonics: int = HARMONICS,
        bands: int = BANDS,
        *,
        causal: bool = False,
        full_noise: bool = False,
        reverb: bool = True,
    ) -> None:
        heads = (1, harmonics, bands)
        synth = HarmonicSynthesizer(heads, causal=causal, full_noise=full_noise)
        super().__init__(RecurrentDecoder(hidden, heads), synth, causal=causal, reverb=reverb)

    @classmethod
    def build(cls, model: Model, state: Mapping[str, Tensor], **options: bool) -> Self:
        """With as many harmonics and noise bands as the weights have."""
        return cls(model.width, *head_sizes(state, model.width), **options)

    @classmethod
    def width_of(cls, state: Mapping[str, Tensor]) -> int:
        """See `Family`; with tables it is a wavetable's."""
        return 0 if any(key.startswith(TABLE) for key in state) else recurrent_width(state)

    def wanted_controls(self, loudness_db: Tensor) -> Tensor:
        """See `Family`; harmonics fall by 6 dB an octave or more."""
        synth: HarmonicSynthesizer = self.synth  # type: ignore[assignment]
        return synth.wanted_controls(loudness_db, -20 * torch.log10(synth.numbers))


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
