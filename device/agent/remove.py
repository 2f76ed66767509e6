"""How the agent takes everything away again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from .files import take_away
from .protocol import RefusalError
from .tune import tune

OURS = ("turn", "objects", "runtimes", "runners", "releases", "jobs")
MANY = 10  # names that are told
ALL = (*OURS, "current", "current.part", "history", "history.part", "tuned.json", "tuned.json.part")


def usage(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """How much there is of ours below `root`: files, and bytes of each once, however many links it has."""
    if not root.is_dir():
        return {"root": str(root), "count": 0, "bytes": 0}
    check_ours(root)
    files = [path for name in ALL for path in (root / name, *(root / name).rglob("*")) if path.is_file()]
    sizes = {(status.st_dev, status.st_ino): status.st_size for status in map(os.lstat, files)}
    count = len(files)
    return {"root": str(root.resolve()), "count": count, "bytes": sum(sizes.values())}


def remove(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Take away what we put below `root`, and `root` if nothing is left; links are taken away, not followed.

    The governors go back to what they were. What tells that the folder is ours goes last, so that what was cut off can
    be gone on with, and of that the turn: without it another host would get in meanwhile.
    """
    check_ours(root)
    if (root / "tuned.json").is_file():
        tune(root, {"restore": True})
    for path in (root / name for name in reversed(ALL) if (root / name).is_symlink() or (root / name).exists()):
        take_away(path)
    with contextlib.suppress(OSError):  # a link to another disk stays, as a person made it, and what is not ours
        root.rmdir()
    return {"left": sorted(path.name for path in root.iterdir())[:MANY] if root.is_dir() else []}


def check_ours(root: Path) -> None:
    """`RefusalError` unless `root` is empty or a folder that we have put things in."""
    names = {path.name for path in root.iterdir()}
    if root.resolve() in (Path("/"), Path.home().resolve()) or (names and not names & set(OURS)):
        raise RefusalError("root", f"{root} does not look like Tonearm's folder; check it and remove it by hand")
