"""The linter's check of the declared latency: what it is, measured.

Audio in, audio out: the cross-correlation of what changes in the output with what changes in the input. Where one
lag stands out it is the latency; so is the middle of an impulse response that is symmetric, as in linear-phase
filters and spectral processing. Where the response is spread out otherwise (a slow filter, a reverb) no single lag
is right, and only its beginning is judged, as for controls:

```
input     ________|~~~~~~~~ changed from here on
output    ____________________|~~~~~~  heard from here on
                  |- latency -|- hop -|   later than this is reported
```
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..probe import Finding, change, clip, is_audio, play, varied
from ..streaming import Signals, StreamingModule

CLEAR = 0.5  # a correlation that is no accident; even hard clipping leaves more of a sound
STANDS_OUT = 3  # times the correlation at any other lag
HEARD = 0.2  # of the greatest correlation: at this lag, too, the input is heard
SYMMETRIC = 1e-3  # of a response's energy, in what differs from its mirror image
AUDIBLE = 1e-5  # of full scale: what begins below creeps out of the rounding, and when it began can't be told
MOMENTS = (2, 5, 6, 9)  # sixteenths of the clip at which an input is changed: no regular pattern, so that what only
# acts at the next note is not taken for late


def check_latency(module: StreamingModule) -> list[Finding]:
    """Every output that is audio against every input but noise."""
    inputs = clip(module)
    outputs = [name for name in module.outputs if is_audio(module, name)]
    found = []
    for name in (name for name in module.inputs if name not in module.noise):
        lags = _lags(module, inputs, name) if is_audio(module, name) else {}
        onsets = _onsets(module, inputs, name) if set(outputs) - set(lags) else {}
        for output in outputs:
            if output in lags:
                found += _wrong_lag(module, name, output, *lags[output])
            else:
                found += _late(module, name, output, onsets[output])
    return found


def _lags(module: StreamingModule, inputs: Signals, name: str) -> dict[str, tuple[int, bool]]:
    """For each output that lags the input by one clear number: it, and whether the declared latency is heard, too."""
    before = play(module, inputs)
    other, (hit, start) = varied(module, name, inputs[name], 1), _impulse(inputs[name])
    after, ringing = play(module, {**inputs, name: other}), play(module, {**inputs, name: hit})
    lags = {}
    for output in (output for output in module.outputs if is_audio(module, output)):
        strength = correlation((other - inputs[name]).flatten(), (after[output] - before[output]).flatten()).abs()
        response = (ringing[output] - before[output]).flatten()[start:].abs()
        lag = _outstanding(strength)
        if lag is None:
            lag, strength = _middle(response), response
        if lag is not None:
            lags[output] = lag, bool(strength[module.latency] > HEARD * strength[lag])
    return lags


def _impulse(value: Tensor) -> tuple[Tensor, int]:
    """The audio with one sample moved far, but not out of its range, and which: the one after an eighth of it."""
    low, high, start = value.min(), value.max(), value.numel() // 8
    samples = value.flatten().clone()
    samples[start] = torch.where(samples[start] > (low + high) / 2, low, high)
    return samples.reshape(value.shape), start


def _outstanding(strength: Tensor) -> int | None:
    """The lag at which the correlation is high, and nowhere else."""
    top = strength.topk(2)
    if top.values[0] > CLEAR and top.values[0] > STANDS_OUT * top.values[1]:
        return int(top.indices[0])
    return None


def _middle(response: Tensor) -> int | None:
    """The middle of a symmetric impulse response (its magnitude), apart from sample 0."""
    middle = int(response.argmax())
    if not middle or 2 * middle >= len(response):
        return None
    mirrored = torch.zeros_like(response)
    mirrored[: 2 * middle + 1] = response[: 2 * middle + 1].flip(0)
    return middle if ((response - mirrored) ** 2).sum() < SYMMETRIC * (response**2).sum() else None


def correlation(source: Tensor, result: Tensor) -> Tensor:
    """How much of `result (samples,)` is `source (samples,)` at each lag from 0 to half the length: 1 is all of it."""
    size, source, result = len(source), source.double(), result.double()
    spectrum = torch.fft.rfft(result, 2 * size) * torch.fft.rfft(source, 2 * size).conj()
    products = torch.fft.irfft(spectrum, 2 * size)[: size // 2]
    # Of the source only what can have come out by the clip's end counts.
    energy = torch.cumsum(source**2, 0).flip(0)[: size // 2] * (result**2).sum()
    return torch.where(energy > 0, products / energy.clamp(min=1e-300).sqrt(), 0.0)


def _wrong_lag(module: StreamingModule, name: str, output: str, lag: int, heard: bool) -> list[Finding]:
    if lag == module.latency or heard:
        return []
    advice = (
        f"what goes into {name} at sample 0 comes out at sample {lag}, the declared latency is {module.latency}: "
        f"set latency = {lag}, or correct the delay"
    )
    return [Finding("latency", output, lag, advice)]


def _late(module: StreamingModule, name: str, output: str, onsets: list[int]) -> list[Finding]:
    """A finding if every change is heard too late, and always as late: a response that waits for something varies."""
    allowed = module.latency + module.hop
    if len(onsets) < 2 or min(onsets) <= allowed or max(onsets) - min(onsets) > module.hop:
        return []
    lag = min(onsets)
    advice = (
        f"a change of {name} at sample 0 is first heard at sample {lag}, later than the declared latency of "
        f"{module.latency} and a hop of {module.hop}: declare the latency, or correct the delay"
    )
    return [Finding("latency", output, lag, advice)]


def _onsets(module: StreamingModule, inputs: Signals, name: str) -> dict[str, list[int]]:
    """For each output, and for each change of the input that is heard there: how many samples later."""
    before = play(module, inputs)
    frames = inputs[name].shape[1]
    onsets: dict[str, list[int]] = {output: [] for output in module.outputs}
    for moment in MOMENTS:
        changed, start = change(module, inputs, name, moment * frames // 16)
        if start is not None:
            after = play(module, changed)
            for output, value in before.items():
                moved = (after[output] - value).flatten().abs()
                onsets[output] += _onset(moved, start, AUDIBLE * float(value.abs().max()))
    return onsets


def _onset(moved: Tensor, start: int, audible: float) -> list[int]:
    """Samples from `start` to the first that moved more than those before `start`, which moved by rounding."""
    floor = 4 * float(moved[:start].max()) if start else 0.0
    heard = torch.nonzero(moved[start:] > floor)
    if not len(heard):
        return []
    onset = int(heard[0])
    return [onset if float(moved[start + onset]) > audible else 0]
