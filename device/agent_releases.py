"""What the agent does with releases."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .agent_files import inside
from .agent_protocol import RefusalError


def proof(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Keep the proof of parity of a release, at `path`."""
    path = inside(root, request["path"])
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(request["parity"]))
    part.replace(path)
    return {}


def switch(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Point `current` at the release, by one rename."""
    if not inside(root, request["release"]).is_dir():
        raise RefusalError("release", f"{request['release']} is not on the board")
    new = root / f"current.{os.getpid()}.part"
    new.unlink(missing_ok=True)
    new.symlink_to(request["release"])
    new.replace(root / "current")
    return {"current": request["release"]}
