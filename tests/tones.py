"""Small recordings for tests: notes of a synthetic instrument whose pitch and loudness are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from tonearm.models.dataset import DataSet, Phrase
from tonearm.models.features import HOP, SAMPLE_RATE, Samples


def tone(f0_hz: float | Samples, seconds: float, level: float = 0.2, harmonics: int = 5) -> Samples:
    """A harmonic tone with soft edges, `(samples,)`; `f0_hz` one pitch or one a sample."""
    count = int(seconds * SAMPLE_RATE)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0_hz, count)) / SAMPLE_RATE
    edge = np.minimum(1, np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.02 * SAMPLE_RATE))
    wave = sum(np.sin(number * phase) / number**1.5 for number in range(1, harmonics + 1))
    return (level * edge * wave).astype(np.float32)


def phrase(name: str, f0_hz: float, seconds: float = 1.0, level: float = 0.2) -> Phrase:
    """A tone as a phrase; its features are said, not analysed."""
    audio = tone(f0_hz, seconds, level)
    frames = len(audio) // HOP
    loudness = np.full(frames, -40 + 20 * np.log10(level / 0.2), np.float32)
    return Phrase(name, audio[: frames * HOP], np.full(frames, f0_hz, np.float32), loudness)


def small_data() -> DataSet:
    """Six phrases of a second."""
    phrases = [phrase(f"tone-{hz}", hz, level=level) for hz, level in ((200, 0.3), (300, 0.1), (400, 0.2), (250, 0.2))]
    return DataSet(phrases, [phrase("tone-350", 350)], [phrase("tone-280", 280)], "six tones", "none")


def write_recordings(folder: Path, count: int = 4, seconds: float = 1.5) -> Path:
    """A folder of .wav files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        soundfile.write(folder / f"take-{number}.wav", tone(200 + 40 * number, seconds), SAMPLE_RATE)
    return folder
