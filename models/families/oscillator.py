"""The running phase of f0, and the sum of its harmonics."""

from __future__ import annotations

import torch
from torch import Tensor

from ...export.streaming import Signals
from .stateful import Stateful
from .upsampling import Held, before, ramp_weights


class Phase(Stateful):
    """The running phase of f0, in cycles.

    It is summed in double precision and wrapped every block: in float32 the hundredth harmonic drifts
    by 0.3 rad within seconds.
    """

    ramp: Tensor

    def __init__(self, sample_rate: int, hop: int, *, causal: bool, period: int = 1, from_zero: bool = False) -> None:
        """The phase of `f0_hz`, wrapped after `period` cycles.

        Args:
            sample_rate: in Hz.
            hop: samples per frame.
            causal: see `upsampling`.
            period: cycles; more than one where multiples that are not whole are made of it.
            from_zero: whether a clip's first sample has phase 0, or one sample's increment.
        """
        super().__init__()
        self.sample_rate, self.hop, self.period = sample_rate, hop, period
        self.early = (0 if causal else hop // 2) + int(from_zero)
        self.register_buffer("ramp", ramp_weights(hop), persistent=False)

    def zero_states(self, batch: int) -> Signals:
        """Phase of the last sample, the last f0, and whether there was one at all."""
        return {
            "phase": torch.zeros(batch, 1, dtype=torch.float64),
            "last_f0": torch.zeros(batch, 1, 1),
            "started": torch.zeros(batch, 1, 1),
        }

    def forward(self, f0_hz: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`f0_hz (batch, frames, 1)` to cycles, `(batch, frames, hop)` float64, between -period/2 and period/2.

        Around zero, and not from it, because float32 sines of small phases are more precise. Before the first frame
        f0 is held constant and the phase starts early, so that it is right where the clip starts.
        """
        started = states["started"]
        now = f0_hz.double() / self.sample_rate
        last = before(f0_hz, states["last_f0"], started).double() / self.sample_rate
        lead = torch.where(started > 0, 0.0, now[:, :1])[:, 0] * self.early
        increments = last + self.ramp * (now - last)
        cycles = states["phase"] - lead + torch.cumsum(increments.flatten(1), 1)
        cycles = cycles - torch.round(cycles / self.period) * self.period
        after = {"phase": cycles[:, -1:], "last_f0": f0_hz[:, -1:], "started": torch.ones_like(started)}
        return cycles.reshape(increments.shape), after


class HarmonicOscillator(Stateful):
    """A sum of sines at the multiples of f0, amplitudes held between frames."""

    multiples: Tensor

    def __init__(self, harmonics: int, *, causal: bool) -> None:
        super().__init__()
        self.held = Held(harmonics, causal=causal)
        radians = 2 * torch.pi * torch.arange(1, harmonics + 1)
        self.register_buffer("multiples", radians.reshape(-1, 1), persistent=False)

    def forward(self, cycles: Tensor, amplitudes: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`cycles (batch, frames, hop)`, `amplitudes (batch, frames, harmonics)` to `(batch, frames, hop)`."""
        batch, frames, hop = cycles.shape
        held, after = self.held(amplitudes, states)
        parts = held.shape[2]
        sines = torch.sin(cycles.float().reshape(batch, frames, parts, 1, hop // parts) * self.multiples)
        return (held[:, :, :, None] @ sines).reshape(cycles.shape), after
