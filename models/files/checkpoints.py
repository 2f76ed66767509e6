"""Read trained weights as training code leaves them, without running anything a file may carry."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .keys import PARTS, canonical, listed
from .torchfiles import Stored, read_torch_file, restore

SAFETENSORS = ".safetensors"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
MAX_SHARING = 4  # times the file's size: weights may share their numbers, but a small file must not fill the memory


@dataclass(frozen=True)
class Checkpoint:
    """Weights under the model's own keys, and in words what else the file held that was left out."""

    state: dict[str, Tensor]
    notes: tuple[str, ...]


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights of a safetensors file, or of `torch.save`: a `state_dict`, bare or beside what else a run has left.

    Only tensors are read. All else that a file may carry, hyper-parameters for instance, is neither imported nor run.

    Raises:
        CheckpointError: when the file is missing, damaged, of another kind, or has weights that are no finite numbers.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {path}: {error.strerror}") from error
    try:
        return _read(content, path.suffix)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from error
    except Exception as error:  # a damaged file ends a reader in any way there is
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} is damaged, or no file of torch.save or safetensors: {reason}") from error


def _read(content: bytes, suffix: str) -> Checkpoint:
    state, notes = (
        _from_safetensors(content) if suffix == SAFETENSORS or _is_safetensors(content) else _from_torch(content)
    )
    if not state:
        raise CheckpointError("holds no named tensors: save model.state_dict()")
    return Checkpoint(state, (*notes, *_check_numbers(state)))


def _is_safetensors(content: bytes) -> bool:
    """Whether it begins with the length of a header, which is JSON."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8


def _from_safetensors(content: bytes) -> tuple[dict[str, Tensor], list[str]]:
    return canonical(safetensors.torch.load(content))


def _from_torch(content: bytes) -> tuple[dict[str, Tensor], list[str]]:
    saved, numbers = read_torch_file(content)
    entries, beside = _weights(saved)
    chosen, notes = canonical(entries)
    strange = [key for key, value in chosen.items() if not isinstance(value, Stored)]
    if strange:
        raise CheckpointError(f"holds more than named tensors: {listed(strange)}; save model.state_dict() alone")
    state = {key: restore(value, numbers) for key, value in chosen.items()}
    if sum(value.nbytes for value in state.values()) > MAX_SHARING * len(content):
        raise CheckpointError("declares more weights than the file can hold: its tensors overlap")
    return state, beside + notes


def _weights(saved: Any) -> tuple[dict[str, Any], list[str]]:
    """The entries that are weights, and a note on everything beside them."""
    if not isinstance(saved, dict):
        raise CheckpointError("holds no named tensors: save model.state_dict(), not the model")
    chosen = "state_dict" if isinstance(saved.get("state_dict"), dict) else _nested(saved)
    if chosen is None:
        return saved, []
    others = [name for name in saved if name != chosen]
    return saved[chosen], [f"ignored beside the weights: {listed(others)}; nothing in there was run"] if others else []


def _nested(saved: dict[str, Any]) -> str | None:
    """The one entry that holds tensors by name, where the file has none itself, as in `{"model": ..., "epoch": 3}`."""
    if _holds_tensors(saved):
        return None
    sets = [name for name, value in saved.items() if isinstance(value, dict) and _holds_tensors(value)]
    if len(sets) > 1:
        raise CheckpointError(f"holds {len(sets)} sets of weights, {listed(sets)}: save one of them alone")
    return sets[0] if sets else None


def _holds_tensors(entries: dict[str, Any]) -> bool:
    return any(isinstance(value, Stored) for value in entries.values())


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
    """Put `state` into `module`; `CheckpointError` lists every key, shape and type that does not fit.

    `meant` is the model that the weights are probably for, where that is another one.
    """
    wanted = module.state_dict()
    problems = [f"missing {key}" for key in wanted if key not in state]
    problems += [f"unexpected {key}" for key in state if key not in wanted]
    problems += [
        f"{key} is {tuple(state[key].shape)}, the model has {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    problems += [
        f"{key} is {str(state[key].dtype).removeprefix('torch.')}, the model's are fractions: restore quantized weights"
        for key in wanted
        if key in state and _is_quantized(state[key], wanted[key], key in dict(module.named_buffers()))
    ]
    if problems:
        hint = f", it is probably for {meant}" if meant else ""
        raise CheckpointError(f"{source} does not fit the model{hint}: " + "; ".join(problems))
    module.load_state_dict(state)


def _is_quantized(value: Tensor, wanted: Tensor, is_buffer: bool) -> bool:
    """Whether whole numbers stand where fractions belong. A buffer may be saved as Python's whole numbers, int64."""
    plain = is_buffer and value.dtype == torch.int64
    return wanted.is_floating_point() and not value.is_floating_point() and not plain


def convert(old: Path, new: Path) -> Checkpoint:
    """Write the weights of `old` as `new`, a .safetensors under the model's own keys, whole or not at all.

    Numbers stay as they are, float16 for instance. `CheckpointError` when `old` can't be read or holds other weights
    than those of a model, and when `new` is there already or has another suffix.
    """
    if new.suffix != SAFETENSORS:
        raise CheckpointError(f"{new}: weights are written as {SAFETENSORS}, so name it {new.stem}{SAFETENSORS}")
    if new.exists():
        raise CheckpointError(f"{new} exists already: remove it, or use another name")
    found = read_checkpoint(old)
    strange = [key for key in found.state if key.split(".")[0] not in PARTS]
    if strange:
        raise CheckpointError(f"{old} holds weights that belong to no known model: {listed(strange)}")
    content = {key: value.contiguous().clone() for key, value in found.state.items()}  # two must not share numbers
    new.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{new.name}-", dir=new.parent) as temporary:
        part = Path(temporary) / new.name
        part.write_bytes(safetensors.torch.save(content, {"format": "pt"}))
        part.replace(new)
    return found
