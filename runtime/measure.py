"""Burst timing: steps back to back, each step's time kept."""

from __future__ import annotations

import gc
import time

import numpy as np

from .clip import hold_last
from .stream import Stream


def burst(stream: Stream, signals: dict[str, np.ndarray], steps: int, warmup: int) -> dict[str, np.ndarray]:
    """Time `steps` steps after `warmup` steps from the same thread, on controls repeated as often as needed.

    A step is what a player must do for a block: write the controls, run the graph. The state is reset after
    the warm-up; the very first step of all is reported apart.

    Returns:
        `first_ns` (1,), `warmup_ns` (warmup - 1,) and `step_ns` (steps,), int64 nanoseconds.
    """
    blocks = _blocks(stream, signals)
    warm = _timed(stream, blocks, max(warmup, 1))
    stream.reset()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        step_ns = _timed(stream, blocks, steps)
    finally:
        gc.enable()
        gc.unfreeze()
    return {"first_ns": warm[:1], "warmup_ns": warm[1:], "step_ns": step_ns}


def _blocks(stream: Stream, signals: dict[str, np.ndarray]) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """For each block of the clip, the pairs (buffer, what to write into it)."""
    frames = next(iter(signals.values())).shape[1]
    count = -(-frames // stream.frames)
    padded = {name: hold_last(value, count * stream.frames) for name, value in signals.items()}
    cuts = [slice(start * stream.frames, (start + 1) * stream.frames) for start in range(count)]
    return [[(stream.inputs[name], padded[name][:, cut]) for name in stream.inputs] for cut in cuts]


def _timed(stream: Stream, blocks: list[list[tuple[np.ndarray, np.ndarray]]], steps: int) -> np.ndarray:
    times, count = np.zeros(steps, np.int64), len(blocks)
    step, clock, copy = stream.step, time.perf_counter_ns, np.copyto
    for index in range(steps):
        block = blocks[index % count]
        before = clock()
        for buffer, values in block:
            copy(buffer, values)
        step()
        times[index] = clock() - before
    return times
