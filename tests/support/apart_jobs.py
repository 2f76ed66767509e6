"""What tests have done in a process of its own."""

from __future__ import annotations

import os

from tonearm.export.errors import ForeignError
from tonearm.runtime.progress import Progress


def doubled(number: int, progress: Progress) -> int:
    progress("half", 1, 2)
    return 2 * number


def refuses(progress: Progress) -> None:
    print("said aside")
    raise ForeignError("it is not clear")


def crashes(progress: Progress) -> None:
    os.abort()


def raises_more(progress: Progress) -> None:
    class OwnError(Exception):
        pass

    raise OwnError("local")
