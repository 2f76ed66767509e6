"""What a graph made elsewhere gives, called as it is: for an example clip, and for extreme input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...runtime.clip import align, hold_last, lag, padded_frames
from .. import extremes
from ..assemble import VERIFY_BLOCKS
from ..errors import ForeignError, GraphError
from .plan import Plan

GOLDEN_SECONDS, GOLDEN_CALLS = 3, 4096  # at most
EXTREME, CALM = 8, 4  # calls


def golden_clip(session: Any, plan: Plan, sample_rate: int, latency: int) -> dict[str, np.ndarray]:
    """An example clip and what the original file makes of it, call by call, the latency taken off."""
    frames = min(max(VERIFY_BLOCKS, -(-GOLDEN_SECONDS * sample_rate // plan.hop)), GOLDEN_CALLS)
    clip = {one.name: example_clip(frames, one.size, seed) for seed, one in enumerate(plan.inputs)}
    total = padded_frames(frames, plan.hop, latency)
    heard = list(stream_original(session, plan, {name: hold_last(value, total) for name, value in clip.items()}))
    golden = dict(clip)
    for one in plan.outputs:
        signal = np.stack([outputs[one.name] for outputs in heard])[None]
        if not np.isfinite(signal).all():
            raise ForeignError(f"output {one.name} of the original graph is not always a finite number")
        golden[one.name] = align(signal, lag(latency, plan.hop, one.size), frames)[0]
        if np.ptp(golden[one.name]) == 0:
            raise ForeignError(
                f"output {one.name} of the original graph stays {golden[one.name][0]:.6g} for an example clip of "
                "bursts, so nothing can be verified with it: check the constants, or drop that output from the graph"
            )
    return golden


def stream_original(session: Any, plan: Plan, clip: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Call a graph as it is, frame by frame, its states fed back: `(width,)` float32 for each output."""
    names = [output.name for output in session.get_outputs()]
    states = {one: np.zeros(one.shape, one.dtype) for one in plan.states}
    for frame in range(next(iter(clip.values())).shape[1]):
        signals = {one.name: clip[one.name][0, frame].astype(one.dtype).reshape(one.shape) for one in plan.inputs}
        fed = {one.name: value for one, value in states.items()}
        results = dict(zip(names, run_graph(session, {**plan.constants, **signals, **fed}), strict=True))
        states = {one: results[output] for one, output in plan.states.items()}
        for one in plan.outputs:
            if results[one.name].shape != one.shape:
                raise ForeignError(f"output {one.name} has another shape at call {frame}: a stream needs a fixed one")
        yield {one.name: results[one.name].astype(np.float32).reshape(-1) for one in plan.outputs}


def example_clip(frames: int, width: int, seed: int = 0) -> np.ndarray:
    """Bursts of a glide, some noise and silence in [-1, 1], `(1, frames, width)` float32, the same at every call."""
    count = frames * width
    place = np.arange(count) / count
    glide = np.sin(2 * np.pi * np.cumsum(0.002 * 100**place))  # from 1/500 to 1/5 of the sample rate
    noise = np.random.default_rng(seed).uniform(-1, 1, count)
    part, within = np.divmod(12 * place, 1)  # of every three parts: glide, glide with noise, silence
    loudness = np.where(part % 3 < 2, 0.7 * np.exp(-3 * within), 0)
    signal = loudness * (glide + np.where(part % 3 == 1, 0.4 * noise, 0))
    return signal.astype(np.float32).reshape(1, frames, width)


def run_graph(session: Any, feeds: dict[str, np.ndarray]) -> list[Any]:
    """One call; `GraphError` where it fails."""
    try:
        return session.run(None, feeds)
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise GraphError(f"the graph does not run with inputs of these sizes: {error}") from error


def check_extremes(session: Any, plan: Plan) -> list[str]:
    """Call a graph with loud, silent and extreme input; what it can't play above full scale, as warnings.

    `ForeignError` for what it can't play within: a stream begins with silence, and a recording may reach full scale.
    """
    found = _odd(session, plan, extremes.within)
    if found:
        raise ForeignError(f"{found[0]}: that will be played; clamp what goes into sqrt, log, pow, exp and division")
    return _odd(session, plan, extremes.beyond)


def _odd(session: Any, plan: Plan, kinds: Any) -> list[str]:
    """For each input, the first kind of signal that gives an output which is not finite."""
    found = []
    calm = {one.name: example_clip(CALM, one.size, seed) for seed, one in enumerate(plan.inputs)}
    usual = {one.name: example_clip(EXTREME, one.size, seed) for seed, one in enumerate(plan.inputs)}
    for one in plan.inputs:
        for kind, signal in kinds(-1.0, 1.0, EXTREME, one.size):
            played = {**usual, one.name: signal}
            clip = {name: np.concatenate([value, calm[name]], 1) for name, value in played.items()}
            problem = next(_not_finite(session, plan, clip), "")
            if problem:
                found.append(f"{problem} where {one.name} is {kind}")
                break
    return found


def _not_finite(session: Any, plan: Plan, clip: dict[str, np.ndarray]) -> Iterator[str]:
    for call, outputs in enumerate(stream_original(session, plan, clip)):
        for name, value in outputs.items():
            odd = np.flatnonzero(~np.isfinite(value))
            if odd.size:
                yield (
                    f"output {name} of the original graph is {value[odd[0]]:g}, not a finite number, at value {odd[0]} "
                    f"of call {call}"
                )
