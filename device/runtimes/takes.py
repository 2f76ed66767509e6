"""What graphs a version of ONNX Runtime takes, known before anything is pushed to a board that has it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import metadata

from ...runtime.bundle import MANIFEST, Bundle
from ...runtime.progress import Progress, Remark
from ..errors import AgentError

Version = tuple[int, ...]

# Version -> the newest opset of ai.onnx and the newest IR version, as each says itself when it refuses a newer one; the
# same for opsets is in https://onnxruntime.ai/docs/reference/compatibility.html. Others: no more than the next.
TAKES: dict[Version, tuple[int, int]] = {
    (1, 20): (21, 10),
    (1, 22): (22, 10),
    (1, 23): (23, 11),
    (1, 24): (25, 13),
    (1, 31): (26, 13),
    (1, 32): (28, 14),
}
ADVICE = (
    "Make the bundle with an older opset, or give the board a newer system, for which there is a newer ONNX Runtime"
)
CHANGED = "step times are those of that version, and the sound may differ in the last digits"


def check(board: str, version: str, bundles: Sequence[Bundle], progress: Progress) -> None:
    """See whether a board's ONNX Runtime takes what is to run there.

    Raises:
        AgentError: it is too old for all bundles; of several, one that it can't take is told, and fails for itself.
    """
    refused = [reason for reason in (_refusal(version, bundle) for bundle in bundles) if reason]
    if refused and len(refused) == len(bundles):
        raise AgentError(f"{refused[0]}; nothing was uploaded. {ADVICE}", "opset", board=board)
    for reason in refused:
        progress(Remark(f"{board}: {reason}"), 0, 0)


def tell_older(board: str, version: str, progress: Progress) -> None:
    """Say, when a board is given its ONNX Runtime, what changes with one that is older than this machine's."""
    ours = metadata.version("onnxruntime")
    if version and _numbers(version) < _numbers(ours):
        line = f"{board} gets ONNX Runtime {version}, which is older than this machine's {ours}: {CHANGED}"
        progress(Remark(line), 0, 0)


def _refusal(version: str, bundle: Bundle) -> str:
    """Why a version can't run a bundle; nothing where it can, or that is not known."""
    opset, ir = needed(bundle)
    upper = [takes for upto, takes in sorted(TAKES.items()) if _numbers(version)[:2] <= upto]
    if not version or not upper or (opset <= upper[0][0] and ir <= upper[0][1]):
        return ""
    most = f"opset {upper[0][0]} and IR version {upper[0][1]} at most"
    return f"{bundle.name} needs ONNX opset {opset}, IR version {ir}; ONNX Runtime {version}, its newest, takes {most}"


def needed(bundle: Bundle) -> tuple[int, int]:
    """The opset and the IR version of a bundle's graphs by its manifest; 0 where it does not say."""
    said = json.loads((bundle.folder / MANIFEST).read_text())
    opset, ir = (said.get(key) for key in ("opset", "ir_version"))
    return (opset if isinstance(opset, int) else 0, ir if isinstance(ir, int) else 0)


def version_in(name: str) -> str:
    """The version of ONNX Runtime in the name of a runtime of a system's own packages; nothing where it has none."""
    found = re.search(r"onnxruntime-(\d+(?:\.\d+)+)", name)
    return found[1] if found else ""


def _numbers(version: str) -> Version:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))
