"""How the agent takes everything away again."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from .agent_protocol import RefusalError

OURS = ("objects", "runtimes", "runners", "releases", "jobs", "turn")


def usage(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """How much there is below `root`: files, and bytes of each once, however many links it has."""
    check_ours(root)
    sizes = {}
    count = 0
    for folder, _, names in os.walk(root):
        for name in names:
            status = Path(folder, name).lstat()
            sizes[status.st_dev, status.st_ino] = status.st_size
            count += 1
    return {"root": str(root), "count": count, "bytes": sum(sizes.values())}


def remove(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Take away everything below `root`, and `root` itself; links are taken away, not followed.

    What tells that the folder is ours goes last, so that what was cut off can be gone on with.
    """
    check_ours(root)
    for path in sorted(root.iterdir(), key=lambda path: path.name in OURS):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with contextlib.suppress(OSError):  # a link to another disk stays, as a person made it
        root.rmdir()
    return {}


def check_ours(root: Path) -> None:
    """`RefusalError` unless `root` is empty or a folder that we have put things in."""
    names = {path.name for path in root.iterdir()}
    if root.resolve() in (Path("/"), Path.home().resolve()) or (names and not names & set(OURS)):
        raise RefusalError("root", f"{root} does not look like a folder of Tonearm's; look at it and remove it by hand")
