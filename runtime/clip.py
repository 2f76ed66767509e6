"""A clip of controls or audio, cut into the blocks of a stream and put together again.

Signals are `(1, frames, width)`; indexing alone is used where torch tensors come by too.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from .bundle import Bundle
from .errors import SignalError

# What numpy raises when a file is no .npz of plain arrays.
UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile)


def read_arrays(source: Path | IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name; nothing in it is executed."""
    with np.load(source, allow_pickle=False) as arrays:
        return dict(arrays)


def write_arrays(target: Path | IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    """Write arrays by name as an .npz."""
    np.savez(target, **arrays)  # type: ignore[arg-type]


def uniform_noise(frames: int, width: int, seed: int = 0) -> np.ndarray:
    """Seeded uniform noise in [-1, 1), `(1, frames, width)` float32: the same on every machine."""
    samples = np.random.default_rng(seed).random((1, frames, width), dtype=np.float32)
    return 2 * samples - 1


def padded_frames(frames: int, hop: int, latency: int, block_frames: int = 1) -> int:
    """Frames to stream, in whole blocks, until a clip of `frames` has come out entirely.

    ```
    input    | the clip's frames | last | last | last |      repeated only to push the rest out
    blocks   |   block   |   block   |   block   |
    output   -latency-| the clip's samples |  dropped
    ```
    """
    needed = frames + -(-latency // hop)
    return -(-needed // block_frames) * block_frames


def hold_last(signal: Any, frames: int) -> Any:
    """`signal` made `frames` long by repeating its last frame (or cut)."""
    return signal[:, np.minimum(np.arange(frames), signal.shape[1] - 1)]


def lag(latency: int, hop: int, width: int) -> int:
    """A latency in samples as values of an output with `width` values a hop; `SignalError` unless it is whole."""
    values, rest = divmod(latency * width, hop)
    if rest:
        raise SignalError(
            f"a latency of {latency} samples is not a whole number of values of an output that has {width} "
            f"for every {hop} samples"
        )
    return values


def align(signal: Any, values: int, frames: int) -> Any:
    """`(batch, more frames, width)` to `(batch, frames * width)`, the first `values` taken off."""
    return signal.reshape(signal.shape[0], -1)[:, values : values + frames * signal.shape[2]]


def check_signals(bundle: Bundle, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All inputs of the bundle in order, float32, noise filled in; `SignalError` names what does not fit."""
    frames = _frames(bundle, given)
    signals = {}
    for signal in bundle.inputs:
        value = given.get(signal.name)
        if value is None:
            value = uniform_noise(frames, signal.width)
        signals[signal.name] = _checked(signal.name, value, (1, frames, signal.width))
    return signals


def _frames(bundle: Bundle, given: dict[str, np.ndarray]) -> int:
    missing = [signal.name for signal in bundle.inputs if signal.name not in given and not signal.noise]
    if missing:
        raise SignalError(f"{bundle.name} needs the input {', '.join(missing)}")
    named = next((signal for signal in bundle.inputs if signal.name in given), None)
    if named is None:
        names = " or ".join(signal.name for signal in bundle.inputs)
        raise SignalError(f"{bundle.name} takes noise alone, which says nothing of how long the clip is: give {names}")
    frames = int(np.size(given[named.name])) // named.width
    if not frames:
        raise SignalError(f"{named.name} is empty")
    return frames


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if not np.issubdtype(value.dtype, np.number):
        raise SignalError(f"{name} is not made of numbers but of {value.dtype}")
    if value.size != np.prod(shape):
        raise SignalError(f"{name} has shape {value.shape}, the clip needs {shape[1]} frames of {shape[2]}")
    value = np.ascontiguousarray(value, dtype=np.float32).reshape(shape)
    if not np.isfinite(value).all():
        frame = int(np.argwhere(~np.isfinite(value))[0][1])
        raise SignalError(f"{name} is not a finite number at frame {frame}")
    return value
