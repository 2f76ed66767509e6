"""What can go wrong on the board.

RunnerError
├── BundleError    the bundle is missing a part, or a part is not what its manifest says
├── SessionError   ONNX Runtime does not load or run the graph
├── SignalError    the controls do not fit what the bundle takes
└── ParityError    the stream on this machine is not the trained model
"""


class TonearmError(Exception):
    """The base of every error that is told in a line."""


class RunnerError(TonearmError):
    """Anything that keeps a bundle from running here."""


class BundleError(RunnerError):
    """The bundle is not whole; the message names the part."""


class SessionError(RunnerError):
    """ONNX Runtime refuses the graph."""


class SignalError(RunnerError):
    """The controls do not fit what the bundle takes."""


class ParityError(RunnerError):
    """The stream differs from the golden vectors; the message names the first wrong block."""
