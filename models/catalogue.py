"""The models by name: `<family>-<size>`, and for DDX7 `-<patch>`.

Nothing here imports torch before a model is made: the command line compares names quickly.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CheckpointError, UnknownModelError, VariantError

if TYPE_CHECKING:
    from torch import Tensor

    from .family import Family

SEED = 0
PATCHES = ("violin", "flute", "trumpet", "piano", "flute4", "trumpet4", "1stack4", "2stack2", "1stack2")


@dataclass(frozen=True)
class Model:
    """A name and what it stands for; `width` and `blocks` are the decoder's, `patch` is DDX7's."""

    name: str
    family: str
    role: str
    width: int
    blocks: int = 0
    patch: str = ""


MODELS = {
    model.name: model
    for model in (
        Model("hpn-full", "hpn", "teacher", 512),
        Model("hpn-156", "hpn", "between", 156),
        Model("hpn-44", "hpn", "between", 44),
        Model("hpn-reduced", "hpn", "student", 16),
        *(Model(f"ddx7-full-{patch}", "ddx7", "teacher", 128, 5, patch) for patch in PATCHES),
        *(Model(f"ddx7-reduced-{patch}", "ddx7", "student", 64, 3, patch) for patch in PATCHES),
        Model("wavetable-full", "wavetable", "teacher", 512),
        Model("wavetable-reduced", "wavetable", "student", 16),
    )
}


def find(name: str) -> Model:
    """The model of that name; `UnknownModelError` says which are near."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownModelError(f"unknown model {name!r}: {hint}tonearm models lists all")
    return MODELS[name]


def describe_weights(checkpoint: Path | None) -> str:
    """Where the weights come from, in words a person reads beside every result."""
    if checkpoint is None:
        return f"untrained: random, seed {SEED}, heads fitted to the loudness"
    try:
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {checkpoint}: {error.strerror}") from error
    return f"checkpoint {checkpoint.name}, sha256 {digest[:16]}"


def build(model: Model, **options: bool) -> Family:
    """The model with torch's random weights; `options` are `causal`, `reverb` and `full_noise`, where it has noise."""
    if model.family == "ddx7":
        from .ddx7 import DDX7, PATCHES

        if options.pop("full_noise", False):
            raise VariantError(f"{model.name} has no noise: leave --full-noise out")
        return DDX7(PATCHES[model.patch], model.width, model.blocks, **options)
    from .hpn import HpN
    from .wavetable import Wavetable

    return {"hpn": HpN, "wavetable": Wavetable}[model.family](model.width, **options)


def load(name: str, checkpoint: Path | None = None, **options: bool) -> Family:
    """The model of that name in evaluation mode, with the checkpoint's weights or seeded random ones.

    Args:
        name: one of `MODELS`.
        checkpoint: trained weights.
        options: `reverb=False` leaves the reverb out; `causal=True` glides without latency (see `upsampling`);
            `full_noise=True` filters noise with all taps (see `noise`).
    """
    model = find(name)
    import torch

    from .checkpoints import load_weights, read_state_dict
    from .untrained import settle

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = build(model, **options).eval()
    if checkpoint is None:
        settle(module)
    else:
        state = read_state_dict(checkpoint)
        _check_ratios(model, module, state)
        load_weights(module, state, str(checkpoint))
    return module


def _check_ratios(model: Model, module: Family, state: dict[str, Tensor]) -> None:
    """A checkpoint of another patch would fit in shape, and sound wrong."""
    ratios = state.get("synth.fr")
    wanted = dict(module.synth.named_buffers()).get("fr")
    if ratios is None or wanted is None or ratios.shape != wanted.shape:
        return
    if not (ratios.float() - wanted.float()).abs().max() < 1e-6:
        raise CheckpointError(
            f"the checkpoint's frequency ratios are {ratios.tolist()}, {model.name} has {wanted.tolist()}: "
            "name the model with the patch it was trained with"
        )
