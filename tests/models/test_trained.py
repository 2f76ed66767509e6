"""The models that come with weights: small enough to come along, and as near to the recordings as their cards say."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
from tonearm.models.catalogue import CHECKPOINTS, MODELS, TRAINED, find, load, untrained
from tonearm.models.families.family import Family
from tonearm.models.files.checkpoints import read_checkpoint
from tonearm.models.sound.quality import Heard, Quality, hear, quality
from tonearm.models.training.cards import Card, read_card
from tonearm.models.training.dataset import Phrase
from tonearm.models.training.listening import test_phrases as listen
from tonearm.models.training.train import sound, validate

ALL = sorted(TRAINED)
FLUTES = ("full-flute", "reduced-flute", "reduced-flute+ad", "reduced-flute+cd")


@functools.cache
def phrases(instrument: str) -> list[Phrase]:
    """Two test phrases."""
    return listen(instrument)[:2]


def instrument_of(name: str) -> str:
    return name.partition("+")[0].rpartition("-")[2]


def card_of(name: str) -> Card:
    return read_card(CHECKPOINTS / f"{name}.json")


@functools.cache
def recorded(instrument: str) -> list[Heard]:
    """What is heard in the recordings of the test phrases."""
    return [hear(phrase.audio) for phrase in phrases(instrument)]


@functools.cache
def untrained_mss(architecture: str, instrument: str) -> float:
    """How far the phrases are from what a model plays before it has learned anything."""
    return validate(untrained(find(architecture)), phrases(instrument))


def heard(model: Family, phrase: Phrase, recording: Heard) -> Quality:
    played = sound(model, phrase).numpy()
    return quality(phrase.audio, played, recording, hear(played))


def test_each_family_comes_as_teacher_student_and_both_distillations() -> None:
    assert {f"{family}-{kind}" for family in ("hpn", "ddx7", "wavetable") for kind in FLUTES} <= set(ALL)


def test_all_weights_are_less_than_30_mb_and_each_has_its_card() -> None:
    files = list(CHECKPOINTS.iterdir())
    assert sum(file.stat().st_size for file in files) < 30e6
    assert {file.stem for file in files if file.suffix == ".json"} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_card_tells_what_was_spent_and_what_came_of_it(name: str) -> None:
    card, model = card_of(name), find(name)
    assert card.name == name
    assert MODELS[card.model].architecture == model.architecture
    assert card.method == {"": "plain", "ad": "audio", "cd": "control"}[name.partition("+")[2]]
    assert bool(card.teacher) == ("+" in name)
    assert instrument_of(name) in card.data and "MIT" in card.licence
    assert list(card.validation)[-1] == str(card.steps)
    assert card.minutes > 0 and all(np.isfinite(list(card.validation.values())))
    assert list(card.validation.values())[-1] < 0.6 * card.untrained
    state = read_checkpoint(Path(str(model.checkpoint))).state
    assert {str(value.dtype) for key, value in state.items() if "decoder" in key} == {f"torch.{card.stored_as}"}


@functools.cache
def means(name: str) -> dict[str, float]:
    """Each figure's mean over the test phrases."""
    model, instrument = load(name), instrument_of(name)
    pairs = zip(phrases(instrument), recorded(instrument), strict=True)
    found = [dataclasses.asdict(heard(model, *pair)) for pair in pairs]
    return {key: float(np.mean([quality[key] for quality in found])) for key in found[0]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_model_follows_the_pitch_of_phrases_it_has_not_learned_from(name: str) -> None:
    assert means(name)["pitch_cents"] < 20
    assert means(name)["voiced_share"] > 0.9
    assert means(name)["mss"] < 0.6 * untrained_mss(card_of(name).model, instrument_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_model_follows_the_loudness_of_phrases_it_has_not_learned_from(name: str) -> None:
    assert means(name)["loudness_db"] < 3
