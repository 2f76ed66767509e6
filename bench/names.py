"""Names of what a person brings."""

from __future__ import annotations

import re

from ..runtime.bundle import MAX_NAME


def plain_name(text: str) -> str:
    """A bundle's name made of a file's or a module's: hyphens for what is no letter or digit, and cut if long."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text)[:MAX_NAME].strip("._+-") or "own"
