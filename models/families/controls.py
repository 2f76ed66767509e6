"""From what a musician says (Hz, dB) to what a decoder takes, and clips to try a model with.

Source: Engel et al., DDSP (2020), with the constants of the paper's code.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..constants import FLOOR_DB

GAIN_DB = 14.0  # of an untrained model's tone, above the wanted loudness


def _logb(x: Tensor) -> Tensor:
    return torch.log(x + 1e-5) / math.log(2 + 1e-5)


def scale_f0(f0_hz: Tensor) -> Tensor:
    """MIDI pitch / 127, any shape; 0 where there is no pitch (f0 <= 0)."""
    reference = math.log(440 + 1e-5) / math.log(2 + 1e-5)
    midi = 12 * (_logb(f0_hz.clamp(min=0)) - reference) + 69
    return torch.where(f0_hz > 0, midi / 127, 0.0)


def scale_loudness(loudness_db: Tensor) -> Tensor:
    """0 at the floor of -80 dB, 1 at 0 dB, any shape."""
    return loudness_db.clamp(min=FLOOR_DB) / -FLOOR_DB + 1


class Scaling(nn.Module):
    """Both controls as a decoder takes them; a module, so that a profile can tell what it costs."""

    def forward(self, f0_hz: Tensor, loudness_db: Tensor) -> tuple[Tensor, Tensor]:
        """See `scale_f0` and `scale_loudness`."""
        return scale_f0(f0_hz), scale_loudness(loudness_db)


def exp_sigmoid(x: Tensor) -> Tensor:
    """The positive, softly bounded output of a decoder head: 2 * sigmoid(x)^ln(10) + 1e-7."""
    return 2 * torch.sigmoid(x) ** math.log(10) + 1e-7


def example_controls(frames: int, frame_rate: float) -> tuple[Tensor, Tensor]:
    """`f0_hz` and `loudness_db`, `(1, frames, 1)`: notes with vibrato, attack, decay, and a rest after each.

    Silence is part of it: denormals after silence are where a careless runner gets slow.
    """
    seconds = np.arange(frames) / frame_rate
    note, within = np.divmod(seconds, 0.5)
    f0_hz = 220 * 2 ** (((note * 7) % 12) / 12) * (1 + 0.006 * np.sin(2 * np.pi * 5.5 * seconds))
    loudness = -15 - 15 * np.exp(-within / 0.03) - 40 * within
    loudness_db = np.where(within < 0.4, loudness, FLOOR_DB)
    return tuple(torch.tensor(x, dtype=torch.float32)[None, :, None] for x in (f0_hz, loudness_db))  # type: ignore[return-value]
