"""What can go wrong in the host's harness.

BenchError
├── ControlsError   an input file is not a clip of controls
└── ResultsError    a results folder can't be read or written
"""


class BenchError(Exception):
    """Anything the harness itself can't do."""


class ControlsError(BenchError):
    """An input file is not a clip of controls."""


class ResultsError(BenchError):
    """A results folder can't be read or written."""
