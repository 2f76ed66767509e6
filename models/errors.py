"""What can go wrong when a model is named or its weights are read.

ModelError
├── UnknownModelError   no model of that name
├── VariantError        the model can't be made that way
└── CheckpointError     the file is missing, unsafe to read, or does not fit the model
"""


class ModelError(Exception):
    """Anything wrong with a model's name or weights."""


class UnknownModelError(ModelError):
    """No model of that name; the message says which is near."""


class VariantError(ModelError):
    """The model has nothing that the option asks for."""


class CheckpointError(ModelError):
    """The checkpoint is missing, holds more than tensors, or does not fit the model."""
