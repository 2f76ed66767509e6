"""What tests of recordings share: tones whose pitch and level are known, and files of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from tonearm.models.constants import HOP, SAMPLE_RATE
from tonearm.models.sound.features import Samples
from tonearm.models.training.dataset import DataSet, Phrase


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


def write_takes(folder: Path) -> Path:
    """A folder of four recordings."""
    for number in range(4):
        write_tone(folder / f"take-{number}.wav", 1.5, 200 + 40 * number)
    return folder


def phrase(name: str, hz: float, length: float = 1.0, level: float = 0.2) -> Phrase:
    """A tone as a phrase; its features are said, not analysed."""
    frames = int(length * SAMPLE_RATE) // HOP
    loudness = np.full(frames, -40 + 20 * np.log10(level / 0.2), np.float32)
    return Phrase(name, tone(np.full(frames * HOP, hz), level), np.full(frames, hz, np.float32), loudness)


def small_data() -> DataSet:
    """Six tones of a second."""
    learned = [phrase(f"tone-{hz}", hz, level=level) for hz, level in ((200, 0.3), (300, 0.1), (400, 0.2), (250, 0.2))]
    return DataSet(learned, [phrase("tone-350", 350)], [phrase("tone-280", 280)], "six tones", "none")
