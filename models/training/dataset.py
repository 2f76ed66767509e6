"""The data of a training: recordings cut into phrases, with their features, in three parts that share no phrase.

A folder of .wav or .flac files, or an instrument's made-up phrases, which are written as such a folder first.
"""

from __future__ import annotations

import functools
import hashlib
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import soundfile

from ...runtime.clip import UNREADABLE, read_arrays, write_arrays
from ...runtime.files import whole
from ...runtime.progress import Progress, unwatched
from ..constants import HOP, SAMPLE_RATE
from ..errors import DataError, RecordingError
from ..sound.features import ANALYSIS, RECORDINGS, Samples, analyse, read_recording
from .instruments import INSTRUMENTS, PHRASE_SECONDS
from .phrases import RECIPE, phrase

PHRASES = 100  # of an instrument
SHARE = 0.1  # of the phrases, for validation, and as many to test
SHORTEST = 1.0  # seconds; what a file has left over beyond its phrases
SPLIT_SEED = 0
LICENCE = "MIT (Fluid R3 GM, Frank Wen)"


@dataclass(frozen=True)
class Phrase:
    """A recording `(frames * 64,)` and what it was analysed to, `(frames,)` each."""

    name: str
    audio: Samples
    f0_hz: Samples
    loudness_db: Samples


@dataclass(frozen=True)
class DataSet:
    """Phrases to learn from, to watch the learning with, and to judge it by.

    `about` says where they come from, `licence` what may be done with them.
    """

    train: Sequence[Phrase]
    validation: Sequence[Phrase]
    test: Sequence[Phrase]
    about: str
    licence: str


def instrument_data(name: str, progress: Progress, cache: Path | None = None, count: int = PHRASES) -> DataSet:
    """An instrument's made-up phrases; they are made once and kept.

    Args:
        name: one of `INSTRUMENTS`.
        progress: told how far it is.
        cache: default: the user's.
        count: of phrases, the first seeds'.

    Raises:
        DataError: without FluidSynth or its soundfont.
    """
    cache = cache or cache_folder()
    folder = cache / "phrases" / f"{name}-{RECIPE}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}-{seed:03d}.wav" for seed in range(count)]
    missing = [(name, seed, file) for seed, file in enumerate(files) if not file.is_file()]
    for done, _ in enumerate(parallel(_make, missing)):
        progress(f"play phrases on the {name}", done + 1, len(missing))
    about = f"{count} phrases of {PHRASE_SECONDS:g} s, {name} of FluidR3_GM played by FluidSynth"
    return _split(_read(files, cache, progress), about, LICENCE)


def _make(job: tuple[str, int, Path]) -> None:
    from .soundfont import play

    name, seed, file = job
    samples = play(INSTRUMENTS[name], phrase(INSTRUMENTS[name], seed))
    with whole(file) as part:
        soundfile.write(part, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")


def folder_data(folder: Path, progress: Progress, cache: Path | None = None) -> DataSet:
    """All .wav and .flac files of a folder, cut into phrases of eight seconds.

    Raises:
        DataError: when there are none, or too few for three parts.
        RecordingError: names a file that no model can learn from.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}: give one of recordings, mono, at {SAMPLE_RATE} Hz")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in RECORDINGS)
    if not files:
        raise DataError(
            f"{folder} holds no .wav or .flac files: give a folder of recordings, mono, at {SAMPLE_RATE} Hz"
        )
    phrases = _read(files, cache or cache_folder(), progress, folder)
    seconds = sum(len(p.audio) for p in phrases) / SAMPLE_RATE
    return _split(phrases, f"{len(files)} recordings, {seconds:.0f} s, of {folder.name}", "not known")


def read_phrases(files: Iterable[Path], cache: Path | None = None) -> list[Phrase]:
    """The phrases of some recordings, analysed."""
    return _read(list(files), cache or cache_folder(), unwatched)


def cache_folder() -> Path:
    """Where phrases and features are kept."""
    return Path(platformdirs.user_cache_dir("tonearm"))


def _read(files: list[Path], cache: Path, progress: Progress, root: Path | None = None) -> list[Phrase]:
    """Check and cut all files, then analyse every phrase: a bad file is found before any time is spent.

    What is there twice is read once: its copy could be among what judges the model that learned from it.
    """
    pieces: dict[str, tuple[str, Samples]] = {}
    for done, file in enumerate(files):
        name = str(file.relative_to(root).with_suffix("")) if root else file.stem
        for start, audio in _pieces(file):
            pieces.setdefault(_key(audio), (f"{name}@{start:g}s", audio))
        progress("read the recordings", done + 1, len(files))
    found = []
    for phrase_ in parallel(functools.partial(_analysed, cache), list(pieces.values())):
        found.append(phrase_)
        progress("follow pitch and loudness", len(found), len(pieces))
    return found


def _pieces(file: Path) -> Iterator[tuple[float, Samples]]:
    """A file's phrases of whole frames, and the second each begins at; what is left at the end if it is long enough."""
    samples = read_recording(file)
    size, shortest = int(PHRASE_SECONDS * SAMPLE_RATE), int(SHORTEST * SAMPLE_RATE)
    if len(samples) < shortest:
        raise RecordingError(f"{file} lasts {len(samples) / SAMPLE_RATE:.2f} s: a phrase needs at least {SHORTEST:g} s")
    for start in range(0, len(samples) - shortest + 1, size):
        piece = samples[start : start + size]
        yield start / SAMPLE_RATE, piece[: len(piece) // HOP * HOP]


def _key(audio: Samples) -> str:
    return hashlib.sha256(audio.tobytes()).hexdigest()


def _analysed(cache: Path, piece: tuple[str, Samples]) -> Phrase:
    """The phrase, its features from the cache or put there."""
    name, audio = piece
    file = cache / f"features-{ANALYSIS}" / f"{_key(audio)}.npz"
    features = _kept(file, len(audio) // HOP)
    if features is None:
        features = analyse(audio)
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part:
            write_arrays(part, features)
    return Phrase(name, audio, features["f0_hz"], features["loudness_db"])


def _kept(file: Path, frames: int) -> dict[str, Samples] | None:
    """The features in a file, if it is whole."""
    try:
        found = read_arrays(file)
        whole = all(found[name].shape == (frames,) for name in ("f0_hz", "loudness_db"))
    except UNREADABLE:
        return None
    return found if whole else None


def parallel(work: Callable, jobs: list) -> Iterator:
    """The results in order, from all processors; a few jobs are done here."""
    if len(jobs) < 4:
        yield from map(work, jobs)
        return
    # An interruption reaches every process: this one alone is to say so.
    with ProcessPoolExecutor(initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            yield from pool.map(work, jobs)
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process was killed (out of memory?): finished work is kept; run the command again"
            ) from error


def _split(phrases: list[Phrase], about: str, licence: str) -> DataSet:
    """Each phrase into one part, by a seeded shuffle."""
    held = max(1, round(SHARE * len(phrases)))
    if len(phrases) < 2 * held + 1:
        raise DataError(
            f"too few phrases of {PHRASE_SECONDS:g} s for training, validation and test ({len(phrases)}): give "
            f"at least 3, {3 * PHRASE_SECONDS:g} s of sound"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(phrases))
    shuffled = [phrases[index] for index in order]
    return DataSet(shuffled[2 * held :], shuffled[:held], shuffled[held : 2 * held], about, licence)
