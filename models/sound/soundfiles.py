"""Sound files, read only where they are whole.

libsndfile reads a .wav to the end of the file, whatever its header says, and nothing of one whose recorder was cut off
before it wrote the length. A recording that is shorter than it was is refused, with the command that keeps what is
there.
"""

from __future__ import annotations

import contextlib
import shlex
import struct
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..errors import RecordingError

RIFFS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
LONG = (b"RF64", b"BW64")  # whose length stands in a chunk of its own
UNKNOWN = 0x7FFFF000  # from here on, a length is none: streams write the largest there is, or nearly that
MAX_CHUNKS = 1000
MAX_FRAMES = 2**40  # libsndfile says 2**63 - 1 where a .flac says nothing
BLOCK = 4096  # frames
SLACK = 64  # bytes: some writers count the header, too

Samples = NDArray[np.float32]


class Header(NamedTuple):
    """Of a .wav: the bytes of sound it says it has (None where it doesn't), those it has, bytes a second, a frame."""

    declared: int | None
    held: int
    rate: int
    frame: int


def read_sound(path: Path) -> tuple[Samples, int]:
    """A sound file: `(samples, channels)`, full scale 1, and its rate in Hz.

    Raises:
        RecordingError: names the file and what is wrong with it; one that is cut short is refused.
    """
    _check_length(path)
    try:
        with soundfile.SoundFile(path) as file:
            return _read(path, file), file.samplerate
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{path} is not a sound file: {error}") from error


def _read(path: Path, file: soundfile.SoundFile) -> Samples:
    if file.frames > MAX_FRAMES:
        raise RecordingError(
            f"{path} does not say how long it is, as it comes from a stream: to use what there is: {_kept(path)}"
        )
    try:
        read = np.asarray(file.read(file.frames, dtype="float32", always_2d=True), np.float32)
    except soundfile.LibsndfileError:
        if not file.frames:
            raise
        read = np.empty((0, file.channels), np.float32)
    if len(read) < file.frames:
        raise RecordingError(_cut(path, file.frames / file.samplerate, _readable(path) / file.samplerate))
    return read


def _readable(path: Path) -> int:
    """How many frames can be read, one after the other."""
    count = 0
    with soundfile.SoundFile(path) as file, contextlib.suppress(soundfile.LibsndfileError):
        while read := len(file.read(BLOCK)):
            count += read
    return count


def _check_length(path: Path) -> None:
    """`RecordingError` for a .wav whose header says more sound than there is, or no length."""
    header = _header(path)
    if header is None:
        return
    has = header.held / header.rate
    if header.declared is None:
        raise RecordingError(
            f"{path} was not finished: its header does not say how long it is, and it has {has:.2f} s; to use those: "
            f"{_kept(path)}"
        )
    if header.declared >= header.held + max(header.frame, SLACK):
        raise RecordingError(_cut(path, header.declared / header.rate, has))


def _cut(path: Path, wanted: float, has: float) -> str:
    return (
        f"{path} is cut short: it should last {wanted:.2f} s and has {has:.2f} s; copy it again, or use what there is: "
        f"{_kept(path)}"
    )


def _kept(path: Path) -> str:
    """The command that makes a whole file of what there is, in the current folder."""
    how = ["-ignore_length", "1"] if path.suffix.lower() == ".wav" else []
    return shlex.join(["ffmpeg", *how, "-i", str(path), f"{path.stem}-kept.wav"])


def _header(path: Path) -> Header | None:
    """What a .wav says of its length; None for another file, which libsndfile judges."""
    try:
        with path.open("rb") as stream:
            return _riff(stream, path.stat().st_size)
    except (OSError, struct.error):
        return None


def _riff(stream: IO[bytes], size: int) -> Header | None:
    kind, whole, wave = struct.unpack("<4s4s4s", stream.read(12))
    if kind not in RIFFS or wave != b"WAVE":
        return None
    order, long, rate, frame = RIFFS[kind], None, 0, 1
    for _ in range(MAX_CHUNKS):
        name, count = struct.unpack(f"{order}4sI", stream.read(8))
        if name == b"data":
            held = size - stream.tell()
            [riff] = struct.unpack(f"{order}I", whole)
            known = _known(count if long is None else long, held, riff + 8 >= size and kind not in LONG)
            return Header(known, held, rate, frame) if rate else None
        content = stream.read(min(count, 64))
        if name == b"ds64" and kind in LONG:
            [long] = struct.unpack("<8xQ", content[:16])
        if name == b"fmt ":
            rate, frame = struct.unpack(f"{order}8xIH", content[:14])
        stream.seek(count + count % 2 - len(content), 1)
    return None


def _known(declared: int, held: int, is_closed: bool) -> int | None:
    """The length, if it is one: a recorder that was cut off has left 0, a stream the largest number there is."""
    if UNKNOWN <= declared <= 0xFFFFFFFF and held < declared:
        return None
    return None if declared == 0 and held and not is_closed else declared
