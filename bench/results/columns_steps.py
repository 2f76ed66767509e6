"""Columns of step times: percentiles, shares of real time, misses, lateness."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..output.numbers import percent
from ..stats.step_times import PERCENTILES, percentile_name, steps_needed
from ..terms import BUFFERS
from .column_spec import NONE, Column, median

Row = Mapping[str, Any]

NAMES = tuple(map(percentile_name, PERCENTILES))
STEPS, REAL_TIME, START = "Step times", "Real time", "Start and memory"
MS: Any = {"shown": "ms|M", "form": ".3f", "table": STEPS}
LATE: Any = {"of_all_steps": True, "table": REAL_TIME}


def _bounded(name: str, need: int) -> Callable[[Row], str]:
    """A percentile and its bounds in ms; the lower is known with fewer steps than the value."""

    def cell(row: Row) -> str:
        low, value, high = (row[column] / 1e6 for column in (f"{name}_low", name, f"{name}_high"))
        if math.isnan(value):
            return f"n < {need}" + ("" if math.isnan(low) else f" (≥ {low:.3f})")
        return f"{value:.3f} ({'?' if math.isnan(low) else f'{low:.3f}'} … {high:.3f})"

    return cell


def _percentile(name: str, percentile: float) -> tuple[Column, ...]:
    """A percentile of the step times and its bounds."""
    unit = {"unit": "ns", "of_all_steps": True}
    about, cell = f"{percentile:g}% of the steps take no longer", _bounded(name, steps_needed(percentile))
    shown: Any = {"heading": name, "shown": "ms|M", "form": ".3f", "table": STEPS, "cell": cell}
    low, high = f"{name} is above that, with 95% confidence", f"{name} is below that, with 95% confidence"
    return (
        Column(name, about, lambda run: run.summary[name], **unit, **shown),
        Column(f"{name}_low", low, lambda run: run.summary[f"{name}_low"], **unit),
        Column(f"{name}_high", high, lambda run: run.summary[f"{name}_high"], **unit),
    )


def _load(name: str, of: str) -> Column:
    """A figure of the step times as a share of real time."""
    shown: Any = {"heading": f"RTF {of}", "table": REAL_TIME}
    return Column(name, f"{of} / budget", lambda run: run.load(of), of_all_steps=True, **shown)


def _xruns(k: int) -> Column:
    about = f"blocks that a sound card of {k} buffers would have replaced by silence; paced"
    shown: Any = {"heading": f"xruns, {k} buffers", "form": ".0f", "table": REAL_TIME}
    return Column(f"xruns_{k}", about, lambda run: run.xruns(k), of_all_steps=True, **shown)


def _late(name: str, percentile: float) -> Column:
    about = "start after the step could have started; paced"
    shown: Any = {"heading": f"late {name}", "shown": "µs", "form": ".0f", "table": REAL_TIME}
    return Column(f"late_{name}", about, lambda run: run.late(percentile), "ns", of_all_steps=True, **shown)


def _start(name: str, about: str, heading: str, form: str) -> Column:
    shown: Any = {"heading": heading, "shown": "ms|M", "form": form, "table": START}
    return Column(name, about, lambda run: run.seconds(name), "ns", median, **shown)


STEP_TIMES = (
    Column("budget", "length of a block", lambda run: run.budget, "ns", heading="block", shown="ms", table=REAL_TIME),
    Column(
        "first",
        "the very first step of the process",
        lambda run: float(run.samples["first_ns"][0]),
        "ns",
        median,
        heading="first step",
        shown="ms|M",
        form=".3f",
        table=START,
    ),
    _start("session", "making the engine's session", "session", ".1f"),
    _start("import_numpy", "", "import numpy", ".0f"),
    _start("import_onnxruntime", "", "import ONNX Runtime", ".0f"),
    *(column for p, name in zip(PERCENTILES, NAMES, strict=True) for column in _percentile(name, p)),
    Column("max", "longest step", lambda run: run.summary["max"], "ns", of_all_steps=True, heading="max", **MS),
    Column("mean", "", lambda run: run.summary["mean"], "ns", of_all_steps=True, heading="mean", **MS),
    Column(
        "std",
        "standard deviation (n - 1)",
        lambda run: run.summary["std"],
        "ns",
        of_all_steps=True,
        heading="std",
        **MS,
    ),
    _load("rtf", "p50"),
    _load("rtf_mean", "mean"),
    _load("rtf_std", "std"),
    *(_load(f"rtf_{name}", name) for name in NAMES[1:]),
    Column(
        "mips",
        "million instructions a second of audio, from p50; virtual board only",
        lambda run: 1e3 * run.summary["p50"] / run.budget if run.is_counted else math.nan,
        heading="MIPS",
        form=".1f",
        **LATE,
    ),
    Column(
        "misses",
        "steps too late: burst: longer than the budget; paced: not ended at the next tick",
        lambda run: run.timed("misses"),
        heading="misses",
        form=".0f",
        **LATE,
    ),
    Column("miss_rate", "misses / n", lambda run: run.timed("miss_rate"), heading="miss rate", form=".3%", **LATE),
    Column(
        "miss_rate_high",
        "upper bound of the rate, 95% confidence; about 3 / n without a miss",
        lambda run: run.timed("miss_rate_high"),
        heading="miss rate below",
        cell=lambda row: NONE if math.isnan(row["miss_rate_high"]) else percent(row["miss_rate_high"]),
        **LATE,
    ),
    *map(_xruns, BUFFERS),
    _late("p50", 50),
    _late("p99", 99),
    _late("max", 100),
)
