"""A clip of controls or audio, cut into the blocks of a stream and put together again.

Signals are `(1, frames, width)`; indexing alone is used where torch tensors come by too.
"""

from __future__ import annotations

import math
import struct
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from .bundle import Bundle
from .errors import BundleError, SignalError

# What numpy raises when a file is no .npz of plain arrays; zipfile's RuntimeErrors say what it can't unpack.
_NUMPY = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, MemoryError)
UNREADABLE = (*_NUMPY, zipfile.BadZipFile, zlib.error, struct.error, RuntimeError)
MAX_ARRAYS = 1024
MAX_BYTES = 1 << 30  # of all arrays of a file
KINDS = "biufcUS"  # numbers and texts
PIECE = 1 << 18  # bytes
_parsing = threading.Lock()
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(source: Path | IO[bytes], most: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name; nothing in it is executed, and it is refused if it takes more than `most` bytes.

    Raises:
        One of `UNREADABLE`, with the array's name.
    """
    with zipfile.ZipFile(source) as archive:
        _check_arrays(archive, most)
        return {one.filename.removesuffix(".npy"): _read_array(archive, one) for one in archive.infolist()}


def _check_arrays(archive: zipfile.ZipFile, most: int) -> None:
    """One of `UNREADABLE` unless the arrays are what they say and what the file has room for; none is read yet."""
    members = archive.infolist()
    if len({one.filename for one in members}) != len(members) or len(members) > MAX_ARRAYS:
        raise ValueError(f"two arrays have the same name, or there are more than {MAX_ARRAYS}")
    total = sum(one.file_size for one in members)
    if total > most:
        raise ValueError(f"its arrays take {total} bytes; at most {most} are allowed")
    for one in members:
        _check_array(archive, one)


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or path.suffix != ".npy":
        raise ValueError(f"{member.filename!r} is not the name of an array")
    with archive.open(member) as stream:
        shape, _, dtype = _header(stream, member.filename)
        if dtype.kind not in KINDS or not dtype.itemsize or any(axis < 0 for axis in shape):
            raise ValueError(f"{member.filename} is of type {dtype}, shape {shape}: not an array of numbers")
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} declares {size} bytes but holds another number")


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array that has been checked."""
    with archive.open(member) as stream:
        shape, by_columns, dtype = _header(stream, member.filename)
        array = np.empty(shape[::-1] if by_columns else shape, dtype)
        flat, start = array.reshape(-1).view(np.uint8), 0
        while piece := stream.read(PIECE):
            flat[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
            start += len(piece)
    if start != array.nbytes:
        raise EOFError(f"{member.filename} is cut short")
    return array.T if by_columns else array


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether its numbers are in columns, and type.

    By one thread at a time: numpy has Python parse headers, and the parser of Python 3.11 counts all threads' depth as
    one, and raises SystemError (https://github.com/python/cpython/issues/106905).
    """
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"{name} has .npy version {version}, which is not supported")
    with _parsing:
        return HEADERS[version](stream)


def read_golden(bundle: Bundle) -> dict[str, np.ndarray]:
    """The golden vectors by name: inputs `(1, frames, width)` and outputs `(frames * width,)`, all finite floats.

    They are stored as they are, so they never take more memory than their file has bytes.

    Raises:
        BundleError: naming the file, and what it has instead.
    """
    path = bundle.folder / bundle.golden
    try:
        if path.is_symlink():
            raise ValueError("it is a link, not a regular file")
        golden = read_arrays(path, path.stat().st_size)
        frames = golden[bundle.inputs[0].name].shape[1]
        wanted = {one.name: (1, frames, one.width) for one in bundle.inputs}
        wanted |= {one.name: (frames * one.width,) for one in bundle.outputs}
        for name, shape in wanted.items():
            if golden[name].shape != shape or golden[name].dtype.kind != "f" or not frames:
                raise ValueError(f"{name} is {golden[name].dtype} of shape {golden[name].shape}, not floats of {shape}")
            if not np.isfinite(golden[name]).all():  # beside infinity, any error is small
                raise ValueError(f"{name} has values that are not finite numbers")
    except (*UNREADABLE, IndexError) as error:
        raise BundleError(f"{path} holds no golden vectors: {error!r}") from error
    return golden


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
            f"a latency of {latency} samples is not a whole number of values of an output with {width} "
            f"values per {hop} samples"
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
        raise SignalError(f"{bundle.name} takes only noise, so the length of the clip is unknown: give {names}")
    frames = int(np.size(given[named.name])) // named.width
    if not frames:
        raise SignalError(f"{named.name} is empty")
    return frames


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if value.dtype.kind not in "iuf":
        kind = "text" if value.dtype.kind in "OSU" else value.dtype
        raise SignalError(f"{name} must hold numbers, not {kind}")
    if value.size != np.prod(shape):
        raise SignalError(f"{name} has shape {value.shape}, the clip needs {shape[1]} frames of width {shape[2]}")
    value = np.ascontiguousarray(value, dtype=np.float32).reshape(shape)
    if not np.isfinite(value).all():
        frame = int(np.argwhere(~np.isfinite(value))[0][1])
        raise SignalError(f"{name} is not a finite number at frame {frame}")
    return value
