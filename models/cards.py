"""Trained weights on disk, and beside them a card: what they learned from, how long, and how well.

```
hpn-reduced-flute+cd.safetensors      weights, as float16 where that can't be heard
hpn-reduced-flute+cd.json             the card
```
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from .dataset import Phrase
from .errors import CheckpointError
from .family import Family
from .training import sound

QUIETEST_ERROR_DB = -60.0  # of float16, below the sound


@dataclass(frozen=True)
class Card:
    """What is known about trained weights; losses are MSS, `validation` by step, `minutes` the training's.

    `untrained` is the validation's loss of random weights, before anything was fitted.
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


def write_weights(model: Family, phrase: Phrase, file: Path) -> str:
    """Write the weights, whole or not at all, as float16 if `phrase` sounds the same with them; the type's name."""
    state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    learned = dict(model.named_parameters())
    half = {key: value.half() if key in learned else value for key, value in state.items()}
    stored = half if _error_db(model, half, state, phrase) < QUIETEST_ERROR_DB else state
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_bytes(safetensors.torch.save(stored, {"format": "pt"}))
    part.replace(file)
    return "float16" if stored is half else "float32"


def _error_db(model: Family, rounded: dict[str, Tensor], state: dict[str, Tensor], phrase: Phrase) -> float:
    """The difference that rounded weights make to a phrase, below the phrase."""
    wanted = sound(model, phrase)
    model.load_state_dict(rounded)
    difference = sound(model, phrase) - wanted
    model.load_state_dict(state)
    return 20 * float(torch.log10(difference.norm() / wanted.norm()))


def write_card(card: Card, file: Path) -> None:
    """Write it as JSON."""
    file.write_text(json.dumps(asdict(card), indent=2) + "\n")


def read_card(file: Path) -> Card:
    """The card of weights; `CheckpointError` when it is missing or of another kind."""
    try:
        return Card(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"no card at {file}: {error}") from error


def best(card: Card) -> float:
    """The last validation's loss."""
    return list(card.validation.values())[-1] if card.validation else float(np.nan)
