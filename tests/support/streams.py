"""What tests of streaming share: models in blocks and at once, clips and partitions for hypothesis to draw."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import strategies as st
from tonearm.export.streaming import Signals, StreamingModule, step, stream
from torch import Tensor

HOP = 64
PITCHES = st.one_of(st.just(0.0), st.floats(20, 7000, width=32), st.sampled_from([20.0, 80.0, 7000.0]))
LEVELS = st.one_of(st.just(-80.0), st.just(-200.0), st.floats(-80, 0, width=32))


def full_scale_error(wanted: np.ndarray | Tensor, got: np.ndarray | Tensor) -> float:
    """Greatest difference over the greatest magnitude of `wanted`; both must have one shape."""
    wanted, got = np.asarray(wanted, np.float64), np.asarray(got, np.float64)
    assert wanted.shape == got.shape
    return float(np.max(np.abs(wanted - got)) / (np.max(np.abs(wanted)) or 1))


def in_blocks(module: StreamingModule, inputs: Signals, partition: list[int]) -> Tensor:
    """The stream, not aligned, `(batch, frames, hop)`."""
    with torch.no_grad():
        return torch.cat([outputs["audio"] for outputs in stream(module, inputs, partition)], 1)


def at_once(module: StreamingModule, inputs: Signals) -> Tensor:
    """The whole clip as one block, not aligned, `(batch, frames, hop)`."""
    batch = next(iter(inputs.values())).shape[0]
    with torch.no_grad():
        return step(module, inputs, module.zero_states(batch))[0]["audio"]


@st.composite
def partitions(draw: st.DrawFn, frames: int) -> list[int]:
    """Blocks that make up `frames`."""
    cuts = draw(st.sets(st.integers(1, frames - 1), max_size=12))
    return [end - start for start, end in pairwise([0, *sorted(cuts), frames])]


@st.composite
def clips(draw: st.DrawFn, frames: int) -> Signals:
    """One or two clips side by side: notes of any pitch, no pitch, any level, silence, jumps between them; noise."""
    batch = draw(st.integers(1, 2))
    notes = st.lists(st.tuples(PITCHES, LEVELS, st.integers(1, 16)), min_size=1, max_size=8)
    clip = [_held(draw(notes), frames) for _ in range(batch)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    noise = torch.rand(batch, frames, HOP, generator=generator) * 2 - 1
    controls = torch.tensor(clip, dtype=torch.float32)
    return {"f0_hz": controls[:, :, :1], "loudness_db": controls[:, :, 1:], "noise": noise}


def _held(notes: list[tuple[float, float, int]], frames: int) -> list[tuple[float, float]]:
    held = [(pitch, level) for pitch, level, length in notes for _ in range(length)]
    return (held + held[-1:] * frames)[:frames]
