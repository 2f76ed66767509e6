"""What the agent does with releases: proven ones, the current one, the one before it, and old ones."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from .files import file_hash, inside, on_disk, part_of, take_away, write_whole
from .protocol import RefusalError

MANIFEST = "manifest.json"
HISTORY = "history"  # one release a line, in the order in which they became current
LONGEST_HISTORY = 100
SHORTEST = 4  # characters of a digest
TOOLS = ("runtimes", "runners")
TOOL = re.compile(r"[0-9a-f]{16}|system-.*(?<!\.part)")
OBJECT = re.compile(r"[0-9a-f]{64}")
TOOLS_KEPT = 2  # of each kind: two hosts with two versions of Tonearm need not push theirs again and again


def proof(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Keep the proof of parity of a release, at `path`."""
    write_whole(inside(root, request["path"]), json.dumps(request["parity"]))
    return {}


def current_of(root: Path) -> str:
    """The current release, or nothing."""
    link = root / "current"
    return str(link.readlink()) if link.is_symlink() else ""


def switch(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Make the release current; the `keep` releases used last stay, and those that `current` is or was."""
    release = request["release"]
    if not inside(root, release).is_dir():
        raise RefusalError("release", f"{release} is not on the board; deploy it again")
    past = history(root)
    if current_of(root) != release:
        past.append(release)
        point(root, release, past)
    return {"current": release, **prune(root, request)}


def point(root: Path, release: str, past: list[str]) -> None:
    """Keep the history and switch `current`, by one rename."""
    with contextlib.suppress(OSError):  # a full disk is no reason to be kept from the release that works
        write_whole(root / HISTORY, "\n".join(past[-LONGEST_HISTORY:]) + "\n")
    new = part_of(root / "current")
    new.unlink(missing_ok=True)
    new.symlink_to(release)
    new.replace(root / "current")
    on_disk(root)


def history(root: Path) -> list[str]:
    """What became current, up to what is; a switch that was cut off after writing it down is not in it."""
    file = root / HISTORY
    past = file.read_text().split() if file.is_file() else []
    current = current_of(root)
    if current not in past:  # a full disk kept it from being written down
        return [*past, current] if current else []
    return up_to(current, past)


def up_to(release: str, past: list[str]) -> list[str]:
    """The past until a release became current for the last time."""
    return past[: len(past) - past[::-1].index(release)]


def earlier(root: Path, past: list[str]) -> list[str]:
    """What was current before what is, as far as it is still there."""
    current = current_of(root)
    return [release for release in past if release != current and inside(root, release).is_dir()]


def rollback(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Go back to the release that was current before, or to the one that `to` names; only to one that is whole."""
    past = history(root)
    release = named(root, request["to"]) if request["to"] else before(root, past)
    if not is_whole(root, release):
        raise RefusalError(
            "release", f"{release} is damaged: deploy it again; {current_of(root) or 'none'} stays current"
        )
    past = up_to(release, past) if release in past else [*past, release]
    point(root, release, past)
    return {"current": release}


def before(root: Path, past: list[str]) -> str:
    """The last one in `past` that is not the current one and still there."""
    there = earlier(root, past)
    if not there:
        others = ", ".join(path.partition("/")[2] for path in all_releases(root) if path != current_of(root))
        hint = f"; name one of the others: {others}" if others else ""
        raise RefusalError("release", f"there is no earlier release to go back to{hint}")
    return there[-1]


def named(root: Path, words: str) -> str:
    """The one release whose path or name these words are, or whose digest begins with them."""
    paths = all_releases(root)
    found = [path for path in paths if words in (path, path.partition("/")[2], path.split("/")[1])]
    found = found or [path for path in paths if len(words) >= SHORTEST and path.split("/")[2].startswith(words)]
    if len(found) != 1:
        there = ", ".join(path.partition("/")[2] for path in (found or paths)) or "none"
        several = f"{len(found)} releases" if found else "no release"
        raise RefusalError("release", f"{words!r} matches {several}; releases to choose from: {there}")
    return found[0]


def all_releases(root: Path) -> list[str]:
    """Their paths, the one used last first."""
    folders = [path for path in (root / "releases").glob("*/*") if path.is_dir() and path.suffix != ".part"]
    return [str(path.relative_to(root)) for path in sorted(folders, key=used, reverse=True)]


def used(path: Path) -> float:
    """When it was used last, by the board's clock, which may be wrong: only for an order."""
    return path.stat().st_mtime


def is_whole(root: Path, release: str) -> bool:
    """Whether a release is what its name says: it ends with the hash of a manifest that has all files' hashes."""
    folder = inside(root, release)
    if not file_hash(folder / MANIFEST).startswith(folder.name):
        return False
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"].items()
        return all(file_hash(inside(folder, name)) == file["sha256"] for name, file in files)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def releases(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What is there: current, before it, and each release's size and whether it has been proven."""
    there = earlier(root, history(root))
    return {
        "current": current_of(root),
        "previous": there[-1] if there else "",
        "releases": [
            {
                "path": path,
                "bytes": bytes_of(inside(root, path)),
                "proven": any(inside(root, path).parent.glob(f"{inside(root, path).name}.*.json")),
            }
            for path in all_releases(root)
        ],
    }


def bytes_of(folder: Path) -> int:
    """The sizes of all files below."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def prune(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Remove all but the `keep` releases used last, what nothing refers to any more, and what was never finished.

    What is in `needed`, releases, runtimes and runners, stays.
    """
    free = shutil.disk_usage(root).free
    remove_leftovers(root)
    state = releases(root, {})
    kept = {state["current"], state["previous"], *request["needed"], *all_releases(root)[: request["keep"]]}
    gone = [path for path in all_releases(root) if path not in kept]
    for path in gone:
        remove_release(inside(root, path))
    for kind in TOOLS:
        folders = [path for path in (root / kind).glob("*") if TOOL.fullmatch(path.name)]
        for folder in sorted(folders, key=used, reverse=True)[TOOLS_KEPT:]:
            if str(folder.relative_to(root)) not in request["needed"]:
                shutil.rmtree(folder, ignore_errors=True)
    for path in (root / "objects").glob("*"):
        if OBJECT.fullmatch(path.name) and path.stat().st_nlink == 1:  # no release links to it
            path.unlink()
    return {"pruned": gone, "freed": max(0, shutil.disk_usage(root).free - free)}


def remove_leftovers(root: Path) -> None:
    """What an agent that was killed has begun; nobody else works here now."""
    for pattern in ("objects/*.part", "releases/*/*.part", "runtimes/*.part", "runners/*.part"):
        for path in root.glob(pattern):
            take_away(path)


def remove_release(folder: Path) -> None:
    """A release and its proofs; first out of sight by one rename, so that half of one never looks like one."""
    for path in folder.parent.glob(f"{folder.name}.*.json"):
        path.unlink()
    aside = part_of(folder)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
