"""The card of trained weights: what they learned from, how long, and how well.

```
hpn-reduced-flute+cd.safetensors      weights
hpn-reduced-flute+cd.json             the card
```
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...runtime.files import whole
from ..errors import CheckpointError


@dataclass(frozen=True)
class Card:
    """A record of how weights were trained; losses are MSS, `validation` by step, `minutes` the training's.

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


def write_card(card: Card, file: Path) -> None:
    """Write it as JSON."""
    with whole(file) as part:
        part.write_text(json.dumps(asdict(card), indent=2) + "\n")


def read_card(file: Path) -> Card:
    """The card of weights; `CheckpointError` when it is missing or of another kind."""
    try:
        return Card(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"no card at {file}: {error}") from error


def last_validation(card: Card) -> float:
    """The loss of the weights that were kept."""
    return list(card.validation.values())[-1]
