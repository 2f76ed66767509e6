"""How the agent answers: a line of JSON and then files, or why not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

ANSWER = "TONEARM-1 "
PROGRESS = "TONEARM-1-PROGRESS "


class RefusalError(Exception):
    """What the board can't do, in words for a person; `kind` is for the program."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def answer(header: dict[str, Any], paths: list[Path]) -> None:
    """Write the answer's line and the files' bytes."""
    header = {**header, "files": [{"name": path.name, "size": path.stat().st_size} for path in paths]}
    out = sys.stdout.buffer
    out.write((ANSWER + json.dumps(header) + "\n").encode())
    for path in paths:
        with path.open("rb") as file:
            shutil.copyfileobj(file, out)
    out.flush()
