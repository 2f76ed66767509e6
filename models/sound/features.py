"""Analysis of a recording: pitch and loudness, 250 times a second.

One piece of code for training and for playing: a model that hears other features than it was trained with goes silent.
The pitch is followed by probabilistic YIN (Mauch and Dixon 2014, librosa's), which knows octaves and rests but answers
in steps of 20 cents, and made fine by YIN's own interpolation (de Cheveigné and Kawahara 2002). The loudness is the
paper's code's: an A-weighted mean of a spectrum in dB.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from ...runtime.progress import Progress, unwatched
from ..constants import FLOOR_DB, HOP, SAMPLE_RATE
from ..errors import RecordingError, how_to_install
from .soundfiles import Samples, read_sound

RECORDINGS = (".wav", ".flac")
ANALYSIS = 1  # one more whenever a recording would be analysed to something else
LOWEST_HZ, HIGHEST_HZ = 50.0, 2000.0
PITCH_WINDOW = 1024
PITCH_STEPS = 0.2  # of a semitone: what pYIN chooses from, before YIN makes it fine
LOUDNESS_WINDOW = 2048
LOUDNESS_OFFSET_DB = -20.7
CLIPPED = 8  # samples at full scale, one after the other
# Frames analysed at a time: pYIN's memory grows by 5 MB a second. What is cut off on either side makes its path the
# same as in one piece: half a second is enough, in 96 s of phrases, with noise at -40 dB and without.
PIECE, OVERLAP = 2500, 250


def read_recording(path: Path) -> Samples:
    """A sound file that `check_recording` passes, `(samples,)` at 16 kHz.

    Raises:
        RecordingError: names the file and what is wrong with it.
    """
    samples, sample_rate = read_sound(path)
    check_recording(samples, sample_rate, str(path))
    return samples[:, 0]


def check_recording(samples: Samples, sample_rate: int, name: str) -> None:
    """`RecordingError`, which names the recording, unless a model can learn from it or be played by it.

    Args:
        samples: `(samples,)` or `(samples, channels)`, full scale 1.
        sample_rate: in Hz.
        name: the file's.
    """
    channels = samples.shape[1] if samples.ndim == 2 else 1
    if channels != 1 or sample_rate != SAMPLE_RATE:
        raise RecordingError(
            f"{name} has {describe(channels, sample_rate)}, a model needs {describe(1, SAMPLE_RATE)}: "
            + conversion(name, SAMPLE_RATE)
        )
    if not np.isfinite(samples).all():
        raise RecordingError(f"{name} has samples that are not numbers (NaN or infinite): export it again")
    if len(samples) < PITCH_WINDOW:
        raise RecordingError(f"{name} has {len(samples)} samples: pitch tracking needs at least {PITCH_WINDOW}")
    if np.max(np.abs(samples)) < 10 ** (FLOOR_DB / 20):
        raise RecordingError(f"{name} is silent: no sample is above {FLOOR_DB:.0f} dB of full scale; record it louder")
    if np.max(np.abs(samples)) > 1.001:
        raise RecordingError(f"{name} exceeds full scale (peak {np.max(np.abs(samples)):.3g}): lower its level")
    if _longest_run(np.abs(samples.ravel()) >= 0.999) >= CLIPPED:
        raise RecordingError(
            f"{name} is clipped: {CLIPPED} samples or more in a row are at full scale; record it softer"
        )


def describe(channels: int, sample_rate: int) -> str:
    """`2 channels at 44100 Hz`."""
    return f"{channels} channel{'s' if channels > 1 else ''} at {sample_rate} Hz"


def conversion(name: str, sample_rate: int) -> str:
    """The command that makes a mono file at that rate, in the current folder, of the file `name`."""
    made = f"{Path(name).stem}-{sample_rate}.wav"
    return shlex.join(["ffmpeg", "-i", name, "-ac", "1", "-ar", str(sample_rate), made])


def _longest_run(marked: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]])))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def analyse(samples: Samples, progress: Progress = unwatched) -> dict[str, Samples]:
    """The controls of a recording that `check_recording` has passed.

    Args:
        samples: `(samples,)` at 16 kHz.
        progress: told how far it is, in frames.

    Returns:
        `f0_hz` and `loudness_db`, `(frames,)`, one frame for every 64 samples begun. In rests the pitch stays what it
        was; before the first note it is the first note's.

    Raises:
        RecordingError: without librosa; a message says how it is installed.
    """
    return {"f0_hz": pitch_hz(samples, progress)[0], "loudness_db": loudness_db(samples)}


def frame_count(samples: Samples) -> int:
    """Frames of 64 samples, the last one begun."""
    return -(-len(samples) // HOP)


def loudness_db(samples: Samples) -> Samples:
    """A-weighted loudness, `(frames,)`, from -80 dB.

    Frame k hears samples 64 k to 64 k + 2047, the end padded with silence: as in the paper's code, it knows 128 ms
    of what comes.
    """
    frames = frame_count(samples)
    padded = np.pad(samples, (0, (frames - 1) * HOP + LOUDNESS_WINDOW - len(samples)))
    ends = ((start, min(start + PIECE, frames)) for start in range(0, frames, PIECE))
    return np.concatenate([_levels(padded[start * HOP : (stop - 1) * HOP + LOUDNESS_WINDOW]) for start, stop in ends])


def _levels(samples: Samples) -> Samples:
    """The loudness of every frame that lies in `samples` whole."""
    librosa = _librosa()
    spectrum = np.abs(librosa.stft(samples, n_fft=LOUDNESS_WINDOW, hop_length=HOP, center=False))
    with np.errstate(divide="ignore"):  # at 0 Hz, which A_weighting then limits
        weights = librosa.A_weighting(librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=LOUDNESS_WINDOW))
    levels = 20 * np.log10(np.maximum(spectrum, 1e-20)) + weights[:, None] + LOUDNESS_OFFSET_DB
    return np.maximum(levels.mean(0), FLOOR_DB).astype(np.float32)


def pitch_hz(samples: Samples, progress: Progress = unwatched) -> tuple[Samples, NDArray[np.bool_]]:
    """The pitch, `(frames,)`, and where there is one; in rests it stays what it was.

    ```
    pieces   |  PIECE frames  |  PIECE frames  |  ...  |
    heard    |                OVERLAP|
                       |OVERLAP                OVERLAP|
    ```
    """
    frames = frame_count(samples)
    pitch, voiced = np.empty(frames), np.empty(frames, bool)
    for start in range(0, frames, PIECE):
        stop, heard = min(start + PIECE, frames), max(start - OVERLAP, 0)
        tracked = _tracked(samples[heard * HOP : (stop + OVERLAP) * HOP])
        pitch[start:stop], voiced[start:stop] = (track[start - heard : stop - heard] for track in tracked)
        progress("follow pitch and loudness", stop, frames)
    return _held(pitch, voiced).astype(np.float32), voiced


def _tracked(samples: Samples) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The pitch of each frame, and whether there is one; without one, it is a guess."""
    tracked, voiced, fine = _followed(_librosa(), samples)
    near = np.abs(np.log2(fine / tracked)) < PITCH_STEPS / 12
    return np.where(near, fine, tracked), voiced


