"""Trained weights on disk, and beside them a card: what they learned from, how long, and how well.

```
hpn-reduced-flute+cd.safetensors      weights, as float16 where that can't be heard
hpn-reduced-flute+cd.json             the card
```
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from ..errors import CheckpointError
from ..families.family import Family
from .dataset import Phrase
from .train import sound

QUIETEST_ERROR_DB = -60.0  # of float16, below the sound


@dataclass(frozen=True)
class Card:
    """What is known about trained weights; losses are MSS, `validation` by step, `minutes` the training's.

    `untrained` is the validation's loss of the weights it began with: random ones, heads fitted to the loudness.
    """

    name: str
    model: str
    method: str
    teacher: str
    data: str
    licence: str
    steps: int
    batch: int
    clip_seconds: float
    seed: int
    untrained: float
    validation: dict[str, float]
    minutes: float
    device: str
    stored_as: str


def write_weights(model: Family, phrases: Sequence[Phrase], file: Path) -> str:
    """Write the weights, whole or not at all, as float16 if all `phrases` sound the same with them; the type's name."""
    state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    learned = dict(model.named_parameters())
    half = {key: value.half() if key in learned else value for key, value in state.items()}
    stored = half if _error_db(model, half, state, phrases) < QUIETEST_ERROR_DB else state
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_bytes(safetensors.torch.save(stored, {"format": "pt"}))
    part.replace(file)
    return "float16" if stored is half else "float32"


def _error_db(model: Family, rounded: dict[str, Tensor], state: dict[str, Tensor], phrases: Sequence[Phrase]) -> float:
    """The greatest difference that rounded weights make to a phrase, below the phrase."""
    wanted = [sound(model, phrase) for phrase in phrases]
    model.load_state_dict(rounded)
    differences = [(sound(model, phrase) - whole).norm() for phrase, whole in zip(phrases, wanted, strict=True)]
    model.load_state_dict(state)
    ratios = [difference / whole.norm() for difference, whole in zip(differences, wanted, strict=True)]
    return 20 * float(torch.log10(torch.stack(ratios).max()))


def write_card(card: Card, file: Path) -> None:
    """Write it as JSON."""
    file.write_text(json.dumps(asdict(card), indent=2) + "\n")


def read_card(file: Path) -> Card:
    """The card of weights; `CheckpointError` when it is missing or of another kind."""
    try:
        return Card(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"no card at {file}: {error}") from error


def last_validation(card: Card) -> float:
    """The loss of the weights that were kept."""
    return list(card.validation.values())[-1]
