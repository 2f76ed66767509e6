"""The columns of results, each with its unit.

Times are nanoseconds. On a virtual board they are counts of instructions, which neither meet nor miss a deadline: what
is a share of real time is NaN there. NaN is also what was not recorded, and a percentile that the steps are too few
for; of a text, what is not known is empty.

A new column is one `Column` here, in `columns_steps` or in `columns_board`: what repeats make of it and where a report
shows it follow from that. `measured.Measured` is what its value is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...runtime.telemetry import PRESSURES
from ..terms import BURST, CLOCKS, MODES, ONNXRUNTIME
from .column_spec import NONE, Column
from .columns_board import BOARD, RUN, SIZE
from .columns_steps import REAL_TIME, START, STEP_TIMES, STEPS
from .fields import flag, number, one_of, text, whole
from .measured import Measured, refusing
from .plausible import check_plausible, known_sensors
from .samples import Arrays

PAGE_TABLES = (STEPS, REAL_TIME, RUN, START, SIZE)  # of a report's page, in this order


def _of_case(name: str, about: str) -> Column:
    return Column(name, about, lambda run: text(run.case[name]))


def _each(values: Sequence[float]) -> str:
    """Of several runs the figure of each, in ms."""
    return ", ".join(f"{value / 1e6:.3f}" for value in values) if len(values) > 1 else NONE


IDENTITY = (
    Column("case", "identity: board, its software, bundle, request, repeat", lambda run: text(run.case["id"])),
    Column("board", "its name", lambda run: text(run.case["board"])),
    Column(
        "clock",
        "what times are: time, or instructions (virtual board)",
        lambda run: one_of(run.case["clock"], CLOCKS),
    ),
    Column("engine", "onnxruntime or torch", lambda run: run.engine, heading="engine"),
    Column("model", "name", lambda run: text(run.record["model"]), heading="model"),
    Column("weights", "where they come from", lambda run: text(run.case["weights"]), heading="weights"),
    Column("precision", "of the weights", lambda run: text(run.case["precision"]), heading="precision"),
    Column("block", "samples a step", lambda run: run.block, heading="block", shown="samples"),
    Column("threads", "of the engine", lambda run: whole(run.request["threads"]), heading="threads"),
    Column(
        "mode",
        "burst: steps back to back; paced: on the audio clock",
        lambda run: one_of(run.request.get("mode", BURST), MODES),
        heading="mode",
    ),
    Column(
        "protocol",
        "published one that it was measured under: ddx7, paper; else empty",
        lambda run: text(run.case.get("protocol", "")),
    ),
    Column("repeat", "from 0", lambda run: whole(run.case.get("repeat", 0)), pool=None),
    Column(
        "superseded",
        "whether a newer measurement of the case, with another bundle, software or request, counts instead",
        lambda run: False,
        pool=None,
    ),
    Column("steps_asked", "timed steps that were asked for", lambda run: whole(run.request["steps"])),
    Column(
        "n",
        "timed steps",
        lambda run: sum(one["step_ns"].size for one in run.runs),
        of_all_steps=True,
        heading="steps",
        table=STEPS,
    ),
    Column("measured_at", "seconds since 1970, UTC", lambda run: number(run.case.get("measured_at"))),
)
ENVIRONMENT = (
    Column(
        "affinity",
        "cores that the process may run on",
        lambda run: ",".join(str(whole(core)) for core in run.granted.get("affinity", [])),
    ),
    Column("scheduling", "class and priority", lambda run: text(run.granted.get("scheduling", ""))),
    Column(
        "memory_lock", "whether memory was locked; None: not known", lambda run: flag(run.granted.get("memory_lock"))
    ),
    Column(
        "governor", "of the frequency", lambda run: text(run.granted.get("governor", run.facts.get("governor", "")))
    ),
    Column("denormals_flushed", "whether they are; None: not known", lambda run: flag(run.record["denormals_flushed"])),
    _of_case("release", "the bundle on the board, with its hash"),
    _of_case("runtime", "the board's packages, by their hash"),
    _of_case("runner", "the board's program, by its hash"),
    Column("python", "version", lambda run: text(run.record["python"])),
    Column("numpy", "version", lambda run: text(run.record.get("numpy", ""))),
    Column(
        "onnxruntime",
        "version",
        lambda run: text(run.record["onnxruntime"] if run.engine == ONNXRUNTIME else run.record.get("onnxruntime", "")),
    ),
    Column("kernel", "version", lambda run: text(run.facts["kernel"])),
    Column("cpu", "part numbers", lambda run: text(run.facts["cpu"])),
    Column("hostname", "the board's own name", lambda run: text(run.facts.get("hostname", ""))),
)
POOLED = (  # only pooling can tell these
    Column(
        "repeats",
        "runs that were pooled",
        None,
        heading="runs",
        table=STEPS,
        cell=lambda row: str(row["repeats"]) if row["repeats"] > 1 else NONE,
    ),
    Column(
        "p50_repeats",
        "p50 of each, in order",
        None,
        "ns",
        heading="p50 of each run",
        shown="ms|M",
        table=STEPS,
        cell=lambda row: _each(row["p50_repeats"]),
    ),
)
COLUMNS = (*IDENTITY, *STEP_TIMES, *BOARD, *ENVIRONMENT, *POOLED)
COLUMN = {column.name: column for column in COLUMNS}
CASE_COLUMNS = {column.name: column.about for column in COLUMNS if column.of}
POOLED_COLUMNS = {column.name: column.about for column in COLUMNS if column.pool}
STEP_COLUMNS = {
    "case": "as in cases",
    "step": "from 0",
    "start_ns": "ns since the first tick, or the first step",
    "step_ns": "ns; its time",
    "late_ns": "ns; start after it could have started: after its tick or the step before; 0 in burst",
    "voluntary": "context switches: slept or waited",
    "involuntary": "context switches: interrupted",
    "minor_faults": "page faults without reading a disk",
    "major_faults": "page faults reading a disk",
    "instructions": "user instructions",
}
TELEMETRY_COLUMNS = {
    "case": "as in cases",
    "seconds": "s since the first tick, or the first step; below 0: before",
    "core": "that the measuring thread was last on",
    "mhz": "MHz; of that core",
    "celsius": "°C; hottest sensor",
    "throttled": "the Raspberry Pi's bits",
    **{
        f"pressure_{name}": f"0 to 1; share of the time since the sample before, waiting for {name}"
        for name in PRESSURES
    },
    "involuntary": "context switches since the sample before: interrupted",
    "minor_faults": "page faults since the sample before",
    "major_faults": "page faults since the sample before, reading a disk",
}


def case_row(case: dict[str, Any], samples: Arrays) -> dict[str, Any]:
    """A case's row, by `CASE_COLUMNS`, as if there were no other (`superseded` is False).

    Raises:
        ResultsError: the case is none, or its samples are not those of it.
    """
    with refusing(case):
        check_plausible(case, samples)
        measured = Measured(case, [known_sensors(samples)])
        return {column.name: column.of(measured) for column in COLUMNS if column.of}
