"""Numbers as people read them: never with an exponent."""

from __future__ import annotations

import math

import numpy as np


def digits(value: float, figures: int = 3) -> str:
    """So many significant digits: 0.0124, 1.04, 15.2, 0.32."""
    return np.format_float_positional(value, precision=figures, fractional=False, trim="-")


def percent(bound: float) -> str:
    """A bound from above, 0 to 1, in percent with two figures, rounded up."""
    unit = 10.0 ** (math.floor(math.log10(max(bound, 1e-12))) - 1)
    return f"{digits(100 * unit * math.ceil(bound / unit), 2)}%" if bound < 1 else "100%"


def duration(ns: float) -> str:
    """Nanoseconds with two or three figures, in the unit that suits them."""
    unit, name = next(((unit, name) for unit, name in ((1e9, "s"), (1e6, "ms")) if abs(ns) >= unit), (1e3, "µs"))
    return f"{ns / unit:.0f} {name}" if abs(ns) >= 100 * unit else f"{digits(ns / unit, 2)} {name}"
