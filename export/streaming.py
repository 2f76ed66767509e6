"""The streaming convention: `forward(*inputs, *states) -> (*outputs, *states)`.

Every state is an argument and a result; none hides in the module, because an exporter drops hidden buffers
silently and only the second block would show it. All signals are `(batch, frames, width)`: a control has
width 1, a block of audio width `hop`. Zero states and a whole clip is the offline render; block by block is
the stream; the same `forward` serves both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..runtime.clip import align, hold_last, lag, padded_frames
from .errors import StreamingError

Signals = dict[str, Tensor]


class StreamingModule(nn.Module):
    """A module that can be streamed.

    A subclass sets the attributes, on the class or before it is used, and implements `zero_states`, `example` and
    `forward`.

    Attributes:
        sample_rate: in Hz.
        hop: samples per control frame.
        latency: samples by which the output lags the input, apart from the block itself.
        inputs: width of each input, in the order `forward` takes them.
        outputs: width of each output, in the order `forward` returns them.
        noise: the inputs that are uniform noise unless they are given.
    """

    sample_rate: int
    hop: int
    latency: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    noise: tuple[str, ...] = ()

    def zero_states(self, batch: int = 1) -> Signals:
        """The states before the first block, by name, in the order `forward` takes and returns them."""
        raise NotImplementedError

    def example(self, frames: int) -> Signals:
        """Realistic inputs, `(1, frames, width)` each, the same at every call: what the export is verified with."""
        raise NotImplementedError

    def parameters_by_part(self) -> dict[str, int]:
        """The number of parameters of each part that is listed by itself; they add up to all."""
        return {name: count_parameters(part) for name, part in self.named_children()}


def count_parameters(module: nn.Module) -> int:
    """The number of parameters, trained or not."""
    return sum(parameter.numel() for parameter in module.parameters())


def frames_of(module: StreamingModule, inputs: Signals) -> int:
    """The number of frames that all `inputs` share; `StreamingError` when names or shapes do not fit."""
    if list(inputs) != list(module.inputs):
        raise StreamingError(f"inputs are {list(inputs)}, the model takes {list(module.inputs)}")
    frames = next(iter(inputs.values())).shape[1]
    for name, value in inputs.items():
        wanted = (value.shape[0], frames, module.inputs[name])
        if tuple(value.shape) != wanted:
            raise StreamingError(f"input {name} has shape {tuple(value.shape)}, expected {wanted}")
    return frames


def first_states(module: StreamingModule, inputs: Signals) -> Signals:
    """The states before the first block, for as many clips as `inputs` hold, and on their device."""
    first = next(iter(inputs.values()))
    return {name: state.to(first.device) for name, state in module.zero_states(first.shape[0]).items()}


def step(module: StreamingModule, inputs: Signals, states: Signals) -> tuple[Signals, Signals]:
    """One call of the module: `(outputs, states)` by name."""
    results = module(*inputs.values(), *states.values())
    count = len(module.outputs)
    outputs = dict(zip(module.outputs, results[:count], strict=True))
    return outputs, dict(zip(states, results[count:], strict=True))


def stream(module: StreamingModule, inputs: Signals, partition: Sequence[int]) -> Iterator[Signals]:
    """The outputs of each block, for blocks of `partition` frames (their sum is the clip's length)."""
    frames = frames_of(module, inputs)
    if sum(partition) != frames:
        raise StreamingError(f"the partition has {sum(partition)} frames, the clip {frames}")
    states, start = first_states(module, inputs), 0
    for size in partition:
        block = {name: value[:, start : start + size] for name, value in inputs.items()}
        outputs, states = step(module, block, states)
        start += size
        yield outputs


def render(module: StreamingModule, inputs: Signals) -> Signals:
    """The offline render: the whole clip at once, latency taken off.

    Args:
        module: any streaming module.
        inputs: `(batch, frames, width)` each.

    Returns:
        `(batch, frames * width)` for each output, aligned with the inputs.
    """
    frames = frames_of(module, inputs)
    total = padded_frames(frames, module.hop, module.latency)
    padded = {name: hold_last(value, total) for name, value in inputs.items()}
    with torch.no_grad():
        outputs, _ = step(module, padded, first_states(module, inputs))
    lags = {name: lag(module.latency, module.hop, value.shape[2]) for name, value in outputs.items()}
    return {name: align(value, lags[name], frames) for name, value in outputs.items()}
