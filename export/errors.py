"""What can go wrong between a trained model and its bundle.

ExportError
├── StreamingError   the module breaks the streaming convention
├── GraphError       torch could not trace it, or ONNX Runtime could not load the result
├── ForeignError     a graph made elsewhere does not say, or contradicts, how it is streamed
└── VerifyError      the graph does not compute what the module computes
"""


class ExportError(Exception):
    """Anything that keeps a model from becoming a bundle."""


class StreamingError(ExportError):
    """The module breaks the streaming convention."""


class GraphError(ExportError):
    """No graph could be made of the module, or none that ONNX Runtime loads."""


class ForeignError(ExportError):
    """What the graph is, and what was said of it, do not tell how to stream it; the message names what is missing."""


class VerifyError(ExportError):
    """The graph computes something else than the module; the message names where first."""
