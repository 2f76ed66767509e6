"""What can go wrong between a trained model and its bundle.

ExportError
├── StreamingError   the module breaks the streaming convention
├── LintError        the linter found what would break in the stream
├── GraphError       torch could not trace it, or ONNX Runtime could not load the result
├── ForeignError     a graph made elsewhere does not say, or contradicts, how it is streamed
└── VerifyError      the graph does not compute what the module computes
"""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.errors import TonearmError


class ExportError(TonearmError):
    """Anything that keeps a model from becoming a bundle."""


class StreamingError(ExportError):
    """The module breaks the streaming convention."""


class LintError(ExportError):
    """The linter found something; the message has a line for each finding, after a first one that counts them."""

    def __init__(self, name: str, findings: Sequence[object]) -> None:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        self.summary = f"{name} would not stream as it should: {count}, nothing was exported"
        self.findings = [str(finding) for finding in findings]
        super().__init__("\n".join([self.summary, *self.findings]))


class GraphError(ExportError):
    """No graph could be made of the module, or none that ONNX Runtime loads."""


class ForeignError(ExportError):
    """It is not clear how to stream the graph; the message names what is missing or contradicts itself."""


class VerifyError(ExportError):
    """The graph computes something else than the module; the message names where first."""
