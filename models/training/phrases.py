"""Phrases for sampled instruments, made up from a seed: what models are trained with where nobody has recorded.

A phrase is eight seconds of one voice: runs and leaps in a key, held and short notes, rests, vibrato that sets in
late, bends into notes, swells. Nothing is quantised to a grid, and each phrase has a loudness of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .instruments import PHRASE_SECONDS, Instrument

RECIPE = 1  # one more whenever a phrase would sound different
TAIL = 0.6  # the last note rings out in it
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))


@dataclass(frozen=True)
class Note:
    """A note: when and how long in seconds, MIDI pitch and velocity, and how it moves."""

    start: float
    length: float
    pitch: int
    velocity: int
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.5
    bend_cents: float = 0.0  # where it comes from
    swell: tuple[float, float, float] = field(default=(1.0, 1.0, 1.0))  # at its start, middle and end, 1: full


def phrase(instrument: Instrument, seed: int) -> list[Note]:
    """The notes of the phrase of that seed, one after the other: legato ones touch, the others do not."""
    random = np.random.default_rng([instrument.program, seed])
    pace = 0.12 * 2 ** random.uniform(0, 3)  # seconds a note, roughly
    loudness = random.uniform(60, 115)
    is_legato = random.uniform() < 0.6
    pitches = _walk(instrument, random)
    notes, now = [], random.uniform(0.05, 0.3)
    while now < PHRASE_SECONDS - TAIL:
        span = min(pace * 2 ** random.uniform(-0.7, 1.2), PHRASE_SECONDS - TAIL - now + 0.1)
        length = span if is_legato else span * random.uniform(0.3, 0.8)
        velocity = int(np.clip(random.normal(loudness, 8), 40, 127))
        notes.append(Note(now, length, next(pitches), velocity, **_moves(instrument, length, random)))
        now += span + (random.uniform(0.1, 0.7) if random.uniform() < 0.12 else 0)
    return notes


def _walk(instrument: Instrument, random: np.random.Generator):
    """Pitches for ever: steps in a scale, and now and then a leap."""
    scale, key = SCALES[random.integers(len(SCALES))], random.integers(12)
    ladder = [p for p in range(instrument.lowest, instrument.highest + 1) if (p - key) % 12 in scale]
    at = int(random.integers(len(ladder)))
    while True:
        yield ladder[at]
        reach = 8 if random.uniform() < 0.2 else 2
        at += int(random.integers(-reach, reach + 1)) or 1
        at = at % (2 * len(ladder) - 2)
        at = min(at, 2 * len(ladder) - 2 - at)  # off the end of the ladder is back on it


def _moves(instrument: Instrument, length: float, random: np.random.Generator) -> dict:
    """Vibrato, bend and swell of a note that is long enough for them."""
    if not instrument.sustained:
        return {}
    swell = tuple(random.uniform(0.5, 1.0, 3)) if random.uniform() < 0.6 else (random.uniform(0.7, 1.0),) * 3
    has_vibrato = length > 0.35 and random.uniform() < 0.5
    has_bend = length > 0.2 and random.uniform() < 0.2
    return {
        "swell": swell,
        "vibrato_cents": random.uniform(8, 40) if has_vibrato else 0.0,
        "vibrato_hz": random.uniform(4.5, 6.5),
        "bend_cents": random.choice([-1, 1]) * random.uniform(30, 150) if has_bend else 0.0,
    }
