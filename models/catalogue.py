"""The families, and their models by name: `<family>-<size>`, and for DDX7 `-<patch>`.

Those that come with trained weights have the instrument in their name, and a student how it was distilled:
`<family>-<size>-<instrument>[+ad|+cd]`. For DDX7 the instrument is the patch.

Nothing here imports torch before a model is made: the command line compares names quickly.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.bundle import Provenance
from .errors import CheckpointError, UnknownModelError
from .files.kinds import read_file
from .model import Model

if TYPE_CHECKING:
    from torch import Tensor

    from .families.family import Family

SEED = 0
CHECKPOINTS = Path(__file__).parent / "checkpoints"
PATCHES = ("violin", "flute", "trumpet", "piano", "flute4", "trumpet4", "1stack4", "2stack2", "1stack2")


@dataclass(frozen=True)
class Kind:
    """A family, as far as it can be told without torch.

    Attributes:
        name: its models' names begin with it.
        family: imports its class, and torch.
        widths: the decoder's, by the name of a size: "full" is the teacher, "reduced" the student.
        patches: the models of each size, where there are several.
    """

    name: str
    family: Callable[[], type[Family]]
    widths: Mapping[str, int]
    patches: tuple[str, ...] = ("",)

    def models(self) -> Iterator[Model]:
        """One for each size and patch."""
        for size, width in self.widths.items():
            for patch in self.patches:
                name = "-".join(part for part in (self.name, size, patch) if part)
                yield Model(name, self.name, width, patch)


def _hpn() -> type[Family]:
    from .families.hpn import HpN

    return HpN


def _ddx7() -> type[Family]:
    from .families.ddx7 import DDX7

    return DDX7


def _wavetable() -> type[Family]:
    from .families.wavetable import Wavetable

    return Wavetable


# A new family is a line here, and a subclass of `Family` in a module of its own.
FAMILIES = (
    Kind("hpn", _hpn, {"full": 512, "156": 156, "44": 44, "reduced": 16}),
    Kind("ddx7", _ddx7, {"full": 128, "reduced": 64}, PATCHES),
    Kind("wavetable", _wavetable, {"full": 512, "reduced": 16}),
)
MODELS = {model.name: model for kind in FAMILIES for model in kind.models()}


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


def variant_name(name: str, *, reverb: bool = True, causal: bool = False, full_noise: bool = False) -> str:
    """The name of a bundle made with these options of `load`."""
    said = {"no-reverb": not reverb, "causal": causal, "full-noise": full_noise}
    return "-".join([name, *(option for option, is_on in said.items() if is_on)])


def family_of(model: Model) -> type[Family]:
    """The class of a model's family; takes torch."""
    return next(kind.family() for kind in FAMILIES if kind.name == model.family)


@dataclass(frozen=True)
class Resolved:
    """A model that was named, with its weights and variant settled, before torch is needed.

    Attributes:
        model: the entry of the catalogue.
        title: the name of a bundle of it.
        provenance: where its weights come from.
        checkpoint: their file; None for random ones.
        options: of the variant.
        weights: the group of weights in the file; "" for the ordinary ones.
    """

    model: Model
    title: str
    provenance: Provenance
    checkpoint: Path | None
    options: Mapping[str, bool]
    weights: str = ""

    def load(self, note: Callable[[str], None] = lambda line: None) -> Family:
        """The model in evaluation mode; `note` is called with each remark on what its checkpoint held besides.

        Raises:
            VariantError: for an option that the family does not have.
            CheckpointError: for weights that can't be read or do not fit.
        """
        if self.checkpoint is None:
            return untrained(self.model, **self.options)
        return _load(self, note, self.checkpoint)


