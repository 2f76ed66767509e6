"""Results as tidy tables: cases, steps, telemetry, and cases with their repeats pooled; Parquet and CSV of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from ...runtime.files import whole
from ...runtime.measure import COUNTERS
from ...runtime.telemetry import COLUMNS as TELEMETRY
from ...runtime.telemetry import PRESSURES
from ..errors import ResultsError
from ..output.spreadsheets import write_csv
from .columns import STEP_COLUMNS, TELEMETRY_COLUMNS, case_row
from .measured import lateness_of, share, step_costs
from .plausible import known_sensors
from .pooling import Row, Run, groups, pool
from .samples import Arrays, read_samples

ORDER = ["board", "engine", "model", "precision", "mode", "threads", "block"]
TABLES = ("cases", "steps", "telemetry")
# What a step is counted in; what a case lacks makes its column float64, with NaN. All else is int64: a step times
# its period in nanoseconds is soon beyond 2**31.
STEP_TYPES = {**dict.fromkeys(COUNTERS, np.int32)}


class Results:
    """What was measured, as tables made when first asked for; `results.columns` says what their columns are."""

    def __init__(self, runs: Sequence[Run]) -> None:
        """Of these runs, older before newer."""
        self._runs = {run.entry["id"]: run for run in runs}

    def entry(self, case: str) -> dict[str, Any]:
        """The line of a case as it is on disk: facts, record, profile where one was taken."""
        return self._runs[case].entry

    def samples(self, case: str) -> Arrays:
        """A case's arrays as `runtime.measure` and `runtime.case` give them; `ResultsError` if they are damaged."""
        path = self._runs[case].samples
        return read_samples(path, str(path))

    @cached_property
    def cases(self) -> pandas.DataFrame:
        """One row per measured process: `CASE_COLUMNS`; by board, engine, model, precision, mode, threads, block.

        Raises:
            ResultsError: a case is none, or its samples are damaged or missing.
        """
        counted = {case for group in self._groups for case in group}
        rows = [row | {"superseded": case not in counted} for case, row in self._rows.items()]
        return _sorted(rows, [*ORDER, "repeat"])

    def _row(self, case: str) -> Row:
        try:
            return case_row(self.entry(case), self.samples(case))
        except ResultsError as error:
            folder = self._runs[case].samples.parent.parent
            raise ResultsError(f"{folder}: {error}; tonearm results repair {folder} keeps the others") from error

    @cached_property
    def steps(self) -> pandas.DataFrame:
        """One row per timed step: `STEP_COLUMNS`. Whole numbers, but float64 with NaN where a case has none."""
        cases, counts = list(self.cases["case"]), self.cases["n"].to_numpy()
        cuts = [slice(end - count, end) for end, count in zip(counts.cumsum(), counts, strict=True)]
        names = list(STEP_COLUMNS)[1:]
        columns: Arrays = {name: np.empty(counts.sum(), STEP_TYPES.get(name, np.int64)) for name in names}
        lacking = _each(lambda one: _fill(columns, one[1], self._of_steps(one[0])), zip(cases, cuts, strict=True))
        for cut, unknown in zip(cuts, lacking, strict=True):
            for name in unknown:
                columns[name] = columns[name].astype(np.float64, copy=False)
                columns[name][cut] = math.nan
        return pandas.DataFrame({"case": _repeated(cases, counts), **columns}, copy=False)

    def _of_steps(self, case: str) -> dict[str, np.ndarray | None]:
        samples = self.samples(case)
        late = lateness_of(self.entry(case), samples)
        counted = samples.get("instructions", np.empty(0))
        return {
            "step": np.arange(samples["step_ns"].size),
            "step_ns": samples["step_ns"],
            "late_ns": np.zeros(1, np.int64) if late is None else late,
            "instructions": counted if counted.size else None,
            **{name: samples.get(name) for name in ("start_ns", *COUNTERS)},
        }

    @cached_property
    def telemetry(self) -> pandas.DataFrame:
        """One row per look at the board: `TELEMETRY_COLUMNS`, float64."""
        cases = list(self.cases["case"])
        looks = _each(self._looks, cases)
        tables = [_looked(dict(zip(TELEMETRY, part.T, strict=True))) for part in looks]
        columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        return pandas.DataFrame({"case": _repeated(cases, list(map(len, looks))), **columns})

    def _looks(self, case: str) -> np.ndarray:
        return known_sensors(self.samples(case)).get("telemetry", np.empty((0, len(TELEMETRY))))

    @cached_property
    def _rows(self) -> dict[str, Row]:
        return dict(zip(self._runs, _each(self._row, self._runs), strict=True))

    @cached_property
    def _groups(self) -> list[list[str]]:
        """The cases of each row of `pooled()`, the newest last."""
        return [[run.entry["id"] for run in group] for group in groups(list(self._runs.values()), self._rows)]

    @cached_property
    def _pooled(self) -> pandas.DataFrame:
        return _sorted(_each(self._pool, self._groups), ORDER)

    def _pool(self, group: list[str]) -> Row:
        samples = [self.samples(case) for case in group] if len(group) > 1 else []
        return pool([self.entry(case) for case in group], [self._rows[case] for case in group], samples)

    def pooled(self) -> pandas.DataFrame:
        """One row per case, the steps of its repeats together: `POOLED_COLUMNS`.

        What was measured with another bundle, runtime, runner or request than the newest of a case is left out, and
        `superseded` in `cases`. `case` is the newest's identity. Counts are totals, extremes (`peak_kb`, `celsius_max`,
        ...) those of all runs; what is measured once a run (`first`, memory, ...) is the median over runs; all else is
        the newest's.
        """
        return self._pooled.copy()

    def repeats(self, case: str) -> list[str]:
        """The identities of the runs that are pooled in that case's row, in order of `repeat`; itself if superseded."""
        group = next((group for group in self._groups if case in group), [case])
        return sorted(group, key=lambda one: self._rows[one]["repeat"])

    def of_repeats(self, case: str, column: str) -> list[np.ndarray]:
        """A column of `cases` of each of `repeats(case)`, one value; of `p50` all step times instead, ns."""
        runs = self.repeats(case)
        if column == "p50":
            return [step_costs(self.entry(run), self.samples(run)) for run in runs]
        return [np.array([self._rows[run][column]], np.float64) for run in runs]

    def is_stopped(self, case: str) -> bool:
        """Whether a run of that case was to end with a miss, and did, before all its steps were done."""
        runs = [self._rows[run] for run in self.repeats(case) if self._stops(run)]
        return any(run["n"] < run["steps_asked"] for run in runs)

    def _stops(self, run: str) -> bool:
        return bool(self.entry(run)["record"]["request"].get("stop_after_misses"))

    def to_parquet(self, folder: Path | str, tables: Sequence[str] = TABLES) -> list[Path]:
        """Write `cases.parquet`, `steps.parquet` and `telemetry.parquet`, or those asked for."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        files = [Path(folder) / f"{name}.parquet" for name in tables]
        for name, file in zip(tables, files, strict=True):
            with whole(file) as part:
                getattr(self, name).to_parquet(part, index=False)
        return files

    def to_csv(self, file: Path | str, table: str = "cases") -> None:
        """Write one of the tables; texts that a spreadsheet would run as formulas begin with an apostrophe."""
        target = Path(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as part:
            write_csv(getattr(self, table), part)


def _each(make: Callable[[Any], Any], of: Iterable[Any]) -> list[Any]:
    """On all processors: numpy lets threads work side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(make, of))


