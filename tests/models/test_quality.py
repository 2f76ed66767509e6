"""Sound quality in numbers: what can be computed by hand comes out, and intervals are as wide as they have to be."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tonearm.models.constants import SAMPLE_RATE
from tonearm.models.errors import DataError, RecordingError
from tonearm.models.sound.features import Samples
from tonearm.models.sound.quality import (
    AUDIBLE_DB,
    Heard,
    Quality,
    hear,
    log_spectral_distance,
    paired_difference,
    quality,
)
from tonearm.models.training import listening

# The MSS of ten flute phrases, recorded: hpn-full, wavetable-full and hpn-reduced after 550, 298 and 100 steps.
FULL = np.array([3.75, 5.49, 4.32, 3.65, 5.42, 4.60, 4.31, 5.47, 5.36, 4.69])
WAVETABLE = np.array([3.97, 7.12, 4.87, 4.42, 5.14, 4.51, 4.67, 5.35, 5.56, 4.78])
REDUCED = np.array([5.44, 6.84, 7.94, 6.72, 8.04, 6.95, 7.81, 7.13, 8.39, 6.77])


def tone(f0_hz: float, gain: float = 1.0) -> Samples:
    """A second and a half of a voice with ten harmonics and a little noise, which is the same every time."""
    time = np.arange(24_000) / SAMPLE_RATE
    sound = sum(0.2 / k * np.sin(2 * np.pi * k * f0_hz * time) for k in range(1, 11))
    noise = np.random.default_rng(0).normal(0, 0.003, len(time))
    return (gain * (sound + noise)).astype(np.float32)


@pytest.fixture(scope="module")
def voice() -> tuple[Samples, Heard]:
    """A tone at 220 Hz, and what is heard in it."""
    return tone(220.0), hear(tone(220.0))


def judged(voice: tuple[Samples, Heard], given: Samples) -> Quality:
    return quality(voice[0], given, voice[1], hear(given))


def test_a_sound_is_not_far_from_itself(voice: tuple[Samples, Heard]) -> None:
    assert astuple(judged(voice, voice[0])) == (0, 0, 0, 0, 0, 0, 1)


def test_a_sound_6_db_softer_is_6_db_off_in_loudness_and_spectrum_and_in_tune(voice: tuple[Samples, Heard]) -> None:
    found = judged(voice, tone(220.0, 10 ** (-6 / 20)))
    assert found.loudness_db == pytest.approx(6, abs=0.01)
    assert found.loudness_p90_db == pytest.approx(6, abs=0.01)
    assert found.lsd_db == pytest.approx(6, abs=0.01)
    assert found.pitch_p90_cents < 0.5
    assert found.mss > 0
    assert found.voiced_share == 1


def test_a_sound_a_quarter_tone_higher_is_50_cents_off(voice: tuple[Samples, Heard]) -> None:
    found = judged(voice, tone(220.0 * 2 ** (1 / 24)))
    assert found.pitch_cents == pytest.approx(50, abs=1)
    assert found.loudness_db < 1


def test_of_silence_only_the_loudness_can_be_told(voice: tuple[Samples, Heard]) -> None:
    found = judged(voice, np.zeros_like(voice[0]))
    assert found.voiced_share == 0
    assert np.isnan([found.pitch_cents, found.pitch_p90_cents]).all()
    assert found.loudness_db == pytest.approx(np.median(voice[1].loudness_db[voice[1].voiced]) + 80, abs=2)


def test_frames_count_where_the_recording_has_a_pitch_and_can_be_heard() -> None:
    """Ten frames; of the last five, which are off by an octave and by 20 dB, none counts."""
    still, ones = np.zeros(6400, np.float32), np.ones(10, np.float32)
    voiced = np.array([True] * 5 + [False] * 3 + [True] * 2)
    loud = np.where(np.arange(10) < 8, AUDIBLE_DB + 20, AUDIBLE_DB).astype(np.float32)
    wanted = Heard(440 * ones, voiced, loud)
    off = Heard(np.where(np.arange(10) < 5, 440, 880) * ones, voiced, loud - 20 * (np.arange(10) >= 5))
    found = quality(still, still, wanted, off)
    assert (found.pitch_p90_cents, found.loudness_p90_db, found.voiced_share) == (0, 0, 1)
    deaf = replace(off, voiced=np.array([True] * 2 + [False] * 8))
    assert quality(still, still, wanted, deaf).voiced_share == pytest.approx(2 / 5)


@settings(deadline=None, max_examples=20)
@given(gain_db=st.floats(-40, 20))
def test_the_log_spectral_distance_of_a_gain_is_the_gain(gain_db: float) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32))
    assert log_spectral_distance(noise, noise * 10 ** (gain_db / 20)) == pytest.approx(abs(gain_db), abs=0.01)


def test_the_log_spectral_distance_ends_at_its_floor() -> None:
    """White noise at its level above the floor, and silence: what lies below -100 dB does not count."""
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1e-7, 8000).astype(np.float32))
    assert log_spectral_distance(noise, torch.zeros(8000)) == 0
    assert log_spectral_distance(1e6 * noise, torch.zeros(8000)) > 60


def test_a_rendering_that_is_no_numbers_is_refused() -> None:
    with pytest.raises(RecordingError, match="weights are broken"):
        hear(np.full(4000, np.nan, np.float32))


def test_a_paired_difference_comes_with_its_interval_the_same_every_time() -> None:
    """It is close to Student's interval of the same ten differences."""
    found = paired_difference(FULL, REDUCED)
    half = 2.262 * np.std(FULL - REDUCED, ddof=1) / np.sqrt(10)
    assert (found.mean, found.phrases) == (pytest.approx(-2.497, abs=0.0005), 10)
    assert found.low == pytest.approx(found.mean - half, abs=0.2 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.2 * half)
    assert found == paired_difference(FULL, REDUCED)
    other_way = paired_difference(REDUCED, FULL)
    assert (other_way.low, other_way.high) == (
        pytest.approx(-found.high, abs=0.05),
        pytest.approx(-found.low, abs=0.05),
    )


