"""Files that appear whole or not at all: a full disk or a kill leaves what was there before."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes its place when the block ends well, and vanishes otherwise.

    It has the suffix of `path`, for what goes by that; a link stays one, a file keeps its mode, and what is no file
    (a pipe, `/dev/stdout`) is given as it is.

    Raises:
        OSError: with `path` as its `filename`, whatever kept it from being written; what was there is as it was.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = path.resolve()
    part = target.with_name(f".{target.stem[:100]}-{secrets.token_hex(4)}.part{target.suffix}")
    try:
        yield part
        _replace(part, target)
    except OSError as error:
        if error.filename in (None, str(part)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _replace(part: Path, target: Path) -> None:
    """By one rename, once all is on disk."""
    if target.exists():
        shutil.copymode(target, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
