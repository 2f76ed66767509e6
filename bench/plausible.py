"""Pitch and loudness that no instrument has: what is done with them, and a line about it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .errors import ControlsError

SILENCE_DB = -120.0  # 16 bits reach down to -96 dB, and the models' floor is -80 dB
Note = Callable[[str], None]


def plausible(given: dict[str, np.ndarray], sample_rate: int, note: Note) -> dict[str, np.ndarray]:
    """Controls by name, any shapes, with f0_hz and loudness_db in their ranges.

    A pitch below 0 Hz counts as none, 0; a loudness below -120 dB as -120 dB. `note` hears of both.

    Raises:
        ControlsError: says which is not a number, above half the sample rate, or above 0 dB, and in how many frames.
    """
    checks = {
        "f0_hz": lambda value: _pitch(value, sample_rate, note),
        "loudness_db": lambda value: _loudness(value, note),
    }
    return {
        name: checks[name](value) if name in checks and value.dtype.kind in "iuf" else value
        for name, value in given.items()
    }


def _pitch(value: np.ndarray, sample_rate: int, note: Note) -> np.ndarray:
    _refuse(value, ~np.isfinite(value), "f0_hz is not a finite number", "write 0 where there is no pitch")
    limit = sample_rate / 2
    _refuse(value, value > limit, f"f0_hz is above {limit:g} Hz, half the sample rate,", "give the pitch in Hz")
    below = value < 0
    if below.any():
        note(f"f0_hz is below 0 in {_frames(below)}: taken as 0, no pitch")
    return np.where(below, 0, value)


def _loudness(value: np.ndarray, note: Note) -> np.ndarray:
    infinite = np.isnan(value) | (value == np.inf)
    _refuse(value, infinite, "loudness_db is not a finite number", f"write {SILENCE_DB:g} where it is silent")
    _refuse(value, value > 0, "loudness_db is above 0 dB, full scale,", "give 20 log10 of an amplitude")
    below = value < SILENCE_DB
    if below.any():
        note(f"loudness_db is below {SILENCE_DB:g} dB in {_frames(below)}: taken as {SILENCE_DB:g} dB, silence")
    return np.where(below, SILENCE_DB, value)


def _refuse(value: np.ndarray, wrong: np.ndarray, what: str, how: str) -> None:
    """`ControlsError` where some frame is wrong."""
    if wrong.any():
        first = int(np.argmax(wrong.ravel()))
        raise ControlsError(f"{what} at frame {first} ({value.ravel()[first]:g}), in {_frames(wrong)}: {how}")


def _frames(marked: np.ndarray) -> str:
    return f"{int(marked.sum())} of {marked.size} frames"
