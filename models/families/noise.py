"""The synthesizer of HpN and wavetable: a tone, and uniform noise that is filtered anew in each frame."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...export.streaming import Signals
from ..constants import FLOOR_DB
from .controls import GAIN_DB, exp_sigmoid
from .stateful import Stateful
from .upsampling import HalfFrameDelay

BREATH_DB = -40.0  # the noise of an untrained model, below its tone


def filter_matrix(bands: int, taps: int) -> Tensor:
    """The linear map from magnitudes `(bands,)` to the first `taps` of the filter, newest tap last.

    irfft -> centred -> periodic Hann window.
    """
    size = 2 * (bands - 1)
    centred = np.roll(np.fft.irfft(np.eye(bands), size), size // 2, axis=1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return torch.from_numpy((centred * window)[:, :taps][:, ::-1].copy()).float()


class FilteredNoise(Stateful):
    """Each frame of noise through a causal FIR filter of its own.

    The reference crops the filter to its first `hop` taps, because its hop is shorter than the window, and drops
    the tail beyond the frame; its weights were trained with that. With `full` every tap is there and the tails
    are added to the frames that follow, as it should be for new training: the filter's centre, and so the noise,
    then comes `bands - 1` samples after its frame begins.

    ```
    cropped   [frame]              full   [frame . . . tail . . . ]
                     [frame]                     [frame . . . tail . . . ]
    ```
    """

    taps: Tensor

    def __init__(self, bands: int, hop: int, *, full: bool) -> None:
        super().__init__()
        self.hop = hop
        size = 2 * (bands - 1) if full else hop
        self.earlier = -(-(size - 1) // hop) if full else 0  # frames whose tails still sound
        self.register_buffer("taps", filter_matrix(bands, size), persistent=False)

    def zero_states(self, batch: int) -> Signals:
        """The filtered noise of the last frames, with its tails."""
        if not self.earlier:
            return {}
        return {"noise_tails": torch.zeros(batch, self.earlier, self.hop * (self.earlier + 1))}

    def forward(self, magnitudes: Tensor, noise: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`magnitudes (batch, frames, bands)` and `noise (batch, frames, hop)` in [-1, 1) to `(batch, frames, hop)`.

        One grouped convolution does all frames: a frame is a group.
        """
        size = self.taps.shape[1]
        taps = (magnitudes @ self.taps).reshape(-1, 1, size)
        rows = self.hop * (self.earlier + 1)
        padded = functional.pad(noise.reshape(1, -1, self.hop), (size - 1, rows - self.hop))
        filtered = functional.conv1d(padded, taps, groups=taps.shape[0]).reshape(*noise.shape[:2], rows)
        if not self.earlier:
            return filtered, {}
        return self._overlapped(torch.cat([states["noise_tails"], filtered], 1))

    def _overlapped(self, filtered: Tensor) -> tuple[Tensor, Signals]:
        """The sum of each frame's head and of the tails of those before it."""
        frames = filtered.shape[1] - self.earlier
        pieces = filtered.unflatten(2, (self.earlier + 1, self.hop))
        tails = [pieces[:, self.earlier - age : self.earlier - age + frames, age] for age in range(self.earlier + 1)]
        return torch.stack(tails).sum(0), {"noise_tails": filtered[:, frames:]}


class TonePlusNoise(Stateful):
    """A synthesizer of a pitched tone and filtered noise; a subclass says what the tone is.

    Its raw controls are three heads side by side: the tone's amplitude, the tone's shape, the noise bands.
    """

    def __init__(self, heads: tuple[int, int, int], hop: int, *, causal: bool, full_noise: bool) -> None:
        super().__init__()
        self.heads = heads
        self.noise = FilteredNoise(heads[2], hop, full=full_noise)
        self.delay = HalfFrameDelay(hop, causal=causal)

    def wanted_controls(self, loudness_db: Tensor, shape_db: Tensor) -> Tensor:
        """Raw controls of a sound that is the brighter, the louder it is, `(frames, n)`.

        Args:
            loudness_db: `(frames, 1)`.
            shape_db: the tone's shape, `(heads[1],)`, for the brightest sound.
        """
        darkness = 1.2 + 1.3 * (loudness_db / FLOOR_DB)
        noise = (loudness_db + BREATH_DB).expand(-1, self.heads[2])
        return torch.cat([_raw(loudness_db + GAIN_DB), _raw(darkness * shape_db), _raw(noise)], 1)

    def tone(self, overall: Tensor, shape: Tensor, f0_hz: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`overall (batch, frames, 1)`, `shape (batch, frames, heads[1])`, both positive, to `(batch, frames, hop)`."""
        raise NotImplementedError

    def forward(self, controls: Tensor, f0_hz: Tensor, noise: Tensor, states: Signals) -> tuple[Signals, Signals]:
        """`tone`, `noise` and their sum `dry`, `(batch, frames, hop)` each."""
        overall, shape, bands = torch.split(exp_sigmoid(controls), list(self.heads), 2)
        tone, after_tone = self.tone(overall, shape, f0_hz, states)
        filtered, after_noise = self.noise(bands, noise, states)
        filtered, after_delay = self.delay(filtered, states)
        return {"tone": tone, "noise": filtered, "dry": tone + filtered}, {**after_tone, **after_noise, **after_delay}


def _raw(level_db: Tensor) -> Tensor:
    """The control that `exp_sigmoid` turns into a level, in dB."""
    amplitude = torch.clamp(10 ** (level_db / 20), 1e-6, 1.9)
    return torch.logit((amplitude / 2) ** (1 / math.log(10)))
