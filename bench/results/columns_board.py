"""Columns of what the board did meanwhile: counters, sensors, an empty step, memory, sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...runtime.telemetry import PRESSURES
from ..terms import PARTS
from .column_spec import NONE, Column, bits, greatest, least, median, total
from .fields import number, whole

Row = Mapping[str, Any]

STEPS, RUN, START, SIZE = "Step times", "During the run", "Start and memory", "Size"
MIB: Any = {"shown": "MiB", "form": ".1f", "table": START}
KIB: Any = {"shown": "KiB", "form": ".0f", "table": SIZE}


def _from_to(first: str, second: str, form: str) -> Callable[[Row], str]:
    """Two columns' values, the same one once."""

    def cell(row: Row) -> str:
        texts = [NONE if math.isnan(row[name]) else f"{row[name]:{form}}" for name in (first, second)]
        return " … ".join(dict.fromkeys(texts))

    return cell


def _counter(name: str, about: str, heading: str) -> Column:
    """A count over the timed steps, of all repeats together."""
    shown: Any = {"heading": heading, "form": ".0f", "table": RUN}
    return Column(name, about, lambda run: run.counted(name), pool=total, **shown)


def _pressure(name: str) -> Column:
    about = f"share of the time in which a task waited for {name}"
    shown: Any = {"heading": f"waiting for {name}", "form": ".1%", "table": RUN}
    return Column(f"pressure_{name}", about, lambda run: run.pressure(name), "0 to 1", median, **shown)


def _private(stage: str, about: str, heading: str) -> Column:
    """Private memory after a stage of the process."""
    shown: Any = {"heading": heading, "shown": "MiB", "form": ".1f", "table": START}
    name = "private_kb" if stage == "run" else f"{stage}_kb"
    return Column(name, about, lambda run: run.private_kb(stage), "kB, private", median, **shown)


def _part(part: str) -> Column:
    shown: Any = {"heading": part, "form": ".0f", "table": SIZE}
    return Column(
        f"{part}_parameters", f"numbers in its {part}", lambda run: float(run.parameters.get(part, math.nan)), **shown
    )


BOARD = (
    Column(
        "instructions",
        "user instructions a step, p50; where the kernel counts them",
        lambda run: run.instructions,
        of_all_steps=True,
        heading="instructions a step",
        shown="M",
        form=".3f",
        table=RUN,
    ),
    _counter("voluntary", "context switches in the timed steps: slept or waited", "switches, waited"),
    _counter("involuntary", "context switches in the timed steps: interrupted", "switches, interrupted"),
    _counter("minor_faults", "page faults in the timed steps, without reading a disk", "page faults"),
    _counter("major_faults", "page faults in the timed steps, reading a disk", "page faults, from disk"),
    Column(
        "frequency_min_mhz",
        "of the core it ran on, during the timed steps",
        lambda run: least(run.looks["frequency_khz"]) / 1e3,
        "MHz",
        least,
    ),
    Column(
        "frequency_max_mhz",
        "",
        lambda run: greatest(run.looks["frequency_khz"]) / 1e3,
        "MHz",
        greatest,
        heading="frequency",
        shown="MHz",
        table=RUN,
        cell=_from_to("frequency_min_mhz", "frequency_max_mhz", ".0f"),
    ),
    Column(
        "celsius_start",
        "hottest sensor, before the session",
        lambda run: least(run.before["temperature_mc"]) / 1e3,
        "°C",
        median,
    ),
    Column(
        "celsius_max",
        "hottest sensor, during the timed steps",
        lambda run: greatest(run.looks["temperature_mc"]) / 1e3,
        "°C",
        greatest,
        heading="temperature",
        shown="°C",
        table=RUN,
        cell=_from_to("celsius_start", "celsius_max", ".1f"),
    ),
    Column(
        "throttled",
        "the Raspberry Pi's bits, all that were set",
        lambda run: bits(run.looks["throttled"]),
        pool=bits,
        heading="throttled",
        table=RUN,
        cell=lambda row: NONE if math.isnan(row["throttled"]) else f"{int(row['throttled']):#x}",
    ),
    *map(_pressure, PRESSURES),
    Column(
        "floor_p50",
        "an empty step, before or after, the larger",
        lambda run: max((float(np.median(one)) for one in run.floors), default=math.nan),
        "ns",
        median,
        heading="empty step p50",
        shown="µs",
        form=".3f",
        table=STEPS,
    ),
    Column(
        "floor_max",
        "the longest of them",
        lambda run: max((float(one.max()) for one in run.floors), default=math.nan),
        "ns",
        greatest,
        heading="empty step max",
        shown="µs",
        form=".1f",
        table=STEPS,
    ),
    _private("python", "after Python's start", "interpreter"),
    _private("numpy", "after importing numpy", "+ numpy"),
    _private("buffers", "after allocating what is measured into", "+ arrays"),
    _private("onnxruntime", "after importing ONNX Runtime", "+ ONNX Runtime"),
    _private("session", "after making the session", "+ session"),
    _private("run", "after the run", "+ run"),
    Column(
        "model_kb",
        "after the run less after importing the engine",
        lambda run: run.private_kb("run") - run.private_kb(run.engine),
        "kB, private",
        median,
        heading="model",
        **MIB,
    ),
    Column(
        "peak_kb",
        "most resident memory of the process",
        lambda run: number(run.record["memory"]["run"]["peak_kb"]),
        "kB",
        greatest,
        heading="peak",
        **MIB,
    ),
    Column(
        "file_bytes", "graph and weights", lambda run: whole(run.case["file_bytes"]), "bytes", heading="file", **KIB
    ),
    Column(
        "weight_bytes", "weights", lambda run: number(run.case.get("weight_bytes")), "bytes", heading="weights", **KIB
    ),
    Column(
        "parameters", "numbers in the model", lambda run: sum(run.parameters.values()), heading="parameters", table=SIZE
    ),
    *map(_part, PARTS),
)
