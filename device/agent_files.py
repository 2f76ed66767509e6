"""How the agent keeps files: whole or not at all, below one folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO

from .agent_protocol import RefusalError

DAY = 86400


def missing(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Which of `objects` (hashes) and `paths` are not here."""
    return {
        "objects": [sha for sha in request["objects"] if not (root / "objects" / sha).is_file()],
        "paths": [name for name in request["paths"] if not inside(root, name).exists()],
    }


def verify(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Whether the folder `path` holds `contents` (name -> sha256); damaged objects are taken away."""
    folder = inside(root, request["path"])
    if not folder.is_dir():
        return {"whole": False}
    hashes = {name: file_hash(inside(folder, name)) for name in request["contents"]}
    damaged = [sha256 for name, sha256 in request["contents"].items() if hashes[name] != sha256]
    for sha256 in damaged:  # a file of a release is a link to its object
        inside(root, f"objects/{sha256}").unlink(missing_ok=True)
    return {"whole": not damaged}


def file_hash(path: Path) -> str:
    """A file's sha256, or nothing when there is no file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def inside(root: Path, name: str) -> Path:
    """The path `name` below `root`; refuses anything that leads out of it."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise RefusalError("path", f"{name!r} is not a path inside {root}")
    return root.joinpath(*parts)


def put(root: Path, request: dict[str, Any], stream: BinaryIO) -> dict[str, Any]:
    """Store the files that follow as objects, each under its hash."""
    total = sum(file["size"] for file in request["files"])
    free = shutil.disk_usage(root).free
    needed = total + request.get("headroom", 0)
    if needed > free:
        raise RefusalError("space", f"{needed / 1e6:.1f} MB are needed below {root}, {free / 1e6:.1f} MB are free")
    for file in request["files"]:
        receive(stream, inside(root, f"objects/{file['sha256']}"), file["size"], file["sha256"])
    return {"stored": len(request["files"])}


def receive(stream: BinaryIO, target: Path, size: int, sha256: str) -> None:
    """`size` bytes from `stream` into `target`, which appears only if their hash is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    digest, left = hashlib.sha256(), size
    try:
        with part.open("wb") as file:
            while left:
                chunk = stream.read(min(left, 1 << 16))
                if not chunk:
                    raise RefusalError("cut", f"the connection ended {left} bytes before the end of {target.name}")
                file.write(chunk)
                digest.update(chunk)
                left -= len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise RefusalError("hash", f"{target.name} arrived with the hash {digest.hexdigest()}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def tree(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Make a folder of objects that are here already: `path`, and `contents` as name -> sha256."""
    target = inside(root, request["path"])
    with building(target) as new:
        for name, sha256 in request["contents"].items():
            place = inside(new, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            source = inside(root, f"objects/{sha256}")
            if file_hash(source) != sha256:
                source.unlink(missing_ok=True)
                raise RefusalError("hash", f"{name} is damaged on the board; deploy again to push it anew")
            link(source, place)
    return {"path": str(target)}


def link(source: Path, place: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)


@contextlib.contextmanager
def building(target: Path) -> Any:
    """A fresh folder that becomes `target` when the block ends well, and vanishes otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_out(target.parent, "*.part")
    new = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield new
        os.sync()
        replace_folder(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """`new` as `target`, in place of a damaged one, or the old one back."""
    aside = new.with_suffix(".aside.part")
    if target.is_dir():
        target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def sweep_out(folder: Path, pattern: str) -> None:
    """Remove what a power cut left behind a day ago or earlier."""
    for path in folder.glob(pattern):
        if path.stat().st_mtime < time.time() - DAY:
            shutil.rmtree(path, ignore_errors=True)
