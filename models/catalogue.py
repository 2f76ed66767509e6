"""The models by name: `<family>-<size>`, and for DDX7 `-<patch>`.

Those that come with trained weights have the instrument in their name, and a student how it was distilled:
`<family>-<size>-<instrument>[+ad|+cd]`. For DDX7 the instrument is the patch.

Nothing here imports torch before a model is made: the command line compares names quickly.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import CheckpointError, UnknownModelError, VariantError

if TYPE_CHECKING:
    from torch import Tensor

    from .families.family import Family

SEED = 0
CHECKPOINTS = Path(__file__).parent / "checkpoints"
PATCHES = ("violin", "flute", "trumpet", "piano", "flute4", "trumpet4", "1stack4", "2stack2", "1stack2")


@dataclass(frozen=True)
class Model:
    """A name and what it stands for.

    `width` and `blocks` are the decoder's, `patch` is DDX7's, `checkpoint` the trained weights it comes with.
    """

    name: str
    family: str
    width: int
    blocks: int = 0
    patch: str = ""
    checkpoint: Path | None = None

    @property
    def architecture(self) -> tuple[str, int, str]:
        """What weights have to fit."""
        return self.family, self.width, self.patch


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


def _trained() -> dict[str, Model]:
    """The models that come with weights."""
    found = {}
    for file in sorted(CHECKPOINTS.glob("*.safetensors")):
        stem = file.stem.partition("+")[0]
        base = MODELS[stem] if stem in MODELS else MODELS[stem.rpartition("-")[0]]
        found[file.stem] = replace(base, name=file.stem, checkpoint=file)
    return found


TRAINED = _trained()
NAMES = {**MODELS, **TRAINED}


def find(name: str) -> Model:
    """The model of that name, with its weights if it has any; `UnknownModelError` says which are near."""
    if name not in NAMES:
        patches = [model.patch for model in MODELS.values() if model.name == f"{name}-{model.patch}"]
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        hint = f"name the patch, {name}-{' or '.join(patches)}; " if patches else hint
        raise UnknownModelError(f"unknown model {name!r}: {hint}tonearm models lists all")
    return NAMES[name]


def describe_weights(name: str, checkpoint: Path | None = None) -> str:
    """Where a model's weights come from, in words a person reads beside every result."""
    file = checkpoint or find(name).checkpoint
    if file is None:
        return f"untrained: random, seed {SEED}, heads fitted to the loudness"
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {file}: {error.strerror}") from error
    return f"checkpoint {file.name}, sha256 {digest}" if checkpoint else f"trained, comes with Tonearm, sha256 {digest}"


def variant_name(name: str, *, reverb: bool = True, causal: bool = False, full_noise: bool = False) -> str:
    """The name of a bundle made with these options of `load`."""
    said = {"no-reverb": not reverb, "causal": causal, "full-noise": full_noise}
    return "-".join([name, *(option for option, is_on in said.items() if is_on)])


def build(model: Model, state: Mapping[str, Tensor] = MappingProxyType({}), **options: bool) -> Family:
    """The model with torch's random weights.

    Args:
        model: as `find` gives it.
        state: weights it is to take: HpN has as many harmonics and noise bands as they have.
        options: `causal`, `reverb`, and `full_noise` where it has noise.
    """
    if model.family == "ddx7":
        from .families.ddx7 import DDX7, PATCHES

        if options.pop("full_noise", False):
            raise VariantError(f"{model.name} has no noise: leave --full-noise out")
        return DDX7(PATCHES[model.patch], model.width, model.blocks, **options)
    from .families.hpn import HpN, head_sizes
    from .families.wavetable import Wavetable

    if model.family == "hpn":
        return HpN(model.width, *head_sizes(state, model.width), **options)
    return Wavetable(model.width, **options)


def load(
    name: str, checkpoint: Path | None = None, note: Callable[[str], None] = lambda line: None, **options: bool
) -> Family:
    """The model of that name in evaluation mode, with the weights it comes with, or seeded random ones.

    Args:
        name: one of `NAMES`.
        checkpoint: other trained weights.
        note: called with each remark on what the checkpoint held that was left out.
        options: `reverb=False` leaves the reverb out; `causal=True` glides without latency (see `upsampling`);
            `full_noise=True` filters noise with all taps (see `noise`).
    """
    model = find(name)
    checkpoint = checkpoint or model.checkpoint
    if checkpoint is None:
        return untrained(model, **options)
    state = _read(model, checkpoint, note, reverb=options.get("reverb", True))
    module = _seeded(model, state, **options)
    _fill(model, module, state, checkpoint)
    return module


def untrained(model: Model, **options: bool) -> Family:
    """The model with seeded random weights that follow the loudness, in evaluation mode: where training begins."""
    from .families.untrained import settle

    module = _seeded(model, {}, **options)
    settle(module)
    return module


def _seeded(model: Model, state: Mapping[str, Tensor], **options: bool) -> Family:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build(model, state, **options).eval()


def _read(model: Model, checkpoint: Path, note: Callable[[str], None], *, reverb: bool) -> dict[str, Tensor]:
    """The checkpoint's weights, without the reverb's if there is to be none."""
    from .files.checkpoints import read_checkpoint

    found = read_checkpoint(checkpoint)
    for line in found.notes:
        note(line)
    if reverb:
        return found.state
    note("the reverb's weights are left out")
    return {key: value for key, value in found.state.items() if not key.startswith("synth.reverb.")}


def _fill(model: Model, module: Family, state: dict[str, Tensor], checkpoint: Path) -> None:
    """Put the weights into the module; those of another patch would fit in shape, and sound wrong."""
    from .files.checkpoints import load_weights

    similar = _meant(state)
    meant = [] if model.architecture in [other.architecture for other in similar] else [m.name for m in similar]
    ratios, wanted = _ratios(state), _patch_ratios(model)
    if len(ratios) == len(wanted) and ratios != wanted:
        raise CheckpointError(
            f"{checkpoint} is for other frequency ratios, {ratios}, than {model.name} has, {wanted}"
            + (f": it is probably for {' or '.join(meant)}" if meant else "")
        )
    load_weights(module, state, str(checkpoint), " or ".join(meant))


def _meant(state: Mapping[str, Tensor]) -> list[Model]:
    """The models that weights like these are for, by family, width and ratios."""
    from .files.keys import family_and_width

    similar = [model for model in MODELS.values() if (model.family, model.width) == family_and_width(state)]
    return [model for model in similar if _patch_ratios(model) == _ratios(state)]


def _patch_ratios(model: Model) -> list[float]:
    from .families.ddx7 import PATCHES

    return list(map(float, PATCHES[model.patch].ratios)) if model.patch else []


def _ratios(state: Mapping[str, Tensor]) -> list[float]:
    """Of DDX7 weights; without what float32 adds to 1.58."""
    return [round(float(ratio), 5) for ratio in state["synth.fr"].flatten()] if "synth.fr" in state else []
