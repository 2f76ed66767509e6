"""The models by name: `<family>-<size>`.

Nothing here imports torch before a model is made: the command line lists and compares names quickly.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CheckpointError, UnknownModelError

if TYPE_CHECKING:
    from ..export.streaming import StreamingModule

SEED = 0


@dataclass(frozen=True)
class Model:
    """A name and what it stands for; `hidden` is the width of the decoder."""

    name: str
    role: str
    hidden: int


MODELS = {
    model.name: model
    for model in (Model("hpn-full", "teacher", hidden=512), Model("hpn-reduced", "student", hidden=16))
}


def find(name: str) -> Model:
    """The model of that name; `UnknownModelError` says which are near."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownModelError(f"unknown model {name!r}: {hint}the models are {', '.join(MODELS)}")
    return MODELS[name]


def describe_weights(checkpoint: Path | None) -> str:
    """Where the weights come from, in words a person reads beside every result."""
    if checkpoint is None:
        return f"untrained: random, seed {SEED}, heads fitted to the loudness"
    try:
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {checkpoint}: {error.strerror}") from error
    return f"checkpoint {checkpoint.name}, sha256 {digest[:16]}"


def load(name: str, checkpoint: Path | None = None, note: Callable[[str], None] = lambda line: None) -> StreamingModule:
    """The model of that name in evaluation mode, with the checkpoint's weights or seeded random ones.

    `note` is called with each remark on what the checkpoint held that was left out.
    """
    model = find(name)
    import torch

    from .checkpoints import load_weights, read_checkpoint
    from .hpn import HpN, head_sizes
    from .keys import family_and_width
    from .untrained import settle

    found = read_checkpoint(checkpoint) if checkpoint else None
    for line in found.notes if found else ():
        note(line)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = HpN(model.hidden, *head_sizes(found.state if found else {}, model.hidden))
    if found:
        load_weights(module, found.state, str(checkpoint), _meant(model, *family_and_width(found.state)))
    else:
        settle(module)
    return module.eval()


def _meant(model: Model, family: str, hidden: int) -> str:
    """The other models of that family and width, for weights that do not fit this one."""
    names = [other.name for other in MODELS.values() if (other.name.split("-")[0], other.hidden) == (family, hidden)]
    return "" if model.name in names else " or ".join(names)