def test_a_phrase_that_stands_out_makes_the_interval_wide_on_its_side() -> None:
    """Of these ten phrases the second is 1.63 off, the others 0.30 on average."""
    found, without = (
        paired_difference(one, other)
        for one, other in ((FULL, WAVETABLE), (np.delete(FULL, 1), np.delete(WAVETABLE, 1)))
    )
    assert found.mean == pytest.approx(-0.333, abs=0.0005)
    assert found.mean - found.low > 1.2 * (found.high - found.mean)
    assert found.high - found.low > 1.5 * (without.high - without.low)
    assert without.low < 0 < without.high


def test_95_of_100_intervals_hold_the_true_difference() -> None:
    """Of differences that are spread evenly about their mean."""
    random = np.random.default_rng(1)
    found = [paired_difference(random.normal(0.3, 1, 8), np.zeros(8)) for _ in range(300)]
    held = np.mean([one.low <= 0.3 <= one.high for one in found])
    assert 0.92 <= held <= 0.98


def test_too_few_phrases_give_a_mean_and_no_interval() -> None:
    found = paired_difference(FULL[:5], REDUCED[:5])
    assert found.mean == pytest.approx(np.mean(FULL[:5] - REDUCED[:5]))
    assert np.isnan([found.low, found.high]).all()


def test_a_phrase_that_one_model_has_no_value_for_is_left_out_of_the_pairs() -> None:
    holed = np.array([np.nan, *FULL[1:]])
    assert paired_difference(holed, REDUCED) == paired_difference(FULL[1:], REDUCED[1:])
    nothing = paired_difference(np.full(7, np.nan), np.zeros(7))
    assert np.isnan(nothing.mean) and nothing.phrases == 0


def test_the_test_phrases_of_an_instrument_can_be_played_to_a_model() -> None:
    assert "flute" in listening.instruments()
    for phrase in listening.test_phrases("flute"):
        assert phrase.audio.shape == (64 * len(phrase.f0_hz),) == (8 * SAMPLE_RATE,)


def test_an_instrument_without_test_phrases_is_answered_with_those_there_are() -> None:
    with pytest.raises(DataError, match=r"no test phrases of 'kazoo', only of .*flute.*--data"):
        listening.test_phrases("kazoo")
