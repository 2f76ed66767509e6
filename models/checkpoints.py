"""Read trained weights without running anything a file may carry."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from .errors import CheckpointError


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a bare `state_dict` file; `CheckpointError` when there is none or it holds more than tensors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are refused anyway
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}: give the path of a state_dict saved by torch.save") from error
    except Exception as error:  # a damaged file ends torch's reader in any way there is
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path} is not a file of plain tensors and is not opened further: {reason}; "
            "save the weights alone with torch.save(model.state_dict(), path)"
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path} holds more than named tensors; save model.state_dict() alone")
    return loaded


def load_weights(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Put `state` into `module`; `CheckpointError` lists every key and shape that does not fit."""
    wanted = module.state_dict()
    problems = [f"missing {key}" for key in wanted if key not in state]
    problems += [f"unexpected {key}" for key in state if key not in wanted]
    problems += [
        f"{key} is {tuple(state[key].shape)}, the model has {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if problems:
        raise CheckpointError(f"{source} does not fit the model: " + "; ".join(problems))
    module.load_state_dict(state)
