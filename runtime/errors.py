"""The base of all that Tonearm raises on purpose, and what can go wrong on the board.

TonearmError
└── RunnerError and, in the other folders, BenchError, DeviceError, ExportError, ModelError

RunnerError
├── BundleError    the bundle is missing a part, or a part is not what its manifest says
├── SessionError   ONNX Runtime does not load or run the graph
├── SignalError    the controls do not fit what the bundle takes
├── SoundError     what comes out is not sound: numbers that are not finite, or not as many as were asked for
└── ParityError    the stream on this machine is not the trained model
"""


class TonearmError(Exception):
    """What a person is told in a line: what happened, where, and what to do. Every folder has a tree below it."""


class RunnerError(TonearmError):
    """Anything that keeps a bundle from running here."""


class BundleError(RunnerError):
    """The bundle is not whole; the message names the part."""


class SessionError(RunnerError):
    """ONNX Runtime refuses the graph."""


class SignalError(RunnerError):
    """The controls do not fit what the bundle takes."""


class SoundError(RunnerError):
    """What comes out is not sound; the message names the output and the sample."""


class ParityError(RunnerError):
    """The stream differs from the golden vectors; the message names the first wrong block."""
