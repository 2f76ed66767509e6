"""Weights on disk: as half the bytes where nobody hears it, with a card beside them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from sounds import phrase
from tonearm.models.catalogue import load
from tonearm.models.errors import CheckpointError
from tonearm.models.families.family import Family
from tonearm.models.families.hpn import HpN
from tonearm.models.training.cards import Card, read_card, write_card
from tonearm.models.training.course import write_weights

CARD = Card(
    name="hpn-reduced-cello+ad",
    model="hpn-reduced",
    method="audio",
    teacher="hpn-full",
    data="3 recordings, 60 s, of cello",
    licence="not known",
    steps=10,
    batch=8,
    clip_seconds=1.0,
    seed=0,
    untrained=40.0,
    validation={"5": 20.0, "10": 12.5},
    minutes=0.5,
    device="cpu",
    stored_as="float16",
)
PHRASES = [phrase("tone", 220, 0.5), phrase("soft", 330, 0.5, 0.02)]


def model() -> Family:
    torch.manual_seed(0)
    return HpN(4, 8, 33).eval()


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_card(CARD, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == CARD


@pytest.mark.parametrize(
    "text", [None, "not json", "[]", '{"name": "x"}', json.dumps({**dataclasses.asdict(CARD), "more": 1})]
)
def test_what_is_no_card_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"no card at .*x\.json"):
        read_card(tmp_path / "x.json")


def test_weights_are_kept_as_float16_where_nobody_hears_it_and_the_rest_as_it_is(tmp_path: Path) -> None:
    small = model()
    before = {key: value.clone() for key, value in small.state_dict().items()}
    assert write_weights(small, PHRASES, tmp_path / "w.safetensors") == "float16"
    stored = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert {key for key, value in stored.items() if value.dtype == torch.float32} == {"synth.reverb.t"}
    assert all(torch.equal(before[key], value) for key, value in small.state_dict().items())


def test_weights_that_float16_can_be_heard_in_are_kept_as_they_are(tmp_path: Path) -> None:
    fitted = load("hpn-reduced")  # its large heads cancel each other
    wanted = {key: value.clone() for key, value in fitted.state_dict().items()}
    assert write_weights(fitted, PHRASES, tmp_path / "w.safetensors") == "float32"
    stored = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert all(torch.equal(stored[key], value) for key, value in wanted.items())
