"""Loud, silent and extreme signals, which a model must answer with finite numbers: what nobody thought of in training.

What lies within full scale (of a control: within the range of its example, and 0, with which every stream begins) will
be played, so a model that can't play it is refused. Above that a sound card gives nothing, but a plug-in before it or a
file of floats may: whoever makes the model is warned, and decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ABOVE = (4.0, 1000.0)  # times full scale: 12 dB, which happens, and 60 dB, which only a fault makes
DENORMAL = 1e-40  # as float32; where a reverb or a decay has died away


def within(low: float, high: float, frames: int, width: int) -> Iterator[tuple[str, np.ndarray]]:
    """What a signal may be at most, in words, and as `(1, frames, width)` float32."""
    shape = (1, frames, width)
    count = np.arange(frames * width)
    yield "0 throughout", np.zeros(shape, np.float32)
    for value in dict.fromkeys((high, low)):
        yield f"{value:.4g} throughout", np.full(shape, value, np.float32)
    yield f"{high:.4g} and {low:.4g} by turns", _shaped(np.where(count % 2, low, high), shape)
    jumps = np.where(count // width % 4 < 2, 0.0, high)
    yield f"jumps from 0 to {high:.4g} and back every two frames", _shaped(jumps, shape)
    yield f"one value of {high:.4g} among zeros", _shaped(np.where(count == count.size // 2, high, 0.0), shape)
    yield f"{DENORMAL:g} throughout", np.full(shape, DENORMAL, np.float32)


def beyond(low: float, high: float, frames: int, width: int) -> Iterator[tuple[str, np.ndarray]]:
    """As `within`, for what lies above full scale, or above the range of a control."""
    shape = (1, frames, width)
    for times in ABOVE:
        most = times * max(abs(low), abs(high))
        for value in (most, -most):
            yield f"{value:.4g} throughout", np.full(shape, value, np.float32)
        turns = np.where(np.arange(frames * width) % 2, -most, most)
        yield f"{most:.4g} and {-most:.4g} by turns", _shaped(turns, shape)


def _shaped(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return values.astype(np.float32).reshape(shape)
