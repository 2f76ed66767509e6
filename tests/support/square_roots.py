"""A bundle whose graph takes a square root: what is louder than the root allows comes out as no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from tonearm.export.assemble import write_files
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.stream import Stream

HOP, RATE, LATENCY = 64, 16_000, 32
# sqrt(sound + 1/2): NaN below -1/2. `kept` is added up from all that came out, so that what was NaN once stays it.
GRAPH = """
root (float[1, {frames}, 64] sound, float[1, 1, 1] kept)
    => (float[1, {frames}, 64] audio, float[1, {frames}, 2] level, float[1, 1, 1] kept_next)
    <float[1] half = {{0.5}}, float[1] little = {{1e-6}}, float[1] none = {{0}}>
{{
    lifted = Add(sound, half)
    root = Sqrt(lifted)
    mean = ReduceMean <axes = [2]> (sound)
    level = Concat <axis = 2> (mean, mean)
    whole = ReduceMean <axes = [1, 2]> (root)
    more = Mul({remembered})
    kept_next = Add(kept, more)
    audio = Add(root, kept)
}}"""


def root_bundle(folder: Path, *, forgets: bool = False) -> Bundle:
    """In blocks of 64 and 256 samples; one that `forgets` gives sound again after a block that was none."""
    graphs = {}
    for frames in (1, 4):
        text = GRAPH.format(frames=frames, remembered="kept, none" if forgets else "whole, little")
        graphs[frames * HOP] = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]>' + text)
    facts = {
        "format": 1,
        "name": "root",
        "weights": "none",
        "source": "",
        "sample_rate": RATE,
        "hop": HOP,
        "latency": LATENCY,
        "precision": "fp32",
        "tolerance": 1e-4,
        "inputs": [{"name": "sound", "width": HOP}],
        "outputs": [{"name": "audio", "width": HOP}, {"name": "level", "width": 2}],
        "states": [{"name": "kept", "shape": [1, 1, 1], "dtype": "float32"}],
        "graphs": {str(block): f"block-{block}.onnx" for block in graphs},
        "golden": "golden.npz",
        "parameters": {},
    }
    clip = {"sound": np.random.default_rng(0).uniform(-0.4, 0.4, (1, 40, HOP)).astype(np.float32)}
    silence = {"audio": np.zeros(40 * HOP, np.float32), "level": np.zeros(80, np.float32)}
    copies = {block: onnx.ModelProto.FromString(graph.SerializeToString()) for block, graph in graphs.items()}
    first = write_files(folder, copies, clip | silence, facts)
    return write_files(folder, graphs, clip | Stream(first, HOP).render(clip), facts)
