"""Numbers as people read them: never with an exponent."""

from __future__ import annotations

import math

import numpy as np


def digits(value: float, figures: int = 3) -> str:
    """So many significant digits: 0.0124, 1.04, 15.2, 0.32."""
    return np.format_float_positional(value, precision=figures, fractional=False, trim="-")


def number(value: float) -> str:
    """Three significant digits, but from 1000 on every whole one: 0.0124, 15.2, 4314408."""
    return f"{value:.0f}" if value >= 1000 else digits(value)


def thousands(value: float) -> str:
    """Three digits of a count of thousands or millions: 4.31M, 23.5k."""
    return f"{digits(value / 1e6)}M" if value >= 1e6 else f"{digits(value / 1e3)}k"


def mean_std(mean: float, std: float) -> str:
    """A mean and its standard deviation, where that is known: 0.231 (0.0124)."""
    return f"{digits(mean)} ({digits(std)})" if math.isfinite(std) else digits(mean)


def percent(bound: float) -> str:
    """A bound from above, 0 to 1, in percent with two figures, rounded up."""
    unit = 10.0 ** (math.floor(math.log10(max(bound, 1e-12))) - 1)
    return f"{digits(100 * unit * math.ceil(bound / unit), 2)}%" if bound < 1 else "100%"


def duration(ns: float) -> str:
    """Nanoseconds with two or three figures, in the unit that suits them: 140 µs, 9.7 s."""
    unit, name = next(((unit, name) for unit, name in ((1e9, "s"), (1e6, "ms")) if abs(ns) >= unit), (1e3, "µs"))
    return f"{ns / unit:.0f} {name}" if abs(ns) >= 100 * unit else f"{digits(ns / unit, 2)} {name}"


def about(seconds: float) -> str:
    """A length of time, roughly: 40 seconds, 4 minutes, 1 h 40 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return count(max(1, round(seconds)), "second")
    return f"{minutes} minutes" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def count(value: int, what: str) -> str:
    """How many of what: 1 step, 2 steps."""
    return f"{value} {what}" + ("" if value == 1 else "s")