def resolve(name: str, checkpoint: Path | None = None, weights: str = "", **options: bool) -> Resolved:
    """Find a model and its weights.

    Args:
        name: one of `NAMES`.
        checkpoint: other trained weights than it comes with.
        weights: the group of weights in that file, `ema` for instance; by default the ordinary ones.
        options: `reverb=False` leaves the reverb out; `causal=True` glides without latency (see `upsampling`);
            `full_noise=True` filters noise with all taps (see `noise`).

    Raises:
        UnknownModelError: says which names are near.
        CheckpointError: when the file can't be read.
    """
    model = find(name)
    file = checkpoint or model.checkpoint
    provenance = _provenance(model, file, weights, comes_along=checkpoint is None)
    return Resolved(model, variant_name(model.name, **options), provenance, file, options, weights)


def _provenance(model: Model, file: Path | None, weights: str, *, comes_along: bool) -> Provenance:
    if file is None:
        return Provenance(f"untrained: random, seed {SEED}, heads fitted to the loudness", "untrained", model.name)
    digest = hashlib.sha256(read_file(file)).hexdigest()
    if comes_along:
        return Provenance(f"trained, comes with Tonearm, sha256 {digest[:16]}", "trained", file.name, digest)
    which = f" ({weights})" if weights else ""
    return Provenance(f"checkpoint {file.name}{which}, sha256 {digest[:16]}", "checkpoint", file.name, digest)


def load(
    name: str,
    checkpoint: Path | None = None,
    note: Callable[[str], None] = lambda line: None,
    weights: str = "",
    **options: bool,
) -> Family:
    """The model of that name in evaluation mode: `resolve`, then `Resolved.load`."""
    return resolve(name, checkpoint, weights, **options).load(note)


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
        return family_of(model).build(model, state, **options).eval()


def _load(resolved: Resolved, note: Callable[[str], None], checkpoint: Path) -> Family:
    """The model with the checkpoint's weights, without the reverb's if there is to be none."""
    from .files.checkpoints import read_checkpoint

    found = read_checkpoint(checkpoint, resolved.weights)
    for line in found.notes:
        note(line)
    state = found.state
    if not resolved.options.get("reverb", True):
        note("the reverb's weights are left out")
        state = {key: value for key, value in state.items() if not key.startswith("synth.reverb.")}
    return fill(resolved.model, state, str(checkpoint), **resolved.options)


def fill(model: Model, state: dict[str, Tensor], source: str, **options: bool) -> Family:
    """The model with these weights; `CheckpointError`, which names `source`, where they are not for it.

    Those of another patch would fit in shape, and sound wrong.
    """
    from .files.checkpoints import load_weights
    from .files.weightnorm import with_products

    whole = with_products(state)
    module = _seeded(model, whole, **options)
    similar = _meant(whole)
    meant = [] if model.architecture in [other.architecture for other in similar] else [m.name for m in similar]
    probably = f"it is probably for {' or '.join(meant)}" if meant else ""
    load_weights(module, state, source, probably or ("" if similar else "nor any other of Tonearm's"))
    mismatch = family_of(model).mismatch(model, state)
    if mismatch:
        raise CheckpointError(f"{source} is for {mismatch}" + (f": {probably}" if probably else ""))
    return module


def models_for(state: Mapping[str, Tensor]) -> list[Model]:
    """The models without weights that these are probably for."""
    from .files.weightnorm import with_products

    return _meant(with_products(dict(state)))


def _meant(state: Mapping[str, Tensor]) -> list[Model]:
    """The models that weights like these are for, by family, width and what else tells them apart."""
    family, width = family_and_width(state)
    similar = [model for model in MODELS.values() if (model.family, model.width) == (family, width)]
    return [model for model in similar if not family_of(model).mismatch(model, state)]


def family_and_width(state: Mapping[str, Tensor]) -> tuple[str, int]:
    """Which family's weights these probably are, and the decoder's width; `("", 0)` where that can't be told."""
    widths = {kind.name: kind.family().width_of(state) for kind in FAMILIES}
    return next(((name, width) for name, width in widths.items() if width), ("", 0))
