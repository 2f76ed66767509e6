"""A phrase as a sampled instrument plays it: the same each time, at the pitch of the score, never clipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tonearm.models.constants import HOP, SAMPLE_RATE
from tonearm.models.errors import DataError
from tonearm.models.sound.features import pitch_hz
from tonearm.models.training.instruments import INSTRUMENTS, PHRASE_SECONDS
from tonearm.models.training.phrases import Note, phrase
from tonearm.models.training.soundfont import SOUNDFONT, cents, play

played = pytest.mark.skipif(
    not (SOUNDFONT.is_file() and shutil.which("fluidsynth")),
    reason="needs FluidSynth and its soundfont: apt install fluidsynth fluid-soundfont-gm",
)
ANALYSED = 5  # seconds, to spare some
EDGE = 0.08  # seconds of a note's ends, where the analysis also hears what is before or after


def wanted_hz(notes: list[Note], frames: int) -> np.ndarray:
    """The score's pitch inside the notes, bends and vibrato and all; NaN elsewhere."""
    hz, time = np.full(frames, np.nan), np.arange(frames) * HOP / SAMPLE_RATE
    for note in notes:
        inside = (time > note.start + EDGE) & (time < note.start + note.length - EDGE)
        off = cents(note, time[inside] - note.start)
        hz[inside] = 440 * 2 ** ((note.pitch - 69) / 12 + off / 1200)
    return hz


@played
@pytest.mark.parametrize(("name", "seed"), [("flute", 0), ("trumpet", 1), ("violin", 1), ("piano", 0)])
def test_the_pitch_is_the_scores_and_the_peak_below_full_scale(name: str, seed: int) -> None:
    notes = phrase(INSTRUMENTS[name], seed)
    samples = play(INSTRUMENTS[name], notes)
    assert samples.shape == (PHRASE_SECONDS * SAMPLE_RATE,) and samples.dtype == np.float32
    assert 0.01 < np.max(np.abs(samples)) < 1
    found, voiced = pitch_hz(samples[: ANALYSED * SAMPLE_RATE])
    wanted = wanted_hz(notes, len(found))
    inside = voiced & np.isfinite(wanted)
    off = 1200 * np.log2(found[inside] / wanted[inside])
    assert np.count_nonzero(inside) > 0.9 * np.count_nonzero(np.isfinite(wanted)) > 200
    assert abs(np.median(off)) < 20
    assert np.mean(np.abs(off) < 50) > 0.95


@played
@pytest.mark.parametrize("name", ["flute", "trumpet", "violin"])
def test_bends_and_vibrato_are_heard_as_the_score_has_them(name: str) -> None:
    bent = Note(0.2, 0.8, 72, 100, bend_cents=-150.0)
    trembling = Note(1.2, 1.0, 72, 100, vibrato_cents=40.0)
    found, _ = pitch_hz(play(INSTRUMENTS[name], [bent, trembling])[: int(2.5 * SAMPLE_RATE)])
    time = np.arange(len(found)) * HOP / SAMPLE_RATE
    for note, first, last in ((bent, 0.04, 0.12), (trembling, 0.5, 0.9)):
        inside = (time > note.start + first) & (time < note.start + last)
        score = cents(note, time[inside] - note.start)
        heard = 1200 * np.log2(found[inside] / 440) - 300
        assert np.ptp(score) > 60
        assert np.max(np.abs(heard - np.median(heard) - score + np.median(score))) < 25


@played
def test_a_phrase_sounds_the_same_every_time() -> None:
    notes = phrase(INSTRUMENTS["violin"], 3)
    first, again = (play(INSTRUMENTS["violin"], notes) for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_a_missing_soundfont_is_answered_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no soundfont at .*gm\.sf2: apt install fluidsynth fluid-soundfont-gm"):
        play(INSTRUMENTS["flute"], phrase(INSTRUMENTS["flute"], 0), tmp_path / "gm.sf2")


def test_a_missing_fluidsynth_is_answered_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gm.sf2").write_text("never read")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="fluidsynth is not installed: apt install fluidsynth fluid-soundfont-gm"):
        play(INSTRUMENTS["flute"], phrase(INSTRUMENTS["flute"], 0), tmp_path / "gm.sf2")


@played
def test_a_damaged_soundfont_is_not_played_by_another(tmp_path: Path) -> None:
    """FluidSynth itself goes on with its default one, and ends with status 0."""
    with SOUNDFONT.open("rb") as stream:
        (tmp_path / "gm.sf2").write_bytes(stream.read(100_000))
    for content in (None, b"no soundfont"):
        if content:
            (tmp_path / "gm.sf2").write_bytes(content)
        with pytest.raises(DataError, match=r"fluidsynth failed to play .*gm\.sf2.*apt install.*error"):
            play(INSTRUMENTS["flute"], phrase(INSTRUMENTS["flute"], 0), tmp_path / "gm.sf2")


@pytest.mark.parametrize(("status", "said"), [(1, "out of memory"), (0, "error: no such preset"), (3, "")])
def test_what_fluidsynth_says_as_it_fails_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    program = tmp_path / "fluidsynth"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")
    program.chmod(0o755)
    (tmp_path / "gm.sf2").write_text("never read")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(DataError, match=f"fluidsynth failed.*: {said or 'exit status 3'}"):
        play(INSTRUMENTS["flute"], phrase(INSTRUMENTS["flute"], 0), tmp_path / "gm.sf2")
