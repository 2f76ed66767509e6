"""The reverb: a convolution with every tap, however it is cut into blocks."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.signal
import torch
from streams import HOP, full_scale_error
from tonearm.models.constants import SAMPLE_RATE
from tonearm.models.families.reverb import CHUNK, SEGMENT, Reverb
from torch import Tensor


@functools.cache
def room(scale: int) -> Reverb:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(scale)
        reverb = Reverb(SAMPLE_RATE, HOP, scale)
    reverb.load_state_dict(reverb.state_dict() | {"decay": torch.tensor(6.0), "wet": torch.tensor(-1.0)})
    return reverb


def true_impulse_response(reverb: Reverb) -> np.ndarray:
    """The formula of the paper's code, in float64."""
    noise, decay, wet = (p.detach().numpy().astype(np.float64) for p in (reverb.noise, reverb.decay, reverb.wet))
    seconds = np.arange(len(noise)) / SAMPLE_RATE
    response = noise[:, 0] * np.exp(-np.log1p(np.exp(-decay)) * seconds * 500) / (1 + np.exp(-wet))
    response[0] = 1
    return response


def through(reverb: Reverb, dry: Tensor, size: int) -> np.ndarray:
    """`dry (1, frames, hop)` in blocks of `size` frames."""
    states, wet = reverb.zero_states(1), []
    with torch.no_grad():
        for block in dry.split(size, 1):
            out, states = reverb(block, states)
            wet.append(out)
    return torch.cat(wet, 1).flatten().numpy()


def noise() -> Tensor:
    """`(1, frames, hop)`, longer than the longest impulse response."""
    return torch.rand(1, 300, HOP, generator=torch.Generator().manual_seed(7)) * 2 - 1


@functools.cache
def true_sound(scale: int) -> np.ndarray:
    """The noise in the room, in float64."""
    dry = noise().flatten().numpy().astype(np.float64)
    return scipy.signal.fftconvolve(dry, true_impulse_response(room(scale)))[: len(dry)]


def test_the_wanted_sound_is_the_sum_over_all_taps() -> None:
    """The fast convolution is within 1e-12 of full scale of the sum by definition, at samples all over the clip."""
    dry, response, wanted = noise().flatten().numpy().astype(np.float64), true_impulse_response(room(1)), true_sound(1)
    assert len(dry) > len(response)
    for n in [*range(0, len(dry), 97), len(response) - 1, len(response), len(dry) - 1]:
        taps = response[: n + 1]
        assert abs(dry[n + 1 - len(taps) : n + 1][::-1] @ taps - wanted[n]) < 1e-12 * np.abs(wanted).max()


@pytest.mark.parametrize("scale", [1, 3], ids=lambda scale: f"{SAMPLE_RATE // scale}-taps")
@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, SEGMENT, SEGMENT + 3, 300], ids="blocks-of-{}".format)
def test_both_forms_of_the_reverb_are_a_convolution_with_every_tap(scale: int, size: int) -> None:
    assert full_scale_error(true_sound(scale), through(room(scale), noise(), size)) < 1e-5


def test_the_reverb_sounds_to_its_last_tap_and_no_further() -> None:
    reverb = room(3)
    impulse = torch.zeros(1, 100, HOP)
    impulse[0, 0, 0] = 1
    heard = through(reverb, impulse, 1)
    assert full_scale_error(true_impulse_response(reverb), heard[: reverb.taps]) < 1e-5
    assert np.abs(heard[reverb.taps :]).max() < 1e-6
