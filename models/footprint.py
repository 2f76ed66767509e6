"""The size of a model, part by part: parameters, arithmetic, memory of the past.

The figures of the models that can be named are weighed once and kept with the package, in `footprints.json`, for they
take torch and many seconds. After a change to a family or to the catalogue, weigh them again:

    python -m tonearm.models.footprint
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .families.family import Family

PARTS = ("decoder", "synth", "reverb")
KEPT = Path(__file__).with_name("footprints.json")


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


def read_footprints() -> dict[str, Footprint]:
    """The kept figures of all models without weights, by name; no torch is needed."""
    return {name: Footprint(**figures) for name, figures in json.loads(KEPT.read_text()).items()}


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
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    inputs = module.example(frames)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs.values(), *module.zero_states().values())
    name = type(module).__name__
    paths = {"decoder": f"{name}.decoder", "synth": f"{name}.synth", "reverb": f"{name}.synth.reverb"}
    counts = counter.get_flop_counts()
    return {part: sum(counts.get(path, {}).values()) for part, path in paths.items()}


def weigh(name: str) -> Footprint:
    """Build a model by its name and weigh it; what its weights are makes no difference."""
    from .catalogue import family_of, find

    model = find(name)
    return footprint(family_of(model).build(model, {}).eval())


def main() -> None:
    """Weigh every model of the catalogue, and keep the figures."""
    from .catalogue import MODELS

    KEPT.write_text(json.dumps({name: asdict(weigh(name)) for name in MODELS}, indent=1) + "\n")


if __name__ == "__main__":
    main()
