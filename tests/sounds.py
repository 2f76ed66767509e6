"""What tests of recordings share: tones whose pitch and level are known, and files of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from tonearm.models.features import SAMPLE_RATE, Samples


def seconds(length: float) -> np.ndarray:
    """The times of the samples of a clip."""
    return np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE


def tone(hz: np.ndarray, level: float = 0.1) -> Samples:
    """A tone of five harmonics whose pitch is `hz`, sample by sample; 0 is silence."""
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE
    harmonics = [np.sin(k * phase) * (k * hz < SAMPLE_RATE / 2) / k for k in range(1, 6)]
    return (level * (hz > 0) * np.sum(harmonics, 0)).astype(np.float32)


def write_tone(path: Path, length: float, hz: float = 330.0) -> Path:
    """A recording of one tone, 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(np.full(round(length * SAMPLE_RATE), hz)), SAMPLE_RATE)
    return path
