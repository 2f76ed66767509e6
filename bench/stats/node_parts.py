"""Which part of a model a node of its graph belongs to, and what each part takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

OTHER = "other"
# The parts of the families by the module that a node belongs to; the longest path that fits counts.
PARTS = {
    "scale": "decoder",  # of the controls, for the decoder
    "synth.noise": "noise",
    "synth.delay": "noise",  # which brings it in line with the tone
    "synth.reverb": "reverb",
}
FUSED = re.compile(r"^fused |/\w+Fusion\b.*$")  # what ONNX Runtime makes of the names of nodes that it puts together


def part_of(name: str) -> str:
    """The part that a node belongs to, by its name.

    A module's path comes first in the name of what Tonearm exports, `synth.noise/conv1d`, and of what older exporters
    of torch did, `/synth/noise/Conv`. Of models that are none of ours the part is the outermost module.
    """
    modules = FUSED.sub("", name).removeprefix("/").split("/")[:-1]
    path = ".".join(modules)
    fitting = [known for known in PARTS if f"{path}.".startswith(f"{known}.")]
    return PARTS[max(fitting, key=len)] if fitting else path.split(".")[0] or OTHER


def parts(nodes: Iterable[dict[str, Any]]) -> dict[str, int]:
    """What each part takes, in `ns`, the largest first."""
    sums: dict[str, int] = {}
    for node in nodes:
        sums[node["part"]] = sums.get(node["part"], 0) + node["ns"]
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
