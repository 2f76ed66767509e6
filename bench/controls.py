"""Controls from files, and sound into files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import soundfile

from ..runtime.bundle import Bundle
from ..runtime.clip import UNREADABLE, check_signals, read_arrays, write_arrays
from ..runtime.errors import SignalError
from .errors import ControlsError


def read_controls(path: Path, bundle: Bundle) -> dict[str, np.ndarray]:
    """The bundle's inputs from an .npz (arrays) or a .csv (columns) by name, `(1, frames, width)` each.

    Noise that is not given is made, seeded. `ControlsError` names what is missing or does not fit.
    """
    readers = {".npz": _read_npz, ".csv": _read_csv}
    if path.suffix not in readers:
        raise ControlsError(f"{path}: controls are read from .csv or .npz, not from {path.suffix or 'this'}")
    if not path.is_file():
        raise ControlsError(f"{path} is not there")
    given = readers[path.suffix](path)
    names = [signal.name for signal in bundle.inputs]
    try:
        return check_signals(bundle, {name: given[name] for name in names if name in given})
    except SignalError as error:
        raise ControlsError(f"{path}: {error} (it has {', '.join(given) or 'nothing'})") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except UNREADABLE as error:
        raise ControlsError(f"{path} is not an .npz of plain arrays") from error


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    try:
        table = pandas.read_csv(path, comment="#", skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise ControlsError(f"{path} is not a table: {error}") from error
    return {str(name): table[name].to_numpy() for name in table}


def write_sound(path: Path, outputs: dict[str, np.ndarray], sample_rate: int) -> str:
    """Write `(samples,)` outputs to an .npz, or the audio to a .wav; a line about it.

    A .wav louder than full scale is scaled down to fit, and the line says so.
    """
    audio = outputs["audio"]
    text = f"{path}: {audio.size / sample_rate:.2f} s at {sample_rate} Hz"
    if path.suffix == ".npz":
        write_arrays(path, outputs)
        return text
    peak = float(np.max(np.abs(audio)))
    gain = min(1.0, 0.99 / peak) if peak else 1.0
    try:
        soundfile.write(path, audio * gain, sample_rate, subtype="PCM_24")
    except soundfile.LibsndfileError as error:
        raise ControlsError(f"{path} can't be written: {error}") from error
    return text if gain == 1 else f"{text}, scaled by {gain:.3g} to fit (peak {peak:.3g})"


def check_target(path: Path) -> None:
    """`ControlsError` unless sound can be written as `path`."""
    if path.suffix not in (".wav", ".npz"):
        raise ControlsError(f"{path}: sound is written as .wav or .npz")
    path.parent.mkdir(parents=True, exist_ok=True)
