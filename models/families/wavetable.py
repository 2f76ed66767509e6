"""Wavetable: twenty single-cycle tables, mixed by attention, plus noise, with HpN's decoder.

Source: Shan et al., Differentiable Wavetable Synthesis (2022); sizes and constants of "Distilling DDSP" (Giudici
et al., JAES 73, 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor, nn

from ...export.streaming import Signals
from ..constants import HOP, SAMPLE_RATE
from .family import Family
from .noise import TonePlusNoise
from .oscillator import Phase
from .recurrent import TABLE, RecurrentDecoder, recurrent_width
from .stateful import Stateful
from .upsampling import Held

if TYPE_CHECKING:
    from ..model import Model

TABLES = 20
LENGTH = 512
SINES = 4  # the first tables are 1 ... 4 cycles of a sine, never trained


class Wavetables(nn.Module):
    """The tables, `(512,)` each."""

    def __init__(self) -> None:
        super().__init__()
        turn = 2 * torch.pi * torch.arange(LENGTH) / LENGTH
        sines = [nn.Parameter(torch.sin(cycles * turn), requires_grad=False) for cycles in range(1, SINES + 1)]
        learned = [nn.Parameter(0.01 * torch.randn(LENGTH)) for _ in range(TABLES - SINES)]
        self.wavetables = nn.ParameterList([*sines, *learned])

    def forward(self) -> Tensor:
        """As they sound, `(TABLES, LENGTH)`: the learned ones through tanh."""
        tables = torch.stack(list(self.wavetables))
        return torch.cat([tables[:SINES], torch.tanh(tables[SINES:])])


class WavetableOscillator(Stateful):
    """Reads all tables at the phase, between two points linearly, and mixes them; the mixture holds in a frame."""

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.held = Held(TABLES, causal=causal)

    def forward(self, cycles: Tensor, mixture: Tensor, tables: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`cycles (batch, frames, hop)` float64, `mixture (batch, frames, TABLES)` to `(batch, frames, hop)`.

        A point's row holds all tables there and their steps to the next point, so that one gather reads both and
        one product mixes both.
        """
        held, after = self.held(mixture, states)
        batch, frames, parts, _ = held.shape
        position = (cycles - torch.floor(cycles)) * LENGTH
        point = torch.floor(position).clamp(max=LENGTH - 1)  # a phase just below zero is rounded up to a whole cycle
        points = torch.stack([tables, tables.roll(-1, 1) - tables]).permute(2, 0, 1).reshape(LENGTH, -1)
        read = points[point.long().flatten()].reshape(batch, frames, parts, -1, TABLES)
        value, slope = (read @ held[..., None]).reshape(batch, frames, -1, 2).unbind(3)
        return value + slope * (position - point).to(value.dtype), after


class WavetableSynthesizer(TonePlusNoise):
    """The tone is read from the tables, which are trained."""

    def __init__(self, heads: tuple[int, int, int], *, causal: bool, full_noise: bool) -> None:
        super().__init__(heads, HOP, causal=causal, full_noise=full_noise)
        self.wavetables = Wavetables()
        self.phase = Phase(SAMPLE_RATE, HOP, causal=causal, from_zero=True)
        self.oscillator = WavetableOscillator(causal=causal)

    def tone(self, overall: Tensor, shape: Tensor, f0_hz: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`shape` is the attention to each table."""
        mixture = shape * (overall / shape.sum(2, keepdim=True))
        cycles, after_phase = self.phase(f0_hz, states)
        tone, after_held = self.oscillator(cycles, mixture, self.wavetables(), states)
        return tone, {**after_phase, **after_held}


class Wavetable(Family):
    """The wavetable family; `hidden` is 512 for the teacher ("full"), 16 for the student ("reduced")."""

    heads: ClassVar[tuple[str, ...]] = ("amplitude", "wave_attention", "noise_bands")

    def __init__(
        self, hidden: int, bands: int = 65, *, causal: bool = False, full_noise: bool = False, reverb: bool = True
    ) -> None:
        heads = (1, TABLES, bands)
        synth = WavetableSynthesizer(heads, causal=causal, full_noise=full_noise)
        super().__init__(RecurrentDecoder(hidden, heads), synth, causal=causal, reverb=reverb)

    @classmethod
    def build(cls, model: Model, state: Mapping[str, Tensor], **options: bool) -> Self:
        """All sizes but the width are the published ones."""
        return cls(model.width, **options)

    @classmethod
    def width_of(cls, state: Mapping[str, Tensor]) -> int:
        """See `Family`; the tables tell it from HpN."""
        return recurrent_width(state) if any(key.startswith(TABLE) for key in state) else 0

    def wanted_controls(self, loudness_db: Tensor) -> Tensor:
        """See `Family`; mostly the first table, a sine."""
        synth: WavetableSynthesizer = self.synth  # type: ignore[assignment]
        return synth.wanted_controls(loudness_db, -10 * torch.arange(float(TABLES)))

    def take_over(self, teacher: Family) -> None:
        """The teacher's tables: attention to a table says something to the student only if it is the same table."""
        mine, its = (m.synth.wavetables for m in (self, teacher))
        mine.load_state_dict(its.state_dict())  # type: ignore[union-attr]
        mine.requires_grad_(False)  # type: ignore[union-attr]
