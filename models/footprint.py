"""What a model weighs, part by part: parameters, arithmetic, memory of the past."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from .families.family import Family

PARTS = ("decoder", "synth", "reverb")


@dataclass(frozen=True)
class Footprint:
    """A model's figures before any board has seen it.

    Attributes:
        parameters: of decoder, synth and reverb.
        macs: multiply-accumulates per second of audio in products and convolutions, of each part.
        receptive_field: frames that the decoder looks back on, its own included; None for all there were.
        latency: samples.
        state_bytes: what goes from one step to the next.
    """

    parameters: dict[str, int]
    macs: dict[str, float]
    receptive_field: int | None
    latency: int
    state_bytes: int


def footprint(module: Family) -> Footprint:
    """The figures of a model; nothing is timed."""
    return Footprint(
        parameters=module.parameters_by_part(),
        macs=_macs(module),
        receptive_field=module.decoder.receptive_field,  # type: ignore[arg-type]
        latency=module.latency,
        state_bytes=sum(state.nbytes for state in module.zero_states().values()),
    )


def _macs(module: Family) -> dict[str, float]:
    """What a second frame adds: what weights alone decide is folded into the graph, and counts in neither."""
    one, two = (_flops(module, frames) for frames in (1, 2))
    frame_rate = module.sample_rate / module.hop
    return {part: (two[part] - one[part]) / 2 * frame_rate for part in PARTS}


def _flops(module: Family, frames: int) -> dict[str, int]:
    inputs = module.example(frames)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs.values(), *module.zero_states().values())
    name = type(module).__name__
    paths = {"decoder": f"{name}.decoder", "synth": f"{name}.synth", "reverb": f"{name}.synth.reverb"}
    counts = counter.get_flop_counts()
    return {part: sum(counts.get(path, {}).values()) for part, path in paths.items()}
