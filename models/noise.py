"""Filtered noise: 65 magnitudes a frame shape 64 samples of uniform noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def cropped_filter_matrix(bands: int, hop: int) -> Tensor:
    """The linear map from magnitudes `(bands,)` to the filter's taps `(hop,)`, newest tap last.

    irfft -> centred -> periodic Hann window -> the first `hop` taps. The reference crops the window so
    because its hop is shorter than the filter, and its weights were trained with that.
    """
    size = 2 * (bands - 1)
    centred = np.roll(np.fft.irfft(np.eye(bands), size), size // 2, axis=1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return torch.from_numpy((centred * window)[:, :hop][:, ::-1].copy()).float()


class FilteredNoise(nn.Module):
    """Each frame of noise through its own causal FIR filter, the tail beyond the frame dropped (as the reference)."""

    taps: Tensor

    def __init__(self, bands: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("taps", cropped_filter_matrix(bands, hop), persistent=False)

    def forward(self, magnitudes: Tensor, noise: Tensor) -> Tensor:
        """`magnitudes (batch, frames, bands)` and `noise (batch, frames, hop)` in [-1, 1) to `(batch, frames, hop)`.

        One grouped convolution does all frames: a frame is a group.
        """
        taps = (magnitudes @ self.taps).reshape(-1, 1, self.hop)
        padded = functional.pad(noise.reshape(1, -1, self.hop), (self.hop - 1, 0))
        return functional.conv1d(padded, taps, groups=taps.shape[0]).reshape(noise.shape)
