"""What a report is made of: the results of one board, with the names and colours of its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..output.plots import COLOURS
from ..results.pooling import boards
from ..terms import TIME
from .slow_steps import Slow, slow_of

if TYPE_CHECKING:
    from ..results.frames import Results

Row = Mapping[str, Any]

# What may tell the cases of a board apart, and how a name says it.
TELLING = {"weights": ", {}", "precision": ", {}", "engine": ", {}", "threads": ", {} thread(s)"}


@dataclass(frozen=True)
class Board:
    """The results of one board: another kernel, Python or ONNX Runtime is another board.

    `cases` are rows of `Results.pooled()` with `series` (what is drawn as one line: model, and what else differs), its
    `colour`, and `name` (series, block and mode).
    """

    name: str
    clock: str
    cases: list[Row]
    results: Results

    @property
    def title(self) -> str:
        """Which board, in a line."""
        first = self.cases[0]
        return f"{self.name}: {first['cpu']}, Linux {first['kernel']}" + (
            f", ONNX Runtime {first['onnxruntime']}" if first["onnxruntime"] else ""
        )

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """The recorded line of each run of the cases."""
        return [self.results.entry(run) for row in self.cases for run in self.results.repeats(row["case"])]

    @cached_property
    def profiles(self) -> list[tuple[str, dict[str, Any]]]:
        """The name of each case that was profiled, in whichever of its runs, and its newest profile."""
        known = [(row["name"], self._profile(row["case"])) for row in self.cases]
        return [(name, profile) for name, profile in known if profile]

    def _profile(self, case: str) -> dict[str, Any] | None:
        kept = [self.results.entry(run).get("profile") for run in self.results.repeats(case)]
        return next((profile for profile in reversed(kept) if profile), None)

    @cached_property
    def slow(self) -> list[Slow]:
        """Why steps of each case were slow; nothing where instructions are counted, which nothing delays."""
        return [slow_of(self.results, row) for row in self.cases] if self.clock == TIME else []


def sections(results: Results) -> list[Board]:
    """The boards, in the order of their names; what was measured under a published protocol has its own tables."""
    cases = results.pooled()
    found = boards(cases.loc[cases["protocol"] == ""])
    parts = [(name, clock, part.to_dict("records")) for name, clock, part in found]
    return [Board(name, clock, _with_series(rows), results) for name, clock, rows in parts]


def _with_series(cases: list[Any]) -> list[Row]:
    telling = [(column, text) for column, text in TELLING.items() if differs(cases, column)]
    series = [row["model"] + "".join(text.format(row[column]) for column, text in telling) for row in cases]
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(sorted(set(series)))}
    mode = ", {mode}" if differs(cases, "mode") else ""
    return [
        {**row, "series": name, "colour": colours[name], "name": name + f", block {{block}}{mode}".format(**row)}
        for row, name in zip(cases, series, strict=True)
    ]


def differs(cases: Sequence[Row], column: str) -> bool:
    """Whether a column tells cases apart; of weights: those of one model."""
    if column == "weights":
        return len({(row["model"], row["weights"]) for row in cases}) > len({row["model"] for row in cases})
    return len({row[column] for row in cases}) > 1


def lines(cases: Sequence[Row]) -> dict[str, list[Row]]:
    """The cases of each series, by block."""
    ordered = sorted(cases, key=lambda row: row["block"])
    names = sorted({row["series"] for row in cases})
    return {name: [row for row in ordered if row["series"] == name] for name in names}


def legend(cases: Sequence[Row]) -> dict[str, str]:
    """Series -> colour."""
    return {row["series"]: row["colour"] for row in sorted(cases, key=lambda row: row["series"])}
