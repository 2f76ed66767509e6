"""What can go wrong in the host's harness.

BenchError
├── ControlsError   an input file is not a clip of controls
├── EngineError     a model can't be measured in PyTorch on this machine
└── ResultsError    a results folder can't be read or written
    └── UnkeptError because its disk is full, or it was taken away: nothing more can be kept
"""

from ..runtime.errors import TonearmError


class BenchError(TonearmError):
    """Anything the harness itself can't do."""


class ControlsError(BenchError):
    """An input file is not a clip of controls."""


class EngineError(BenchError):
    """A model can't be measured in PyTorch on this machine."""


class ResultsError(BenchError):
    """A results folder can't be read or written."""


class UnkeptError(ResultsError):
    """What is measured can't be kept any more: the disk is full, or the folder is gone."""
