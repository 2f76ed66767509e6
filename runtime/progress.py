"""Progress of long work, as all folders report it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done or the stage's number from 1, and of how much (0: unknown)."""


class Waiting(str):
    """Nothing is being done but waiting, for a `reason` that stays the same: it is said also where no bar is drawn."""

    reason: str

    def __new__(cls, reason: str, more: str = "") -> Waiting:
        """`more` is what changes meanwhile."""
        waiting = super().__new__(cls, f"{reason}{more}")
        waiting.reason = reason
        return waiting


class Remark(str):
    """Nothing that is being done, but something that the person must know: it is said, and stays."""


def unwatched(detail: str, done: int, total: int) -> None:
    """Progress that is not shown."""