def _sorted(rows: list[Row], by: list[str]) -> pandas.DataFrame:
    return pandas.DataFrame(rows).sort_values(by, ignore_index=True, kind="stable")


def _fill(columns: Arrays, where: slice, values: dict[str, np.ndarray | None]) -> list[str]:
    """Put the values into the columns; the names of those that there are none for."""
    for name, known in values.items():
        if known is not None:
            columns[name][where] = known
    return [name for name, known in values.items() if known is None]


def _repeated(cases: list[str], counts: Sequence[int] | np.ndarray) -> pandas.Categorical:
    codes = np.repeat(np.arange(len(cases), dtype=np.min_scalar_type(-len(cases))), counts)
    return pandas.Categorical.from_codes(codes, categories=pandas.Index(cases))  # type: ignore[arg-type]


def _looked(seen: Arrays) -> Arrays:
    """Of one case: `TELEMETRY_COLUMNS` but for the case itself."""
    columns = {
        "seconds": seen["t_ns"] / 1e9,
        "mhz": seen["frequency_khz"] / 1e3,
        "celsius": seen["temperature_mc"] / 1e3,
        **{name: seen[name] for name in ("core", "throttled")},
        **{f"pressure_{name}": share(seen["t_ns"], seen[f"pressure_{name}_us"]) for name in PRESSURES},
        **{name: _since(seen[name]) for name in ("involuntary", "minor_faults", "major_faults")},
    }
    return {name: columns[name] for name in list(TELEMETRY_COLUMNS)[1:]}


def _since(values: np.ndarray) -> np.ndarray:
    """How much more it is than in the sample before; NaN in the first."""
    return np.diff(values, prepend=math.nan)
