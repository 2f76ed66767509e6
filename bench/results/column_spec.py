"""What is said of a column, once: its value in a run, what repeats make of it, and how a report shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..output.numbers import digits

if TYPE_CHECKING:
    from .measured import Measured

# How much of what is recorded (ns, kB, bytes, instructions) makes one of what a report shows.
SCALES = {"ms": 1e6, "ms|M": 1e6, "µs": 1e3, "M": 1e6, "MiB": 1024, "KiB": 1024}
NONE = "-"

Values = Sequence[float] | np.ndarray


def newest(values: Sequence[Any]) -> Any:
    """The last."""
    return values[-1]


def total(values: Sequence[float]) -> float:
    """NaN where one is not known."""
    return float(np.sum(values))


def greatest(values: Values) -> float:
    """Of those that are known."""
    return max(_known(values), default=math.nan)


def least(values: Values) -> float:
    """Of those that are known."""
    return min(_known(values), default=math.nan)


def median(values: Values) -> float:
    """Of those that are known."""
    known = _known(values)
    return float(np.median(known)) if known else math.nan


def bits(values: Values) -> float:
    """All bits that are set in any of these; NaN where nothing is known."""
    known = np.asarray(_known(values), np.float64).astype(np.int64)
    return float(np.bitwise_or.reduce(known)) if known.size else math.nan


def _known(values: Values) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]


@dataclass(frozen=True)
class Column:
    """A column of `Results.cases` and `Results.pooled()`.

    Attributes:
        name: in the tables.
        text: what it is.
        of: its value in a run, or, where `of_all_steps`, in the steps of several; None: only pooling can tell it.
        unit: of its values, if they have one.
        pool: makes one value of those of repeats, the newest last; None: it is not in `pooled()`.
        of_all_steps: whether it is computed from the steps of all repeats together, instead of by `pool`.
        heading: what reports call it, without the unit; empty: no report shows it.
        shown: the unit in a report, `ms`, `MiB` ...; `ms|M` of what a clock measures: milliseconds, or million
            instructions.
        form: how a report formats it; by default with three significant digits.
        table: the title of the table on a report's page that has it; empty: none has it.
        cell: makes its cell there of a case's row, where that is more than its value.
    """

    name: str
    text: str
    of: Callable[[Measured], Any] | None
    unit: str = ""
    pool: Callable[[Sequence[Any]], Any] | None = newest
    of_all_steps: bool = False
    heading: str = ""
    shown: str = ""
    form: str = ""
    table: str = ""
    cell: Callable[[Mapping[str, Any]], str] | None = None

    @property
    def about(self) -> str:
        """Its unit and what it is."""
        return "; ".join(filter(None, (self.unit, self.text)))

    def titled(self, counted: bool) -> str:
        """Its heading with the unit; `counted`: on a clock that counts instructions."""
        time, _, count = self.shown.partition("|")
        return f"{self.heading} {(counted and count) or time}".strip()

    def figure(self, value: Any) -> str:
        """A value as a report shows it, or a dash where it is not known."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return NONE
        if not self.form and not isinstance(value, float):
            return str(value)
        value = value / SCALES.get(self.shown, 1)
        return f"{value:{self.form}}" if self.form else digits(value)
