"""Files that appear whole or not at all: a full disk or a kill leaves what was there before."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes its place when the block ends well, and vanishes otherwise.

    It has the suffix of `path`, for what goes by that; a link stays one, a file keeps its mode. What is no file of its
    own (a pipe, `/dev/stdout`) is given as it is, and a file whose place can't be taken is written over.

    Raises:
        OSError: with `path` as its `filename`, whatever kept it from being written; what was there is as it was.
    """
    target = Path(os.path.realpath(path))
    if path.is_relative_to("/dev") or (target.exists() and not target.is_file()):
        yield path
        return
    part = _beside(target)
    try:
        with naming(path, part):
            yield part
            _replace(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def naming(path: Path, part: Path) -> Iterator[None]:
    """What goes wrong with `part`, in it, or with no file in particular (a full disk) is said of `path`: an OSError."""
    try:
        yield
    except OSError as error:
        if error.filename is None or os.fsdecode(error.filename).startswith(str(part)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def _beside(target: Path) -> Path:
    """A new name in the same folder; in the one for temporary files where nothing new may be in that one."""
    name = f".tonearm-{secrets.token_hex(8)}.part{target.suffix}"
    is_closed = target.is_file() and not os.access(target.parent, os.W_OK)
    return Path(tempfile.gettempdir(), name) if is_closed else target.with_name(name)


def _replace(part: Path, target: Path) -> None:
    """By one rename, once all is on disk."""
    if target.exists():
        shutil.copymode(target, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    try:
        part.replace(target)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV) or not target.is_file():
            raise
        shutil.copyfile(part, target)  # mounted by itself, as containers do
