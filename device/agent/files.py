"""How the agent keeps files: whole or not at all, below one folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from .protocol import CHUNK, RefusalError, stay_alive_only_with_a_host, wait_no_more

LARGEST_KEPT = 1 << 16  # bytes


def missing(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Which of `objects` (hashes) are not here, and how many bytes of each are."""
    absent = [sha256 for sha256 in request["objects"] if not inside(root, f"objects/{sha256}").is_file()]
    return {"objects": {sha256: size_of(part_of(inside(root, f"objects/{sha256}"))) for sha256 in absent}}


def part_of(target: Path) -> Path:
    """What there is of a file that is still on its way."""
    return target.with_name(f"{target.name}.part")


def size_of(path: Path) -> int:
    """In bytes; 0 where there is no file."""
    return path.stat().st_size if path.is_file() else 0


def verify(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Whether the folder `path` holds `contents` (name -> sha256); damaged objects are taken away."""
    folder = inside(root, request["path"])
    if not folder.is_dir():
        return {"whole": False, "proofs": {}}
    mark_used(folder)
    hashes = {name: file_hash(inside(folder, name)) for name in request["contents"]}
    damaged = [sha256 for name, sha256 in request["contents"].items() if hashes[name] != sha256]
    for sha256 in damaged:  # a file of a release is a link to its object
        inside(root, f"objects/{sha256}").unlink(missing_ok=True)
    proofs = {str(path.relative_to(root)): kept(path) for path in folder.parent.glob(f"{folder.name}.*.json")}
    return {"whole": not damaged, "proofs": proofs}


def kept(path: Path) -> Any:
    """What a small file of ours holds; nothing where it is damaged, or not ours."""
    try:
        return json.loads(path.read_text()) if size_of(path) <= LARGEST_KEPT else None
    except (OSError, ValueError, RecursionError):
        return None


def mark_used(folder: Path) -> None:
    """What was used last is kept longest."""
    if folder.is_dir():
        os.utime(folder)


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
    total = sum(file["size"] - file.get("start", 0) for file in request["files"])
    free = shutil.disk_usage(root).free
    needed = total + request.get("headroom", 0)
    if needed > free:
        raise RefusalError("space", f"{needed / 1e6:.1f} MB are needed below {root}, {free / 1e6:.1f} MB are free")
    for file in request["files"]:
        receive(stream, inside(root, f"objects/{file['sha256']}"), file)
    return {"stored": len(request["files"])}


def receive(stream: BinaryIO, target: Path, file: dict[str, Any]) -> None:
    """A file's bytes from its `start` on, out of `stream`: `target` appears only if the hash of all is right.

    What was there before a cut stays, for the next time.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, start = part_of(target), file.get("start", 0)
    if start != size_of(part):
        part.unlink(missing_ok=True)
    if start > size_of(part):
        raise RefusalError("cut", f"the part of {target.name} uploaded so far is gone; try again")
    try:
        with part.open("ab") as out:
            append(stream, out, file["size"] - start, target.name)
        if file_hash(part) != file["sha256"]:
            raise RefusalError("hash", f"{target.name} arrived damaged; try again")
        part.replace(target)
    except RefusalError as refusal:
        if refusal.kind != "cut":
            part.unlink()
        raise
    except OSError:
        part.unlink(missing_ok=True)
        raise


def append(stream: BinaryIO, out: BinaryIO, left: int, name: str) -> None:
    """`left` bytes from `stream` to `out`, onto the disk."""
    while left:
        stay_alive_only_with_a_host()
        chunk = stream.read(min(left, CHUNK))
        wait_no_more()
        if not chunk:
            raise RefusalError("cut", f"the connection ended {left} bytes before the end of {name}")
        out.write(chunk)
        left -= len(chunk)
    out.flush()
    os.fsync(out.fileno())


def tree(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Make a folder of objects that are here already: `path`, and `contents` as name -> sha256.

    In a folder that is there, file by file takes the place of a damaged one: `current` never points at nothing.
    """
    target = inside(root, request["path"])
    if target.is_dir():
        fill(root, target, request["contents"])
        os.sync()
    else:
        with building(target) as new:
            fill(root, new, request["contents"])
    return {"path": str(target)}


def fill(root: Path, folder: Path, contents: dict[str, str]) -> None:
    """Each file that is not there, or not what it should be."""
    for name, sha256 in contents.items():
        place, source = inside(folder, name), inside(root, f"objects/{sha256}")
        if file_hash(place) == sha256:
            continue
        if file_hash(source) != sha256:
            source.unlink(missing_ok=True)
            raise RefusalError("hash", f"{name} is damaged on the board; deploy again to replace it")
        place.parent.mkdir(parents=True, exist_ok=True)
        part_of(place).unlink(missing_ok=True)
        link(source, part_of(place))
        part_of(place).replace(place)


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
    for left in target.parent.glob("*.part"):  # nobody else works here: these are of an agent that was killed
        take_away(left)
    new = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield new
        os.sync()
        new.rename(target)
        on_disk(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def take_away(path: Path) -> None:
    """A folder and all in it, or a file; of a link only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_whole(path: Path, text: str) -> None:
    """A small file, onto the disk, in one rename."""
    with part_of(path).open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part_of(path).replace(path)


def on_disk(folder: Path) -> None:
    """Wait until the names in a folder would survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
