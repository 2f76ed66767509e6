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
    """

    model: Model
    title: str
    provenance: Provenance
    checkpoint: Path | None
    options: Mapping[str, bool]

    def load(self, note: Callable[[str], None] = lambda line: None) -> Family:
        """The model in evaluation mode; `note` is called with each remark on what its checkpoint held besides.

        Raises:
            VariantError: for an option that the family does not have.
            CheckpointError: for weights that can't be read or do not fit.
        """
        if self.checkpoint is None:
            return untrained(self.model, **self.options)
        state = _read(self.model, self.checkpoint, note, reverb=self.options.get("reverb", True))
        module = _seeded(self.model, state, **self.options)
        _fill(self.model, module, state, self.checkpoint)
        return module


def resolve(name: str, checkpoint: Path | None = None, **options: bool) -> Resolved:
    """Find a model and its weights.

    Args:
        name: one of `NAMES`.
        checkpoint: other trained weights than it comes with.
        options: `reverb=False` leaves the reverb out; `causal=True` glides without latency (see `upsampling`);
            `full_noise=True` filters noise with all taps (see `noise`).

    Raises:
        UnknownModelError: says which names are near.
        CheckpointError: when the file can't be read.
    """
    model = find(name)
    file = checkpoint or model.checkpoint
    provenance = _provenance(model, file, comes_along=checkpoint is None)
    return Resolved(model, variant_name(model.name, **options), provenance, file, options)


def _provenance(model: Model, file: Path | None, *, comes_along: bool) -> Provenance:
    if file is None:
        return Provenance(f"untrained: random, seed {SEED}, heads fitted to the loudness", "untrained", model.name)
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {file}: {error.strerror}") from error
    if comes_along:
        return Provenance(f"trained, comes with Tonearm, sha256 {digest[:16]}", "trained", file.name, digest)
    return Provenance(f"checkpoint {file.name}, sha256 {digest[:16]}", "checkpoint", file.name, digest)


def load(
    name: str, checkpoint: Path | None = None, note: Callable[[str], None] = lambda line: None, **options: bool
) -> Family:
    """The model of that name in evaluation mode: `resolve`, then `Resolved.load`."""
    return resolve(name, checkpoint, **options).load(note)


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
    load_weights(module, state, str(checkpoint), " or ".join(meant))
    mismatch = family_of(model).mismatch(model, state)
    if mismatch:
        probably = f": it is probably for {' or '.join(meant)}" if meant else ""
        raise CheckpointError(f"{checkpoint} is for {mismatch}{probably}")


def _meant(state: Mapping[str, Tensor]) -> list[Model]:
    """The models that weights like these are for, by family, width and what else tells them apart."""
    family, width = family_and_width(state)
    similar = [model for model in MODELS.values() if (model.family, model.width) == (family, width)]
    return [model for model in similar if not family_of(model).mismatch(model, state)]


def family_and_width(state: Mapping[str, Tensor]) -> tuple[str, int]:
    """Which family's weights these probably are, and the decoder's width; `("", 0)` where that can't be told."""
    widths = {kind.name: kind.family().width_of(state) for kind in FAMILIES}
    return next(((name, width) for name, width in widths.items() if width), ("", 0))
