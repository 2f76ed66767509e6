"""Controls and sound from files, and sound into files."""

from __future__ import annotations

import io
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from ..models.constants import HOP, SAMPLE_RATE
from ..models.sound.features import RECORDINGS, analyse, conversion, describe, read_recording
from ..models.sound.soundfiles import read_sound
from ..runtime.bundle import Bundle
from ..runtime.clip import UNREADABLE, check_signals, padded_frames, read_arrays, write_arrays
from ..runtime.errors import SignalError, SoundError
from ..runtime.files import whole
from ..runtime.progress import Progress, unwatched
from ..runtime.sound import check_named
from .control_tables import read_table
from .errors import ControlsError
from .plausible import plausible

SILENT_DB = -65.0  # in the flute phrases that come along, notes are above it
RANGE_DB = 20.0  # and rests 20 dB and more below notes
ANALYSED = {("f0_hz", 1), ("loudness_db", 1)}  # names and widths of what a recording is analysed to


def read_controls(
    path: Path, bundle: Bundle, progress: Progress = unwatched, note: Callable[[str], None] = lambda line: None
) -> dict[str, np.ndarray]:
    """The bundle's inputs, `(1, frames, width)` each.

    From an .npz (arrays) or a .csv (columns) by name, or from a recording: as it is where the bundle has one input
    of audio, analysed where it takes pitch and loudness. Noise that is not given is made, seeded. `note` hears of
    frames that are not taken as they are.

    Raises:
        ControlsError: names what is missing or does not fit.
        RecordingError: names a recording that can't be analysed, and says what to do.
    """
    names = [signal.name for signal in bundle.inputs]
    readers = {".npz": _read_npz, ".csv": lambda path: read_table(path, names)}
    readers |= dict.fromkeys(RECORDINGS, lambda path: _read_recording(path, bundle, progress))
    if path.suffix.lower() not in readers:
        raise ControlsError(f"{path}: controls are read from {', '.join(readers)}, not from {path.suffix or 'this'}")
    if not path.is_file():
        raise ControlsError(f"there is no file {path}")
    given = readers[path.suffix.lower()](path)
    try:
        taken = {name: given[name] for name in names if name in given}
        return check_signals(bundle, plausible(taken, bundle.sample_rate, note) if _is_ours(bundle) else taken)
    except ControlsError as error:
        raise ControlsError(f"{path}: {error}") from error
    except SignalError as error:
        raise ControlsError(f"{path}: {error} (it has {', '.join(given) or 'nothing'})") from error


def _is_ours(bundle: Bundle) -> bool:
    """Whether it takes pitch and loudness as the families here do; what others mean by these names is theirs."""
    return {(signal.name, signal.width) for signal in bundle.inputs} >= ANALYSED


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except UNREADABLE as error:
        empty = "" if path.stat().st_size else ": it is empty"
        raise ControlsError(f"{path} is not an .npz of plain arrays{empty}") from error


def _read_recording(path: Path, bundle: Bundle, progress: Progress) -> dict[str, np.ndarray]:
    """The recording as the bundle takes it: analysed, or as its input of audio."""
    needed = [signal for signal in bundle.inputs if not signal.noise]
    if len(needed) == 1 and needed[0].width == bundle.hop:
        return {needed[0].name: _read_audio(path, bundle)}
    if {(signal.name, signal.width) for signal in needed} != ANALYSED:
        raise ControlsError(_not_given(path, bundle))
    if (bundle.sample_rate, bundle.hop) != (SAMPLE_RATE, HOP):
        raise ControlsError(
            f"{path}: {bundle.name} runs at {bundle.sample_rate} Hz with a hop of {bundle.hop}, and a recording is "
            f"analysed at {SAMPLE_RATE} Hz with a hop of {HOP}: give f0_hz and loudness_db in a .csv or an .npz"
        )
    return analyse(read_recording(path), progress)


def _not_given(path: Path, bundle: Bundle) -> str:
    needed = [signal for signal in bundle.inputs if not signal.noise]
    others = [signal.name for signal in needed if signal.width != bundle.hop]
    return (
        f"{path}: {bundle.name} takes {', '.join(signal.name for signal in needed)}, and a recording does not give "
        f"{', '.join(others) or 'all of them'}: give all of them by name in an .npz"
    )


