"""How far two renderings of one clip are from each other: greatest difference and signal-to-noise ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.parity import full_scale_error
from ..runtime.sound import are_finite
from .errors import BenchError

if TYPE_CHECKING:
    from ..export.streaming import StreamingModule

FRAMES = 512
WINDOW = 1024


@dataclass(frozen=True)
class Difference:
    """`error` is the greatest difference, relative to full scale; `snr_db` the wanted signal over the difference.

    Where a number is not finite the error is infinite, and the wanted signal is nothing against the difference.
    """

    error: float
    snr_db: float

    def __str__(self) -> str:
        """As tables have it."""
        if not math.isfinite(self.error):
            return "not finite"
        return f"{self.error:.1e}, {self.snr_db:.0f} dB" if self.snr_db < math.inf else "equal"


def difference(wanted: np.ndarray, got: np.ndarray) -> Difference:
    """Of two arrays of one shape; `BenchError` where they have different ones."""
    if wanted.shape != got.shape:
        raise BenchError(f"sound of shape {got.shape} can't be compared with sound of shape {wanted.shape}")
    if not are_finite([wanted, got]):
        return Difference(math.inf, -math.inf)
    wanted = wanted.astype(np.float64)
    noise, signal = np.sum((wanted - got) ** 2), np.sum(wanted**2)
    snr_db = float(10 * np.log10(signal / noise)) if noise and signal else math.inf if not noise else -math.inf
    return Difference(full_scale_error(wanted, got), snr_db)


def compare(wanted: StreamingModule, got: StreamingModule) -> tuple[Difference, Difference]:
    """The audio that two modules make of the first one's example clip: as waveforms, and as magnitude spectra."""
    from ..export.streaming import render

    inputs = wanted.example(FRAMES)
    waves = [render(module, inputs)["audio"][0].numpy() for module in (wanted, got)]
    return difference(*waves), difference(*map(_spectrum, waves))


def _spectrum(wave: np.ndarray) -> np.ndarray:
    """Magnitudes of Hann windows of `WINDOW` samples, half overlapping, `(windows, bins)`."""
    windows = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[:: WINDOW // 2]
    return np.abs(np.fft.rfft(windows * np.hanning(WINDOW)))
