"""Names of what a person brings."""

from __future__ import annotations

import re


def plain_name(text: str) -> str:
    """A bundle's name made of a file's or a module's: what is no letter or digit becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("._+-") or "own"
