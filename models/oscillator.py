"""Phase and harmonics, delayed by half a frame so that they can be streamed.

The reference upsamples with half-pixel centres: frame k's value sits at sample `64 k + 31.5`. Between two
centres the next frame is needed, so the stream runs 32 samples late, and in that delayed time every output
frame lies exactly between two control frames:

```
control frames        |      k-1      |       k       |
their centres                 ^               ^
offline samples        ......[      output frame      ]......   = offline samples 64 k - 32 ... 64 k + 31
linear (f0)                  f(k-1) --------> f(k)
nearest (amplitudes)         A(k-1)  |  A(k)                     changes in the middle
```
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Phase(nn.Module):
    """The running phase of f0, in cycles.

    It is summed in double precision and wrapped every block: in float32 the hundredth harmonic drifts
    by 0.3 rad within seconds.
    """

    ramp: Tensor

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate, self.hop = sample_rate, hop
        self.register_buffer("ramp", (torch.arange(hop, dtype=torch.float64) + 0.5) / hop, persistent=False)

    def zero_states(self, batch: int) -> dict[str, Tensor]:
        """Phase of the last sample, the last f0, and whether there was one at all."""
        return {
            "phase": torch.zeros(batch, 1, dtype=torch.float64),
            "last_f0": torch.zeros(batch, 1, 1),
            "started": torch.zeros(batch, 1, 1),
        }

    def forward(self, f0_hz: Tensor, phase: Tensor, last_f0: Tensor, started: Tensor) -> tuple[Tensor, ...]:
        """`f0_hz (batch, frames, 1)` to cycles in [0, 1), `(batch, frames, hop)`, and the states.

        Before the first frame f0 is held constant (the offline render clamps at the edge) and the phase
        starts half a frame early, so that it is 0 where the clip starts.
        """
        first = f0_hz[:, :1]
        f0 = torch.cat([torch.where(started > 0, last_f0, first), f0_hz], 1).double() / self.sample_rate
        early = torch.where(started > 0, 0.0, f0[:, :1])[:, 0] * (self.hop // 2)
        increments = f0[:, :-1] + self.ramp * (f0[:, 1:] - f0[:, :-1])
        cycles = phase - early + torch.cumsum(increments.flatten(1), 1)
        cycles = cycles - torch.floor(cycles)
        return (
            cycles.float().reshape(increments.shape),
            cycles[:, -1:],
            f0_hz[:, -1:],
            torch.ones_like(started),
        )


class HarmonicOscillator(nn.Module):
    """A sum of sines at the multiples of f0, amplitudes held between frames (nearest upsampling)."""

    multiples: Tensor

    def __init__(self, harmonics: int) -> None:
        super().__init__()
        self.harmonics = harmonics
        radians = 2 * torch.pi * torch.arange(1, harmonics + 1)
        self.register_buffer("multiples", radians.reshape(-1, 1), persistent=False)

    def zero_states(self, batch: int) -> dict[str, Tensor]:
        """The last frame's amplitudes."""
        return {"last_amplitudes": torch.zeros(batch, 1, self.harmonics)}

    def forward(self, cycles: Tensor, amplitudes: Tensor, last_amplitudes: Tensor) -> tuple[Tensor, Tensor]:
        """`cycles (batch, frames, hop)`, `amplitudes (batch, frames, harmonics)` to `(batch, frames, hop)`."""
        batch, frames, hop = cycles.shape
        delayed = torch.cat([last_amplitudes, amplitudes], 1)
        halves = torch.stack([delayed[:, :-1], amplitudes], 2)[:, :, :, None]
        sines = torch.sin(cycles.reshape(batch, frames, 2, 1, hop // 2) * self.multiples)
        return (halves @ sines).reshape(cycles.shape), delayed[:, -1:]


class HalfFrameDelay(nn.Module):
    """Delays a signal of whole frames by half a frame: what brings noise in line with the oscillators."""

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = hop

    def zero_states(self, batch: int) -> dict[str, Tensor]:
        """The half frame that is still to come out."""
        return {"delay": torch.zeros(batch, self.hop // 2)}

    def forward(self, signal: Tensor, delay: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, frames, hop)` to the same shape, half a frame later."""
        samples = torch.cat([delay, signal.flatten(1)], 1)
        return samples[:, : -(self.hop // 2)].reshape(signal.shape), samples[:, -(self.hop // 2) :]
