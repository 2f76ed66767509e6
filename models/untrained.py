"""Make a random model sing: until there are trained weights, a phrase should at least be heard as one.

With random weights the decoder hardly hears the loudness, and notes and rests drown in noise and reverb. Its
heads are linear, though, so least squares on the example controls makes them follow it: the rest of the decoder
stays random. No training, no data, half a second; nothing is claimed about the sound.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .controls import example_controls, scale_f0, scale_loudness
from .hpn import HpN

FRAMES = 2000
RIDGE = 1e-3
BREATH_DB = -40.0  # the noise below the harmonics


def settle(module: HpN) -> None:
    """Fit the heads of a random model to the loudness, and turn its reverb down to a small room."""
    f0_hz, loudness_db = example_controls(FRAMES, module.sample_rate / module.hop)
    state = module.zero_states()["gru"]
    with torch.no_grad():
        hidden, _ = module.decoder.hidden_layer(scale_f0(f0_hz), scale_loudness(loudness_db), state)
    features = torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1).double()
    targets = torch.cat([_raw(level) for level in _levels_db(module, loudness_db[0])], 1).double()
    gram = features.T @ features + RIDGE * torch.eye(features.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(gram, features.T @ targets).float()
    with torch.no_grad():
        parts = solution.split(list(module.decoder.heads), 1)
        for head, columns in zip(module.decoder.proj_matrices, parts, strict=True):
            head.weight.copy_(columns[:-1].T)  # type: ignore[operator]
            head.bias.copy_(columns[-1])  # type: ignore[operator]
        module.synth.reverb.wet.fill_(-5)
        module.synth.reverb.decay.fill_(3.5)


def _levels_db(module: HpN, loudness_db: Tensor) -> list[Tensor]:
    """Wanted levels of amplitude, harmonic distribution and noise bands, `(frames, n)` each."""
    _, harmonics, bands = module.decoder.heads
    darkness = 1.2 + 1.3 * (loudness_db / -80)
    slope = -20 * torch.log10(torch.arange(1.0, harmonics + 1))
    return [loudness_db + 14, darkness * slope, (loudness_db + BREATH_DB).expand(-1, bands)]


def _raw(level_db: Tensor) -> Tensor:
    """The head's output that `exp_sigmoid` turns into a level, in dB."""
    amplitude = torch.clamp(10 ** (level_db / 20), 1e-6, 1.9)
    root = (amplitude / 2) ** (1 / math.log(10))
    return torch.log(root / (1 - root))
