"""Where a bundle goes: it appears in its place whole or not at all."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..runtime.bundle import MANIFEST, read_bundle
from ..runtime.errors import RunnerError
from ..runtime.files import naming
from .errors import ExportError


def check_folder(folder: Path) -> None:
    """`ExportError` when a bundle in `folder` would take the place of something else."""
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    try:
        known = {MANIFEST, *read_bundle(folder).files} if found else set()
    except RunnerError:
        known = set()
    if found - known or (folder.exists() and not folder.is_dir()):
        raise ExportError(f"{folder} exists and is not a bundle: name another folder, or move it away")


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Where to write what takes the place of `folder` when the block ends well; otherwise it stays as it is."""
    made = [parent for parent in folder.parents if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        unfinished = f".{folder.name}-"
        with (
            naming(folder, folder.with_name(unfinished)),
            tempfile.TemporaryDirectory(prefix=unfinished, dir=folder.parent) as temporary,
        ):
            new = Path(temporary) / "bundle"
            yield new
            check_folder(folder)  # something may have come there meanwhile
            _replace(new, folder, Path(temporary) / "old")
    except BaseException:
        for parent in made:
            with contextlib.suppress(OSError):  # somebody else has put something there
                parent.rmdir()
        raise


def _replace(new: Path, folder: Path, old: Path) -> None:
    """`new` in the place of `folder`, or the old one back in it."""
    if not folder.exists():
        new.replace(folder)
        return
    folder.replace(old)
    try:
        new.replace(folder)
    except BaseException:
        old.replace(folder)
        raise
