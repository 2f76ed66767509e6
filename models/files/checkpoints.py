"""Read trained weights as training code leaves them, without running anything a file may carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from ...runtime.files import whole
from ..errors import CheckpointError
from .groups import entries_of, is_tensor
from .keys import MAX_LISTED, listed
from .kinds import is_safetensors, read_file, refuse_others, what_is_wrong
from .pick import pick
from .torchfiles import a_kind, read_torch_file, restore
from .unpickle import Inert
from .weightnorm import as_wanted

SAFETENSORS = ".safetensors"
ARRAY = ".multiarray._reconstruct"  # what makes an array of NumPy
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
MAX_SHARING = 4  # times the file's size: weights may share their numbers, but a small file must not fill the memory


@dataclass(frozen=True)
class Checkpoint:
    """Weights under the model's own keys, and in words what else the file held that was left out."""

    state: dict[str, Tensor]
    notes: tuple[str, ...]


def read_checkpoint(path: Path, weights: str = "") -> Checkpoint:
    """The weights of a safetensors file, or of `torch.save`: a `state_dict`, bare or beside what else a run has left.

    Only tensors are read. All else that a file may carry, hyper-parameters for instance, is neither imported nor run.

    Args:
        path: the file.
        weights: the name of one group of weights, `ema` for instance; by default those that are not averaged.

    Raises:
        CheckpointError: when the file is missing, damaged, of another kind, or has weights that are no finite numbers.
    """
    content = read_file(path)
    try:
        return _read(content, path.suffix, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from error
    except Exception as error:  # a damaged file ends a reader in any way there is
        raise CheckpointError(f"{path} {what_is_wrong(content, error)}") from error


def _read(content: bytes, suffix: str, weights: str) -> Checkpoint:
    is_safe = is_safetensors(content)
    if not is_safe:
        refuse_others(content, suffix)
    saved, numbers = (safetensors.torch.load(content), None) if is_safe else read_torch_file(content)
    if not isinstance(saved, dict):
        raise CheckpointError(f"holds no named tensors but {a_kind(saved)}: save model.state_dict(), not the model")
    picked = pick(saved, weights)
    strange = [key for key, value in picked.state.items() if not is_tensor(value)]
    if strange:
        raise CheckpointError(f"holds more than named tensors: {listed(strange)}; save model.state_dict() alone")
    if not picked.state:
        arrays = any(isinstance(entry.value, Inert) and ARRAY in entry.value.name for entry in entries_of(saved))
        what = "NumPy arrays, no named tensors" if arrays else "no named tensors"
        raise CheckpointError(f"holds {what}: save model.state_dict()")
    state = {key: restore(value, numbers) if numbers else value for key, value in picked.state.items()}
    if sum(value.nbytes for value in state.values()) > MAX_SHARING * len(content):
        raise CheckpointError("declares more weights than the file can hold: its tensors overlap")
    return Checkpoint(state, (*picked.notes, *_check_numbers(state)))


def _check_numbers(state: dict[str, Tensor]) -> list[str]:
    """A note where float32 holds the weights less precisely; `CheckpointError` names weights that are no numbers."""
    other = [key for key, value in state.items() if value.dtype not in (*FLOATS, *INTEGERS)]
    if other:
        raise CheckpointError(f"has weights of an unsupported type, {state[other[0]].dtype}: {listed(other)}")
    broken = [key for key, value in state.items() if not value.float().isfinite().all()]
    if broken:
        raise CheckpointError(f"has weights that are not finite as float32: {listed(broken)}")
    rounded = [key for key, value in state.items() if _is_rounded(value)]
    return [f"float64 is rounded to float32: {listed(rounded)}"] if rounded else []


def _is_rounded(value: Tensor) -> bool:
    return value.dtype == torch.float64 and not torch.equal(value.float().double(), value)


def load_weights(module: nn.Module, state: dict[str, Tensor], source: str, meant: str = "") -> None:
    """Put `state` into `module`; `CheckpointError` lists keys, shapes and types that do not fit.

    Args:
        module: takes weights with weight norm, of any of PyTorch's kinds, and without.
        state: under the module's own keys.
        source: what the weights are called.
        meant: what they are for, where that is another model.
    """
    wanted = module.state_dict()
    buffers = {key for key, _ in module.named_buffers()}
    fitted = as_wanted(state, {key: tuple(value.shape) for key, value in wanted.items()})
    misshaped = [key for key in wanted if key in fitted and fitted[key].shape != wanted[key].shape]
    quantized = [key for key in wanted if key in fitted and _is_quantized(fitted[key], wanted[key], key in buffers)]
    problems = [
        *_some([f"missing {key}" for key in wanted if key not in fitted]),
        *_some([f"unexpected {key}" for key in fitted if key not in wanted]),
        *_some([f"{key} is {tuple(fitted[key].shape)}, the model has {tuple(wanted[key].shape)}" for key in misshaped]),
        *_some(
            [
                f"{key} is {_type(fitted[key])}, the model's are fractions: restore quantized weights"
                for key in quantized
            ]
        ),
    ]
    if problems:
        hint = f", {meant}" if meant else ""
        raise CheckpointError(f"{source} does not fit the model{hint}: " + "; ".join(problems))
    module.load_state_dict(fitted)


def _some(problems: list[str]) -> list[str]:
    """The first few of a kind, and how many more there are."""
    more = len(problems) - MAX_LISTED
    return [*problems[:MAX_LISTED], f"and {more} more"] if more > 0 else problems


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _is_quantized(value: Tensor, wanted: Tensor, is_buffer: bool) -> bool:
    """Whether whole numbers stand where fractions belong. A buffer may be saved as Python's whole numbers, int64."""
    plain = is_buffer and value.dtype == torch.int64
    return wanted.is_floating_point() and not value.is_floating_point() and not plain


def write_weights(state: dict[str, Tensor], new: Path) -> None:
    """Write weights as a new .safetensors, whole or not at all; numbers stay as they are, float16 for instance.

    `CheckpointError` when `new` is there already or has another suffix.
    """
    check_new(new)
    content = {key: value.contiguous().clone() for key, value in state.items()}  # two must not share numbers
    new.parent.mkdir(parents=True, exist_ok=True)
    with whole(new) as part:
        part.write_bytes(safetensors.torch.save(content, {"format": "pt"}))


def check_new(new: Path) -> None:
    """`CheckpointError` when `new` is there already, or is named like no file of weights."""
    if new.suffix != SAFETENSORS:
        raise CheckpointError(f"{new}: weights are written as {SAFETENSORS}, so name it {new.stem}{SAFETENSORS}")
    if new.exists():
        raise CheckpointError(f"{new} exists already: remove it, or use another name")
