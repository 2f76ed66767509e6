"""The distance of two sounds as spectra.

Source: Engel et al., DDSP (2020); sizes and overlap of "Distilling DDSP" (Giudici et al., JAES 73, 2025).
"""

from __future__ import annotations

import torch
from torch import Tensor

SIZES = (2048, 1024, 512, 256, 128, 64)
OVERLAP = 4  # a window, in steps
SILENT = 1e-5  # -100 dB, about the noise of 16 bits: nobody hears what a model leaves out below it


def magnitudes(audio: Tensor, size: int) -> Tensor:
    """Of `(batch, samples)`, the Hann-windowed spectra `(batch, bins, frames)`, normalised by the root of `size`."""
    window = torch.hann_window(size, device=audio.device)
    return torch.stft(audio, size, size // OVERLAP, window=window, normalized=True, return_complex=True).abs()


def multi_scale_spectral(wanted: Tensor, given: Tensor) -> Tensor:
    """The MSS loss of two `(batch, samples)`: mean differences of spectra and of their logarithms, over six sizes."""
    losses = []
    for size in SIZES:
        one, other = magnitudes(wanted, size), magnitudes(given, size)
        logs = torch.log(one + SILENT) - torch.log(other + SILENT)
        losses.append((one - other).abs().mean() + logs.abs().mean())
    return torch.stack(losses).sum()
