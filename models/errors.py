"""What can go wrong when a model is named, its weights are read, or it is trained.

ModelError
├── UnknownModelError   no model of that name
├── VariantError        the model can't be made that way
├── CheckpointError     the file is missing, unsafe to read, or does not fit the model
├── RecordingError      a recording that no model can learn from or be played by
├── DataError           there are no recordings to learn from, or to be judged by
└── TrainingError       the training can't begin, or can't go on
"""

from ..runtime.errors import TonearmError


class ModelError(TonearmError):
    """Anything wrong with a model's name, weights or training."""


class UnknownModelError(ModelError):
    """No model of that name; the message says which is near."""


class VariantError(ModelError):
    """The model has nothing that the option asks for."""


class CheckpointError(ModelError):
    """The checkpoint is missing, holds more than tensors, or does not fit the model."""


class RecordingError(ModelError):
    """The recording is silent, clipped, at another rate, or no numbers; the message names it."""


class DataError(ModelError):
    """There are no recordings to learn from or to be judged by, or they can't be made."""


class TrainingError(ModelError):
    """The training can't begin, or can't go on from where it was."""


def how_to_install(extra: str) -> str:
    """What to do where a package of an optional group, "export" or "train", is missing: Tonearm is on no index."""
    return f"in the clone of Tonearm, run pip install '.[{extra}]'"
