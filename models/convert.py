"""A checkpoint as .safetensors, which can hold nothing but tensors."""

from __future__ import annotations

from pathlib import Path

from .catalogue import fill, models_for
from .errors import CheckpointError
from .files.checkpoints import Checkpoint, check_new, read_checkpoint, write_weights
from .files.keys import listed


def convert(old: Path, new: Path, weights: str = "") -> tuple[Checkpoint, str]:
    """Write the weights of `old` as `new`, a .safetensors under the model's own keys, whole or not at all.

    Numbers stay as they are, float16 for instance.

    Args:
        old: a checkpoint of one of our models.
        new: a file that is not there yet.
        weights: the group of weights, as for `read_checkpoint`.

    Returns:
        What was kept, and the name of a model that it fits.

    Raises:
        CheckpointError: when `old` can't be read or fits no model, and when `new` is there already or has another
            suffix.
    """
    check_new(new)
    found = read_checkpoint(old, weights)
    models = models_for(found.state)
    if not models:
        raise CheckpointError(
            f"{old} holds weights that belong to no known model: {listed(found.state)}; tonearm models lists those "
            "there are"
        )
    has_reverb = any(key.startswith("synth.reverb.") for key in found.state)
    fill(models[0], found.state, str(old), reverb=has_reverb)
    write_weights(found.state, new)
    return found, models[0].name
