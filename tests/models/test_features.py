"""Pitch and loudness of a recording are what was played; recordings that tell nothing are refused by name."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import seconds, tone
from tonearm.models.errors import RecordingError
from tonearm.models.sound import features
from tonearm.models.sound.features import (
    HOP,
    LOUDNESS_WINDOW,
    PIECE,
    SAMPLE_RATE,
    analyse,
    check_recording,
    loudness_db,
    pitch_hz,
    read_recording,
)


def a_weighting_db(hz: np.ndarray) -> np.ndarray:
    """IEC 61672's A curve, from -80 dB as librosa has it: a mean of decibels can't do with minus infinity at 0 Hz."""

    def response(f: np.ndarray) -> np.ndarray:
        ends = (f**2 + 20.6**2) * (f**2 + 12194.0**2)
        return 12194.0**2 * f**4 / (ends * np.sqrt((f**2 + 107.7**2) * (f**2 + 737.9**2)))

    relative = response(hz) / response(np.array(1000.0))
    return 20 * np.log10(np.maximum(relative, 1e-4))


def defined_loudness(samples: np.ndarray, frame: int) -> float:
    """One frame's loudness as the paper's code defines it, in double precision."""
    heard = np.pad(samples.astype(float), (0, LOUDNESS_WINDOW))[frame * HOP :][:LOUDNESS_WINDOW]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(LOUDNESS_WINDOW) / LOUDNESS_WINDOW)
    spectrum = np.abs(np.fft.rfft(heard * window))
    weights = a_weighting_db(np.arange(len(spectrum)) * SAMPLE_RATE / LOUDNESS_WINDOW)
    return max(-80.0, float(np.mean(20 * np.log10(np.maximum(spectrum, 1e-20)) + weights - 20.7)))


def melody() -> np.ndarray:
    """A second of a tone and noise that swell and fade."""
    time = seconds(1)
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(time))
    return ((tone(np.full(len(time), 220.0)) + noise) * np.sin(np.pi * time)).astype(np.float32)


@pytest.mark.parametrize(("hz", "published"), [(100, -19.1), (1000, 0.0), (4000, 1.0), (10_000, -2.5)])
def test_the_weights_of_the_definition_are_the_published_ones(hz: float, published: float) -> None:
    assert float(a_weighting_db(np.array(hz))) == pytest.approx(published, abs=0.06)


def test_loudness_is_the_mean_of_a_weighted_decibels_that_the_definition_says() -> None:
    samples = melody()
    wanted = [defined_loudness(samples, frame) for frame in range(250)]
    assert np.ptp(wanted) > 20
    assert np.max(np.abs(loudness_db(samples) - wanted)) < 0.01


@pytest.mark.parametrize("gain", [0.1, 0.3, 1.0])
def test_what_is_played_20_db_louder_is_20_db_louder(gain: float) -> None:
    samples = (gain * melody()).astype(np.float32)
    soft, loud = loudness_db(samples), loudness_db(10 * samples)
    heard = soft > -79
    assert np.count_nonzero(heard) > 150
    assert loud[heard] - soft[heard] == pytest.approx(20, abs=1e-3)


def test_silence_has_the_loudness_where_the_scale_ends() -> None:
    assert (loudness_db(np.zeros(5000, np.float32)) == -80).all()


@pytest.mark.parametrize("samples", [1024, 1025, 4096, 5000])
def test_there_is_a_frame_for_every_64_samples_begun(samples: int) -> None:
    found = analyse(tone(np.full(samples, 440.0)))
    assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
        name: ((-(-samples // 64),), np.dtype(np.float32)) for name in ("f0_hz", "loudness_db")
    }


GLIDE = "a glide of an octave in two seconds"
VIBRATO = "vibrato of 40 cents, 5.5 times a second"


@pytest.mark.parametrize("low", [65.0, 196.0, 880.0])
@pytest.mark.parametrize("moves", [GLIDE, VIBRATO])
def test_pitch_is_what_was_played(low: float, moves: str) -> None:
    """Within a few cents: a window of 64 ms hears the middle of what moves in it."""
    time = seconds(2)
    octaves = time / 2 if moves == GLIDE else 40 / 1200 * np.sin(2 * np.pi * 5.5 * time)
    hz = low * 2**octaves
    found, voiced = pitch_hz(tone(hz))
    inside = slice(10, -10)
    cents = 1200 * np.log2(found / hz[::HOP])[inside]
    assert voiced[inside].all()
    assert np.max(np.abs(cents)) < 25
    assert np.median(np.abs(cents)) < 7


def test_a_rest_keeps_the_pitch_and_the_first_note_is_there_before_it_begins() -> None:
    parts = [(0.0, 0.3), (262.0, 0.4), (0.0, 0.5), (392.0, 0.4), (0.0, 0.3)]
    hz = np.concatenate([np.full(round(length * SAMPLE_RATE), pitch) for pitch, length in parts])
    found, voiced = pitch_hz(tone(hz))
    first, last = np.flatnonzero(voiced[:250])[[0, -1]]
    assert not voiced[:60].any() and not voiced[200:280].any() and voiced[85:165].all()
    assert np.ptp(found[: first + 1]) == 0 and np.ptp(found[last:280]) == 0
    for frames, pitch in ((slice(0, 280), 262.0), (slice(320, None), 392.0)):
        assert np.max(np.abs(12 * np.log2(found[frames] / pitch))) < 1  # its ends are heard half, as another pitch


def test_where_there_never_is_a_pitch_it_is_that_of_a_tuning_fork() -> None:
    samples = np.zeros(5000, np.float32)
    samples[100] = 0.5
    assert (analyse(samples)["f0_hz"] == 440).all()


def test_a_long_recording_is_analysed_in_pieces_that_join_as_if_it_were_one() -> None:
    """A second beyond the seam: a note with vibrato goes on across it, notes and rests come before and after."""
    time = seconds(PIECE * HOP / SAMPLE_RATE + 1)
    steps = np.array([0, 4, 7, 12, 5])[(time * 1.35).astype(int) % 5]
    hz = 220 * 2 ** ((steps + 0.3 * np.sin(2 * np.pi * 5.5 * time)) / 12) * (time % 2.9 < 2.6)
    samples = (tone(hz) + 0.0005 * np.random.default_rng(0).standard_normal(len(hz))).astype(np.float32)
    told: list[int] = []
    found, voiced = pitch_hz(samples, lambda text, done, total: told.append(done))
    frames = len(samples) // HOP
    assert told == [PIECE, frames]
    whole, whole_voiced = (track[:frames] for track in features._tracked(samples))
    assert voiced[PIECE - 5 : PIECE + 5].all() and 0.7 < np.mean(voiced) < 0.95
    assert (voiced == whole_voiced).all()
    assert (found[voiced] == whole[voiced].astype(np.float32)).all()


def test_the_loudness_of_a_long_recording_is_to_the_bit_that_of_one_piece() -> None:
    samples = np.tile(melody(), 25)
    ends = (len(samples) // HOP - 1) * HOP + LOUDNESS_WINDOW - len(samples)
    assert (loudness_db(samples) == features._levels(np.pad(samples, (0, ends)))).all()


def spoilt(how: str) -> np.ndarray:
    samples = tone(np.full(16_000, 440.0))
    spoilers = {
        "not a number": lambda: samples.__setitem__(100, np.nan),
        "infinite": lambda: samples.__setitem__(100, np.inf),
        "clipped": lambda: np.clip(100 * samples, -1, 1, out=samples),
        "silent": lambda: samples.fill(5e-5),
    }
    spoilers[how]()
    return samples


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("not a number", "a.wav has samples that are not numbers"),
        ("infinite", "a.wav has samples that are not numbers"),
        ("clipped", "a.wav is clipped: 8 samples or more in a row are at full scale"),
        ("silent", "a.wav is silent: no sample is above -80 dB of full scale"),
    ],
)
def test_a_recording_that_tells_nothing_is_refused_by_name(tmp_path: Path, how: str, said: str) -> None:
    soundfile.write(tmp_path / "a.wav", spoilt(how), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(RecordingError, match=said):
        read_recording(tmp_path / "a.wav")


@pytest.mark.parametrize("samples", [0, 1, 1023])
def test_a_recording_without_a_period_is_refused(tmp_path: Path, samples: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(np.full(samples, 440.0)), SAMPLE_RATE)
    with pytest.raises(RecordingError, match=f"a.wav has {samples} samples: pitch tracking needs at least 1024"):
        read_recording(tmp_path / "a.wav")


def test_peaks_that_touch_full_scale_are_not_clipped() -> None:
    samples = tone(np.full(16_000, 440.0))
    check_recording(samples / np.max(np.abs(samples)), SAMPLE_RATE, "a.wav")


def test_what_is_no_sound_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(RecordingError, match=r"a\.wav is not a sound file"):
        read_recording(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("channels", "rate", "said"),
    [
        (2, 16_000, "has 2 channels at 16000 Hz, a model needs 1 channel at 16000 Hz"),
        (1, 44_100, "has 1 channel at 44100 Hz, a model needs 1 channel at 16000 Hz"),
        (6, 48_000, "has 6 channels at 48000 Hz, a model needs 1 channel at 16000 Hz"),
    ],
)
def test_a_recording_of_another_form_is_refused_with_the_command_that_converts_it(
    tmp_path: Path, channels: int, rate: int, said: str
) -> None:
    path = tmp_path / "it's my take.wav"
    soundfile.write(path, np.full((2000, channels), 0.1), rate)
    with pytest.raises(RecordingError) as error:
        read_recording(path)
    assert str(error.value).startswith(f"{path} {said}: ffmpeg ")
    command = shlex.split(str(error.value).split(": ", 1)[1])
    assert command == ["ffmpeg", "-i", str(path), "-ac", "1", "-ar", "16000", "it's my take-16000.wav"]


ANALYSE = "import numpy; from tonearm.models.sound.features import analyse; analyse(numpy.zeros(16_000, numpy.float32))"


@pytest.mark.slow
def test_processes_that_analyse_for_the_first_time_at_once_leave_a_cache_that_can_be_used(tmp_path: Path) -> None:
    fresh = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    fresh.pop("NUMBA_CACHE_DIR", None)
    first = [subprocess.Popen([sys.executable, "-c", ANALYSE], env=fresh) for _ in range(2)]
    assert [process.wait(timeout=300) for process in first] == [0, 0]
    assert list(tmp_path.rglob("*.nbi"))
    subprocess.run([sys.executable, "-c", ANALYSE], env=fresh, check=True, timeout=300)