def _read_audio(path: Path, bundle: Bundle) -> np.ndarray:
    """`(samples,)`, silence at the end until all of it has come out."""
    samples, rate = read_sound(path)
    if (samples.shape[1], rate) != (1, bundle.sample_rate):
        raise ControlsError(
            f"{path} has {describe(samples.shape[1], rate)}, {bundle.name} takes {describe(1, bundle.sample_rate)}: "
            + conversion(str(path), bundle.sample_rate)
        )
    if not samples.size:
        raise ControlsError(f"{path} is empty")
    total = padded_frames(-(-len(samples) // bundle.hop), bundle.hop, bundle.latency) * bundle.hop
    return np.pad(np.asarray(samples[:, 0], np.float32), (0, total - len(samples)))


def cut_to(path: Path, outputs: dict[str, np.ndarray], bundle: Bundle) -> dict[str, np.ndarray]:
    """The outputs, `(samples,)` each, as long as what was read from `path`, if that was a recording."""
    if path.suffix.lower() not in RECORDINGS:
        return outputs
    samples = soundfile.info(path).frames
    return {s.name: outputs[s.name][: -(-samples * s.width // bundle.hop)] for s in bundle.outputs}


def audio_output(bundle: Bundle) -> str | None:
    """The output that is the sound: `audio`, or the only one as wide as a hop."""
    names = [signal.name for signal in bundle.outputs if signal.width == bundle.hop]
    return "audio" if "audio" in names else names[0] if len(names) == 1 else None


def write_sound(path: Path, outputs: dict[str, np.ndarray], bundle: Bundle) -> str:
    """Write `(samples,)` outputs to an .npz, or the audio to a .wav; a line about it.

    A .wav louder than full scale is scaled down to fit, and the line says so. `ControlsError` where an output is
    missing, is not a row of finite floats, or is of another length than the others; then nothing is written.
    """
    _check_sound(path, outputs, bundle)
    rate, name = bundle.sample_rate, audio_output(bundle)
    sizes = {signal.name: outputs[signal.name].size * bundle.hop // signal.width for signal in bundle.outputs}
    text = f"{path}: {max(sizes.values()) / rate:.2f} s at {rate} Hz"
    if path.suffix == ".npz":
        _keep(path, lambda part: write_arrays(part, outputs))
        return text
    if name is None:
        raise ControlsError(_no_sound(path, bundle))
    audio = outputs[name]
    peak = float(np.max(np.abs(audio)))
    gain = min(1.0, 0.99 / peak) if peak else 1.0
    stream = io.BytesIO()  # libsndfile does not tell of a disk that is full
    soundfile.write(stream, audio * gain, rate, subtype="PCM_24", format="WAV")
    _keep(path, lambda part: part.write_bytes(stream.getvalue()))
    return text if gain == 1 else f"{text}, scaled by {gain:.3g} to fit (peak {peak:.3g})"


def _keep(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole; where it can't be, the board's work is kept in another place, which the error names."""
    try:
        with whole(path) as part:
            write(part)
    except OSError as error:
        reason = f"{path} on this machine can't be written ({error.strerror or error})"
        other = Path(tempfile.gettempdir(), f"tonearm-{secrets.token_hex(4)}{path.suffix}")
        try:
            with whole(other) as part:
                write(part)
        except OSError:
            raise ControlsError(
                f"{reason}, nor can anything in {other.parent}: free some space and run it again"
            ) from error
        raise ControlsError(f"{reason}: it is kept as {other}") from error


def _check_sound(path: Path, outputs: dict[str, np.ndarray], bundle: Bundle) -> None:
    try:
        check_named(bundle, outputs)
    except SoundError as error:
        raise ControlsError(f"{path} is not written: {error}") from error
    sizes = {signal.name: outputs[signal.name].size * bundle.hop / signal.width for signal in bundle.outputs}
    if max(sizes.values()) - min(sizes.values()) >= bundle.hop:  # cut to a recording, they may differ within a hop
        told = ", ".join(f"{name} {size / bundle.sample_rate:.3f} s" for name, size in sizes.items())
        raise ControlsError(f"{path} is not written: its outputs are not equally long ({told})")


def remark_on(path: Path, signals: dict[str, np.ndarray]) -> str:
    """What a person should know of an analysed recording before they wonder at its sound; empty if it is fine."""
    if path.suffix.lower() not in RECORDINGS or "loudness_db" not in signals:
        return ""
    quiet, loud = np.percentile(signals["loudness_db"], (5, 95))
    if loud < SILENT_DB:
        return f"nearly all of it counts as silence (95% is below {loud:.0f} dB): record it louder"
    if loud - quiet < RANGE_DB:
        return f"its soft and loud parts are only {loud - quiet:.0f} dB apart: background noise may be played as notes"
    return ""


def check_target(path: Path, source: Path) -> None:
    """`ControlsError` unless sound can be written as `path`, and is not what it is made of."""
    if path.suffix not in (".wav", ".npz"):
        raise ControlsError(f"{path}: sound is written as .wav or .npz")
    if path.resolve() == source.resolve():
        raise ControlsError(f"{path} is both input and output: name another file with -o")
    path.parent.mkdir(parents=True, exist_ok=True)


def check_sound(path: Path, bundle: Bundle) -> None:
    """`ControlsError` unless what the bundle gives can be written as `path`."""
    if path.suffix != ".npz" and audio_output(bundle) is None:
        raise ControlsError(_no_sound(path, bundle))


def _no_sound(path: Path, bundle: Bundle) -> str:
    given = ", ".join(signal.name for signal in bundle.outputs)
    return f"{path}: the outputs of {bundle.name} ({given}) are not one audio signal: write them to an .npz"
