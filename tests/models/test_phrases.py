"""Made-up phrases: the same from the same seed, playable, and with all that a voice does."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json

import numpy as np
import pytest
from tonearm.models.training.instruments import INSTRUMENTS, PHRASE_SECONDS
from tonearm.models.training.phrases import RECIPE, Note, phrase

SEEDS = range(100)
# Of the notes of seeds 0 to 9: another hash is another data set under the old name, of which a part lies in people's
# caches. Who means to change the phrases raises RECIPE, and writes the new hash beside it.
NOTES = (1, "70a358ffe158ca77")


def numbers(notes: list[Note]) -> list[list[float]]:
    """To a nanosecond: processors may differ in the last digit of a power."""
    return [[round(float(value), 9) for value in np.hstack(dataclasses.astuple(note))] for note in notes]


def joints(name: str, seed: int) -> list[float]:
    """The silences between the notes of a phrase, in seconds."""
    pairs = itertools.pairwise(phrase(INSTRUMENTS[name], seed))
    return [after.start - before.start - before.length for before, after in pairs]


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_seed_gives_the_same_phrase_and_every_other_seed_another(name: str) -> None:
    first, again = ([numbers(phrase(INSTRUMENTS[name], seed)) for seed in SEEDS] for _ in range(2))
    assert first == again
    assert len({json.dumps(notes) for notes in first}) == len(SEEDS)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_the_notes_lie_in_the_range_one_after_the_other_within_the_clip(name: str) -> None:
    instrument = INSTRUMENTS[name]
    for seed in SEEDS:
        notes = phrase(instrument, seed)
        assert notes and all(instrument.lowest <= note.pitch <= instrument.highest for note in notes)
        assert all(1 <= note.velocity <= 127 and note.length > 0 for note in notes)
        assert notes[0].start >= 0 and min(joints(name, seed), default=0) > -1e-9
        assert notes[-1].start + notes[-1].length < PHRASE_SECONDS


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_all_of_the_range_is_played_softly_and_loudly(name: str) -> None:
    instrument = INSTRUMENTS[name]
    notes = [note for seed in SEEDS for note in phrase(instrument, seed)]
    missing = set(range(instrument.lowest, instrument.highest + 1)) - {note.pitch for note in notes}
    assert not missing
    assert np.ptp([note.velocity for note in notes]) > 60


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_phrases_are_legato_and_staccato_and_have_rests(name: str) -> None:
    gaps = [joints(name, seed) for seed in SEEDS]
    assert sum(bool(gap) and np.median(gap) < 1e-9 for gap in gaps) > 20, "legato: the notes touch"
    assert sum(bool(gap) and min(gap) > 0.01 for gap in gaps) > 20, "staccato: none does"
    assert sum(bool(gap) and np.median(gap) < 1e-9 and max(gap) > 0.1 for gap in gaps) > 20, (
        "rests between legato notes"
    )


@pytest.mark.parametrize("name", [name for name in INSTRUMENTS if INSTRUMENTS[name].sustained])
def test_a_voice_that_can_be_shaped_has_vibrato_bends_and_swells(name: str) -> None:
    notes = [note for seed in SEEDS for note in phrase(INSTRUMENTS[name], seed)]
    assert sum(note.vibrato_cents > 5 for note in notes) > 50
    assert sum(note.bend_cents < -20 for note in notes) > 20 and sum(note.bend_cents > 20 for note in notes) > 20
    assert sum(np.ptp(note.swell) > 0.2 for note in notes) > 100
    assert all(note.length > 0.35 for note in notes if note.vibrato_cents)
    assert all(0.5 <= level <= 1 for note in notes for level in note.swell)


def test_a_piano_only_strikes() -> None:
    notes = [note for seed in SEEDS for note in phrase(INSTRUMENTS["piano"], seed)]
    assert {(note.vibrato_cents, note.bend_cents, *note.swell) for note in notes} == {(0, 0, 1, 1, 1)}


def test_phrases_of_one_recipe_never_change() -> None:
    notes = {name: [numbers(phrase(INSTRUMENTS[name], seed)) for seed in range(10)] for name in INSTRUMENTS}
    found = hashlib.sha256(json.dumps(notes).encode()).hexdigest()
    assert (RECIPE, found[:16]) == NOTES, "whoever changes the phrases raises RECIPE and writes down the new hash"
