"""What a board recorded is believed only where it makes sense: each of these gives the value, or raises."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any


def text(value: Any) -> str:
    """A text, or `TypeError`."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def one_of(value: Any, known: Collection[str]) -> str:
    """One of these texts, or an error."""
    if text(value) not in known:
        raise ValueError(f"{value!r:.40} is none of {', '.join(known)}")
    return value


def flag(value: Any) -> bool | None:
    """True, false or None (not known), or `TypeError`."""
    if not isinstance(value, bool | None):
        raise TypeError(f"{value!r:.40} is neither true nor false")
    return value


def whole(value: Any) -> int:
    """A whole number from 0, or `ValueError`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def number(value: Any) -> float:
    """A number from 0, NaN for None, or `ValueError`."""
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r:.40} is no measure")
    return float(value)
