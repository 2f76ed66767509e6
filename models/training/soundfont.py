"""Phrases as a sampled instrument sounds: a General MIDI soundfont, played by FluidSynth."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import mido
import numpy as np
import scipy.signal
import soundfile

from ..constants import SAMPLE_RATE
from ..errors import DataError
from ..sound.features import Samples
from .instruments import PHRASE_SECONDS, Instrument
from .phrases import Note

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
INSTALL = "apt install fluidsynth fluid-soundfont-gm"
RENDER_RATE = 48_000  # its samples have no low pass of their own: played at 16 kHz they alias
CONTROL_STEP = 0.01  # seconds between two bends or expressions
BEND_RANGE = 2  # semitones either way, General MIDI's own
VIBRATO_ONSET = 0.25
BEND_TIME = 0.12
MILLISECONDS = {"ticks_per_beat": 500, "tempo": 500_000}  # a tick is one


def play(instrument: Instrument, notes: list[Note], soundfont: Path = SOUNDFONT) -> Samples:
    """The phrase, `(samples,)` at 16 kHz, dry, mono.

    Raises:
        DataError: when FluidSynth or the soundfont is missing, or it fails.
    """
    if not soundfont.is_file():
        raise DataError(f"no soundfont at {soundfont}: {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder) / "phrase.mid", Path(folder) / "phrase.wav"
        _midi(instrument, notes).save(score)
        _synthesize(score, sound, soundfont, instrument.gain)
        stereo, _ = soundfile.read(sound, dtype="float32", always_2d=True)
    mono = scipy.signal.resample_poly(stereo.mean(1), 1, RENDER_RATE // SAMPLE_RATE)
    length = int(PHRASE_SECONDS * SAMPLE_RATE)
    return np.pad(mono[:length], (0, max(0, length - len(mono)))).astype(np.float32)


def _synthesize(score: Path, sound: Path, soundfont: Path, gain: float) -> None:
    """Play a MIDI file into a .wav of floats."""
    command = ["fluidsynth", "-niq", "-R", "0", "-C", "0", "-g", str(gain), "-r", str(RENDER_RATE)]
    try:
        done = subprocess.run(
            [*command, "-O", "float", "-T", "wav", "-F", sound, soundfont, score], capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise DataError(f"fluidsynth is not installed: {INSTALL}") from error
    # It ends with 0 after most errors, and plays a soundfont that it can't read with its default one.
    if done.returncode or "error" in done.stderr.lower() or not sound.is_file():
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise DataError(f"fluidsynth failed to play {soundfont}; if it is damaged, {INSTALL}: {said}")


def _midi(instrument: Instrument, notes: list[Note]) -> mido.MidiFile:
    """The score as a MIDI file of one track."""
    events = [(0.0, mido.Message("program_change", program=instrument.program))]
    for note in notes:
        events += _events(note)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=MILLISECONDS["tempo"])])
    now = 0
    for when, message in sorted(events, key=lambda event: event[0]):
        tick = round(when * 1000)
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, round(PHRASE_SECONDS * 1000) - now)))
    return mido.MidiFile(ticks_per_beat=MILLISECONDS["ticks_per_beat"], tracks=[track])


def _events(note: Note) -> list[tuple[float, mido.Message]]:
    """Its control changes, its beginning and its end, with their times."""
    inside = np.arange(0, note.length, CONTROL_STEP)
    bends = np.clip(cents(note, inside) / 100 / BEND_RANGE, -1, 1)
    swell = np.interp(inside / note.length, (0, 0.5, 1), note.swell)
    controls = [
        (note.start + at, message)
        for at, bend, level in zip(inside, bends, swell, strict=True)
        for message in (
            mido.Message("pitchwheel", pitch=round(8191 * bend)),
            mido.Message("control_change", control=11, value=round(127 * level)),
        )
    ]
    on = mido.Message("note_on", note=note.pitch, velocity=note.velocity)
    off = mido.Message("note_off", note=note.pitch)
    return [controls[0], controls[1], (note.start, on), *controls[2:], (note.start + note.length, off)]


def cents(note: Note, seconds: np.ndarray) -> np.ndarray:
    """How far from its pitch the note is, `seconds` after its start."""
    bend = note.bend_cents * np.clip(1 - seconds / BEND_TIME, 0, 1)
    depth = note.vibrato_cents * np.clip((seconds - VIBRATO_ONSET) / 0.2, 0, 1)
    return bend + depth * np.sin(2 * np.pi * note.vibrato_hz * seconds)
