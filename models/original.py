"""Compare a model with vectors of the original implementation: `control.*`, `out.*`, and the inputs they belong to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..export.streaming import Signals
from ..runtime.clip import align, hold_last
from .constants import HOP
from .families.controls import scale_f0, scale_loudness
from .families.family import Family

PARTS = {
    "out.harmonic_audio": "tone",
    "out.wavetable_audio": "tone",
    "out.noise_audio": "noise",
    "out.dereverb_audio": "dry",
    "out.synth_audio": "wet",
    "out.ol": "levels",
}
GIVEN = ("loudness_db", "noise")


def inputs_of(module: Family, vectors: dict[str, np.ndarray]) -> Signals:
    """The vectors' inputs as `module` takes them, `(1, frames, width)`."""
    frames = len(vectors["f0_hz"])
    return {name: torch.from_numpy(vectors[name]).reshape(1, frames, -1) for name in module.inputs}


def offline_parts(module: Family, vectors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Every part that the vectors hold as `module` renders it offline, by its name there and in its shape.

    The original ends a clip by holding the decoder's last result, where a stream goes on with the next one.
    """
    frames, inputs, states = len(vectors["f0_hz"]), inputs_of(module, vectors), module.zero_states()
    scaled = {"f0_scaled": scale_f0(inputs["f0_hz"]), "loudness_scaled": scale_loudness(inputs["loudness_db"])}
    with torch.no_grad():
        controls, _ = module.decoder(*scaled.values(), states)
        held = {name: hold_last(value, frames + 1) for name, value in inputs.items()}
        parts, _ = module.sounds(hold_last(controls, frames + 1), held, states)
    sounds = {name: align(part, module.latency, frames) for name, part in parts.items() if part.shape[2] == HOP}
    raw = {"f0_hz": inputs["f0_hz"], **scaled, **dict(zip(module.heads, module.split(controls), strict=True))}
    found = {**parts, **sounds, **raw}
    named = {key: found[PARTS.get(key) or key.split(".")[-1]] for key in vectors if key not in GIVEN}
    return {key: part.flatten()[: vectors[key].size].reshape(vectors[key].shape) for key, part in named.items()}
