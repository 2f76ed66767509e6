"""A person's own module by name: `my_module:build`, imported from the current folder or the environment, and run."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.bundle import Provenance
from .errors import BenchError
from .names import plain_name

if TYPE_CHECKING:
    from types import ModuleType

    from ..export.streaming import StreamingModule


def bundle_name(target: str) -> str:
    """`my_module` for `my_module:build`, `my_module-small` for `my_module:small`; else `BenchError`."""
    module, attribute = _split(target)
    name = module if attribute == "build" else f"{module}-{attribute}"
    return plain_name(name)


def _split(target: str) -> tuple[str, str]:
    module, _, attribute = target.partition(":")
    is_file = module.endswith(".py")
    if is_file or not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise BenchError(
            f"{target} is not of the form MODULE:FUNCTION: for build() in my_module.py, write my_module:build"
        )
    return module, attribute


def load_own(target: str) -> StreamingModule:
    """What `target` builds, in evaluation mode. It is the person's own code and is run.

    Raises:
        BenchError: there is no such module or attribute, it raises, or what it returns is no `StreamingModule`.
    """
    from ..export.streaming import StreamingModule

    name, attribute = _split(target)
    built = _called(_attribute(_imported(name), attribute), target)
    if not isinstance(built, StreamingModule):
        raise BenchError(
            f"{target} must return a StreamingModule, not {type(built).__name__}: derive it from "
            "tonearm.export.streaming.StreamingModule"
        )
    return built.eval()


def _imported(name: str) -> ModuleType:
    from ..export.probe import told

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise BenchError(f"no module {name}: it is neither in {here} nor installed") from error
        raise BenchError(f"importing {name} raises {told(error)}") from error


def _attribute(module: ModuleType, name: str) -> Any:
    if not hasattr(module, name):
        place = getattr(module, "__file__", None) or "a part of Python itself"
        raise BenchError(f"{module.__name__} ({place}) has no {name}: name a function in it")
    return getattr(module, name)


def _called(build: Any, target: str) -> Any:
    """What a function or class returns; a module that is there already is taken as it is."""
    from ..export.probe import told
    from ..export.streaming import StreamingModule

    if isinstance(build, StreamingModule):
        return build
    if not callable(build):
        raise BenchError(f"{target} is of type {type(build).__name__}: name a function that returns a StreamingModule")
    try:
        return build()
    except (Exception, SystemExit) as error:
        raise BenchError(f"{target} raises {told(error)}") from error


def check(module: StreamingModule, target: str) -> list[str]:
    """What the linter warns of; `LintError` with everything that it finds."""
    from ..export.errors import LintError
    from ..export.lint import lint, warn

    findings = lint(module)
    if findings:
        raise LintError(target, findings)
    return [str(warning) for warning in warn(module)]


def describe(module: StreamingModule, target: str) -> Provenance:
    """Where the weights come from, with a hash of all of them, if there are any."""
    import torch

    digest = hashlib.sha256()
    tensors = {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    if not tensors:
        return Provenance(f"{target}, no weights", "module", target)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    sha256 = digest.hexdigest()
    return Provenance(f"{target}, weights sha256 {sha256[:16]}", "module", target, sha256)
