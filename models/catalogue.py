"""The models by name: `<family>-<size>`, and for DDX7 `-<patch>`.

Nothing here imports torch before a model is made: the command line compares names quickly.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
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
    width: int
    blocks: int = 0
    patch: str = ""


MODELS = {
    model.name: model
    for model in (
        Model("hpn-full", "hpn", 512),
        Model("hpn-156", "hpn", 156),
        Model("hpn-44", "hpn", 44),
        Model("hpn-reduced", "hpn", 16),
        *(Model(f"ddx7-full-{patch}", "ddx7", 128, 5, patch) for patch in PATCHES),
        *(Model(f"ddx7-reduced-{patch}", "ddx7", 64, 3, patch) for patch in PATCHES),
        Model("wavetable-full", "wavetable", 512),
        Model("wavetable-reduced", "wavetable", 16),
    )
}


def find(name: str) -> Model:
    """The model of that name; `UnknownModelError` says which are near."""
    if name not in MODELS:
        patches = [model.patch for model in MODELS.values() if model.name == f"{name}-{model.patch}"]
        near = difflib.get_close_matches(name, MODELS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        hint = f"name the patch, {name}-{' or '.join(patches)}; " if patches else hint
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


def variant_name(name: str, *, reverb: bool = True, causal: bool = False, full_noise: bool = False) -> str:
    """The name of a bundle made with these options of `load`."""
    said = {"no-reverb": not reverb, "causal": causal, "full-noise": full_noise}
    return "-".join([name, *(option for option, is_on in said.items() if is_on)])


def build(model: Model, state: Mapping[str, Tensor] = MappingProxyType({}), **options: bool) -> Family:
    """The model with torch's random weights.

    Args:
        model: one of `MODELS`.
        state: weights it is to take: HpN has as many harmonics and noise bands as they have.
        options: `causal`, `reverb`, and `full_noise` where it has noise.
    """
    if model.family == "ddx7":
        from .ddx7 import DDX7, PATCHES

        if options.pop("full_noise", False):
            raise VariantError(f"{model.name} has no noise: leave --full-noise out")
        return DDX7(PATCHES[model.patch], model.width, model.blocks, **options)
    from .hpn import HpN, head_sizes
    from .wavetable import Wavetable

    if model.family == "hpn":
        return HpN(model.width, *head_sizes(state, model.width), **options)
    return Wavetable(model.width, **options)


def load(
    name: str, checkpoint: Path | None = None, note: Callable[[str], None] = lambda line: None, **options: bool
) -> Family:
    """The model of that name in evaluation mode, with the checkpoint's weights or seeded random ones.

    Args:
        name: one of `MODELS`.
        checkpoint: trained weights.
        note: called with each remark on what the checkpoint held that was left out.
        options: `reverb=False` leaves the reverb out; `causal=True` glides without latency (see `upsampling`);
            `full_noise=True` filters noise with all taps (see `noise`).
    """
    model = find(name)
    import torch

    from .untrained import settle

    state = _read(model, checkpoint, note, reverb=options.get("reverb", True)) if checkpoint else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = build(model, state, **options).eval()
    if checkpoint:
        _fill(model, module, state, checkpoint)
    else:
        settle(module)
    return module


def _read(model: Model, checkpoint: Path, note: Callable[[str], None], *, reverb: bool) -> dict[str, Tensor]:
    """The checkpoint's weights, without the reverb's if there is to be none."""
    from .checkpoints import read_checkpoint

    found = read_checkpoint(checkpoint)
    for line in found.notes:
        note(line)
    if reverb:
        return found.state
    note("the reverb's weights are left out")
    return {key: value for key, value in found.state.items() if not key.startswith("synth.reverb.")}


def _fill(model: Model, module: Family, state: dict[str, Tensor], checkpoint: Path) -> None:
    """Put the weights into the module; those of another patch would fit in shape, and sound wrong."""
    from .checkpoints import load_weights

    meant = _meant(state)
    ratios, wanted = _ratios(state), _patch_ratios(model)
    if len(ratios) == len(wanted) and ratios != wanted:
        raise CheckpointError(
            f"{checkpoint} is for other frequency ratios, {ratios}, than {model.name} has, {wanted}"
            + (f": it is probably for {' or '.join(meant)}" if meant else "")
        )
    load_weights(module, state, str(checkpoint), "" if model.name in meant else " or ".join(meant))


def _meant(state: Mapping[str, Tensor]) -> list[str]:
    """The models that weights like these are for, by family, width and ratios."""
    from .keys import family_and_width

    similar = [model for model in MODELS.values() if (model.family, model.width) == family_and_width(state)]
    return [model.name for model in similar if _patch_ratios(model) == _ratios(state)]


def _patch_ratios(model: Model) -> list[float]:
    from .ddx7 import PATCHES

    return list(map(float, PATCHES[model.patch].ratios)) if model.patch else []


def _ratios(state: Mapping[str, Tensor]) -> list[float]:
    """Of DDX7 weights; without what float32 adds to 1.58."""
    return [round(float(ratio), 5) for ratio in state["synth.fr"].flatten()] if "synth.fr" in state else []
