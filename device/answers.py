"""What a board answers, checked field by field before it is used: a board may be broken or hostile.

A check gives back a value made fit for use, or raises `TypeError` or `ValueError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .errors import AgentError
from .text import printable, shortened

LONGEST = 4096  # characters of a text: a path's limit
MOST = 1024  # of anything that a board has several of

Check = Callable[[Any], Any]


def checked(board: str, about: str, said: Any, fields: dict[str, Check]) -> dict[str, Any]:
    """The fields of an answer of the board, or `AgentError`; `about` says what is invalid."""
    try:
        return record(fields, {})(said)
    except (KeyError, TypeError, ValueError) as error:
        raise nonsense(board, about, error) from error


def nonsense(board: str, about: str, error: Exception) -> AgentError:
    """What to raise where an answer makes no sense."""
    return AgentError(f"it sent {about}: {shortened(repr(error), 300)}", board=board)


def text(value: Any) -> str:
    """A text that can be shown, not too long."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise TypeError(f"not a text but {type(value).__name__}")
    return printable(value)


def count(value: Any) -> int:
    """A whole number from 0."""
    if type(value) is not int or not 0 <= value < 2**64:
        raise TypeError(f"not a whole number from 0 but {type(value).__name__}")
    return value


def limit(value: Any) -> int:
    """A count, or -1 for none."""
    return -1 if value == -1 else count(value)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"not true or false but {type(value).__name__}")
    return value


def number(value: Any) -> float:
    """A number, as one with a point."""
    if type(value) not in (int, float) or not abs(value) < 2**64 or not math.isfinite(value):
        raise TypeError(f"not a number but {type(value).__name__}")
    return float(value)


def mapping(value: Any) -> dict[str, Any]:
    """A record of anything, which whoever uses it has to check."""
    if not isinstance(value, dict) or len(value) > MOST:
        raise TypeError(f"not a record but {type(value).__name__}")
    return value


def list_of(check: Check, least: int = 0, most: int = MOST) -> Check:
    """A list of what passes `check`."""

    def checked(value: Any) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise TypeError(f"not a list of {least} to {most} items but {type(value).__name__}")
        return [check(item) for item in value]

    return checked


def record(needed: dict[str, Check], optional: dict[str, Check]) -> Check:
    """A record of fields, each with its check; others are left out."""

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise TypeError(f"not a record but {type(value).__name__}")
        found = {key: _named(key, check, value[key]) for key, check in needed.items()}
        return found | {key: _named(key, check, value[key]) for key, check in optional.items() if key in value}

    return checked


def _named(key: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except TypeError as error:
        raise TypeError(f"{key}: {error}") from error