def _held(pitch: NDArray[np.floating], voiced: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Each frame's pitch, where it has none the last one's that has; 440 Hz where there never is one."""
    if not voiced.any():
        return np.full_like(pitch, 440.0)
    last = np.maximum.accumulate(np.where(voiced, np.arange(len(pitch)), 0))
    return pitch[np.maximum(last, np.argmax(voiced))]


def _followed(librosa: Any, samples: Samples) -> tuple[NDArray, NDArray, NDArray]:
    """Of each frame pYIN's pitch, whether it has one, and YIN's pitch."""
    how = {"sr": SAMPLE_RATE, "fmin": LOWEST_HZ, "fmax": HIGHEST_HZ, "frame_length": PITCH_WINDOW, "hop_length": HOP}
    tracked, voiced, _ = librosa.pyin(samples, resolution=PITCH_STEPS, fill_na=None, **how)
    return tracked, voiced, librosa.yin(samples, **how)


@functools.cache
def _librosa() -> Any:
    """librosa with everything compiled that we use of it, by one process at a time.

    Two that fill Numba's cache at once can leave it so that every later use of it crashes (numba 0.68, at address 0).
    """
    folder = Path(platformdirs.user_cache_dir("tonearm")) / "numba"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            import librosa
        except ImportError as error:
            raise RecordingError(f"analysing a recording needs librosa: {how_to_install('train')}") from error
        _followed(librosa, np.zeros(2 * PITCH_WINDOW, np.float32))
    return librosa
