"""Make a random model sing: training begins there, and without trained weights a phrase is heard as one at least.

With random weights the decoder hardly hears the loudness, and notes and rests drown in noise and reverb. Its
outputs are linear in what comes before them, though, so least squares on random notes makes them follow it:
the rest of the decoder stays random. No training, no data, half a second; nothing is claimed about the sound.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..constants import FLOOR_DB
from .controls import scale_f0, scale_loudness
from .family import Family

NOTES = 40
RIDGE = 1e-2


def settle(module: Family) -> None:
    """Fit the outputs of a random decoder to the loudness, and turn the reverb down to a small room."""
    f0_hz, loudness_db = _notes()
    with torch.no_grad():
        hidden = module.decoder.features(scale_f0(f0_hz), scale_loudness(loudness_db))  # type: ignore[operator]
    features = torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1).double()
    targets = module.wanted_controls(loudness_db[0]).double()
    gram = features.T @ features
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    solution = torch.linalg.solve(gram, features.T @ targets).float()
    module.decoder.set_heads(solution[:-1].T, solution[-1])  # type: ignore[operator]
    if module.reverb is not None:
        with torch.no_grad():
            module.reverb.wet.fill_(-5)
            module.reverb.decay.fill_(3.5)


def _notes() -> tuple[Tensor, Tensor]:
    """`f0_hz` and `loudness_db`, `(1, frames, 1)`: notes and rests of all lengths, with and without a pitch.

    What the fit has not heard, a random decoder may answer with noise.
    """
    random = np.random.default_rng(0)
    pitches, levels = [], []
    for _ in range(NOTES):
        note, rest = random.integers(20, 150), random.integers(0, 250) * random.integers(0, 2)
        pitch = 110 * 2 ** random.uniform(0, 3)
        decay = random.uniform(0, 40) * np.arange(note) / 250
        attack = 40 * np.exp(-np.arange(note) / random.uniform(0.5, 6))
        pitches += [*pitch * (1 + 0.01 * np.sin(np.arange(note) / 7)), *[pitch * random.integers(0, 2)] * rest]
        levels += [*np.maximum(random.uniform(-45, -8) - decay - attack, FLOOR_DB), *[FLOOR_DB] * rest]
    return tuple(torch.tensor(x, dtype=torch.float32)[None, :, None] for x in (pitches, levels))  # type: ignore[return-value]
