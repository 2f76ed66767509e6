"""Distance of a rendering from a recording in spectra, pitch and loudness; differences between models.

Every phrase counts once, however long it is. There is no Fréchet distance: it takes an embedding, and no well-kept
package carries the weights of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import RecordingError
from .features import Samples, loudness_db, pitch_hz
from .spectral import SILENT, magnitudes, multi_scale_spectral

LSD_SIZE = 1024  # 64 ms, in steps of 16 ms
# 10 dB above where loudness ends: a rendering may be that much too soft before the comparison is cut. At -80 dB itself
# a model is told that there is silence, and noise of -80 dB of full scale takes the pitch from a third of the frames
# (flute phrases; from 3% of those above -70 dB).
AUDIBLE_DB = -70.0
RESAMPLES = 10_000
FEWEST_PHRASES = 6  # of fewer, even the range of all differences covers the median with less than 95%


@dataclass(frozen=True)
class Heard:
    """The analysis of a sound, `(frames,)` each: pitch in Hz, where there is one, loudness in dB."""

    f0_hz: Samples
    voiced: NDArray[np.bool_]
    loudness_db: Samples


@dataclass(frozen=True)
class Quality:
    """The distance of one sound from another; all but `voiced_share` are 0 where they are the same.

    Pitch and loudness are compared frame by frame, over the frames in which the wanted sound has a pitch and is louder
    than `AUDIBLE_DB`; NaN where there is none.

    Attributes:
        mss: multi-scale spectral loss, the one of the training.
        lsd_db: see `log_spectral_distance`.
        pitch_cents, pitch_p90_cents: absolute error of the pitch, median and 90th percentile, over those of the frames
            in which the given sound has a pitch too; 100 cents are a semitone.
        loudness_db, loudness_p90_db: absolute error of the A-weighted loudness, median and 90th percentile.
        voiced_share: in what part of the frames the given sound has a pitch too.
    """

    mss: float
    lsd_db: float
    pitch_cents: float
    pitch_p90_cents: float
    loudness_db: float
    loudness_p90_db: float
    voiced_share: float


@dataclass(frozen=True)
class Difference:
    """A mean paired difference over `phrases`, and its 95% interval: NaN from too few phrases."""

    mean: float
    low: float
    high: float
    phrases: int


def hear(audio: Samples) -> Heard:
    """Analyse a sound `(samples,)` as recordings are, silence too.

    Raises:
        RecordingError: for samples that are no numbers; without librosa.
    """
    if not np.isfinite(audio).all():
        raise RecordingError("a rendering has samples that are not numbers: the model's weights are broken")
    f0_hz, voiced = pitch_hz(audio)
    return Heard(f0_hz, voiced, loudness_db(audio))


def log_spectral_distance(wanted: Tensor, given: Tensor) -> float:
    """The log-spectral distance of two sounds `(samples,)` in dB.

    For each frame the root of the mean, over all bins from 0 Hz to half the sample rate, of the squared difference
    `20 log10 |wanted| - 20 log10 |given|`; then the mean over the frames. Frames are Hann windows of 1024 samples,
    256 apart. Magnitudes below -100 dB (`spectral.SILENT`, with its normalisation: about the noise of 16 bits) count
    as -100 dB. A gain of x dB has a distance of x dB, as far as it does not reach down there.

    Source: the rms log spectral measure of Gray and Markel, "Distance Measures for Speech Processing", IEEE TASSP
    24(5), 1976; the floor is ours.
    """
    one, other = (20 * torch.log10(magnitudes(s[None], LSD_SIZE).clamp_min(SILENT)) for s in (wanted, given))
    return float((one - other).square().mean(1).sqrt().mean())


def spectral_distances(wanted: Samples, given: Samples) -> tuple[float, float]:
    """MSS and LSD in dB of two sounds `(samples,)`."""
    one, other = torch.from_numpy(wanted), torch.from_numpy(given)
    return float(multi_scale_spectral(one[None], other[None])), log_spectral_distance(one, other)


def quality(wanted: Samples, given: Samples, wanted_heard: Heard, given_heard: Heard) -> Quality:
    """The distance of the sound `given (samples,)` from `wanted (samples,)`, both analysed by `hear`."""
    mss, lsd_db = spectral_distances(wanted, given)
    counted = wanted_heard.voiced & (wanted_heard.loudness_db > AUDIBLE_DB)
    both = counted & given_heard.voiced
    cents = 1200 * np.abs(np.log2(given_heard.f0_hz[both] / wanted_heard.f0_hz[both]))
    decibels = np.abs(given_heard.loudness_db - wanted_heard.loudness_db)[counted]
    share = both.sum() / counted.sum() if counted.any() else np.nan
    return Quality(mss, lsd_db, *_median_and_p90(cents), *_median_and_p90(decibels), float(share))


def _median_and_p90(errors: NDArray[np.floating]) -> tuple[float, float]:
    if not errors.size:
        return np.nan, np.nan
    return float(np.median(errors)), float(np.percentile(errors, 90))


def paired_difference(one: NDArray[np.floating], other: NDArray[np.floating]) -> Difference:
    """The mean of `one - other`, `(phrases,)` each and the same phrases, those left out that either has no value for.

    The interval is a seeded bootstrap over phrases: expanded percentiles (Hesterberg, "What Teachers Should Know About
    the Bootstrap", The American Statistician 69(4), 2015). Of 400 simulated ones, 94% with six phrases and 95% with
    ten held the truth; of very skewed (exponential) differences only 85% and 89%: where one phrase stands out, an
    interval that just leaves 0 out proves little.
    """
    differences = np.asarray(one, float) - np.asarray(other, float)
    differences = differences[np.isfinite(differences)]
    count = len(differences)
    mean = float(differences.mean()) if count else np.nan
    if count < FEWEST_PHRASES:
        return Difference(mean, np.nan, np.nan, count)
    from scipy import stats  # librosa brings it

    tail = float(stats.norm.cdf(np.sqrt(count / (count - 1)) * stats.t.ppf(0.025, count - 1)))
    drawn = np.random.default_rng(0).choice(differences, (RESAMPLES, count)).mean(1)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Difference(mean, float(low), float(high), count)
