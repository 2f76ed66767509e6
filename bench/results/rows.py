"""A case's row: how its columns follow from what the board recorded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...runtime.measure import COUNTERS
from ...runtime.telemetry import COLUMNS as TELEMETRY
from ...runtime.telemetry import PRESSURES
from .columns import (BUFFERS, BURST, CASE_COLUMNS, INSTRUCTIONS, NAMES, ONNXRUNTIME, PACED, PARTS, STAGES, TIME)
from ..errors import ResultsError
from .samples import Arrays
from ..stats.step_times import (lateness, missed, steps_needed, summarise, ticks, xruns)


@contextlib.contextmanager
def refusing(case: dict[str, Any]) -> Iterator[None]:
    """`ResultsError` where the block finds that the case lacks something, or has it in another form."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ResultsError(f"case {case.get('id')} is no result: {error!r}") from error


def case_row(case: dict[str, Any], samples: Arrays) -> dict[str, Any]:
    """A case's row, by `CASE_COLUMNS`, as if there were no other (`superseded` is False).

    Raises:
        ResultsError: the case is none, or its samples are not those of it.
    """
    with refusing(case):
        row = {
            **_who(case),
            "superseded": False,
            **_started(case["record"]["seconds"]),
            **cost(case, [samples]),
            **_counted(samples),
            **_seen(samples),
            **_floor(samples),
            **_memory(case["record"]["memory"], case.get("engine", ONNXRUNTIME)),
            **_size(case),
            **_where(case["record"], case),
        }
    return {name: row[name] for name in CASE_COLUMNS}


def _who(case: dict[str, Any]) -> dict[str, Any]:
    record, request = case["record"], case["record"]["request"]
    who = {
        "case": case["id"],
        "board": case["board"],
        "clock": case["clock"],
        "model": record["model"],
        "weights": case["weights"],
        "precision": case["precision"],
        "engine": case.get("engine", ONNXRUNTIME),
        "mode": request.get("mode", BURST),
        "protocol": case.get("protocol", ""),
    }
    if who["clock"] not in (TIME, INSTRUCTIONS) or who["mode"] not in (BURST, PACED):
        raise ValueError(f"clock {who['clock']!r}, mode {who['mode']!r}")
    return {
        **{key: _text(value) for key, value in who.items()},
        **{key: _whole(request[key]) for key in ("block", "threads")},
        "repeat": _whole(case.get("repeat", 0)),
        "steps_asked": _whole(request["steps"]),
        "measured_at": _number(case.get("measured_at")),
    }


def _started(seconds: dict[str, float]) -> dict[str, float]:
    return {key: _number(seconds.get(key)) * 1e9 for key in ("session", "import_numpy", "import_onnxruntime")}


def step_costs(case: dict[str, Any], run: Arrays) -> np.ndarray:
    """What each step cost: its time; on a virtual board the instructions of the process, where they were counted.

    Its clock counts the kernel's own, too, whose ticks fall into other steps each time.
    """
    counted = run.get("instructions", np.empty(0, np.int64))
    return counted if case["clock"] == INSTRUCTIONS and counted.size else run["step_ns"]


def cost(case: dict[str, Any], runs: Sequence[Arrays]) -> dict[str, float]:
    """The columns about step times and what follows from them, of all steps of these runs of a case together."""
    request = case["record"]["request"]
    block, rate, paced = _whole(request["block"]), _whole(case["sample_rate"]), request.get("mode") == PACED
    steps, budget = np.concatenate([step_costs(case, run) for run in runs]), 1e9 * block / rate
    counted = [run.get("instructions", np.empty(0, np.int64)) for run in runs]
    row = {"n": steps.size, "budget": budget, "first": float(runs[0]["first_ns"][0])}
    row["instructions"] = _percentile(np.concatenate(counted), 50) if all(map(np.size, counted)) else math.nan
    late, miss = _on_the_clock(runs, block, rate) if paced else (dict.fromkeys(_PACED, math.nan), None)
    row |= {**late, **summarise(steps, budget, miss)}
    names = dict(zip(("rtf", "rtf_mean", "rtf_std"), ("p50", "mean", "std"), strict=True))
    names |= {f"rtf_{name}": name for name in NAMES[1:]}
    loads = {name: row[of] / budget for name, of in names.items()}
    if case["clock"] == INSTRUCTIONS:
        unasked = (*loads, *_PACED, "misses", "miss_rate", "miss_rate_high")
        return {**row, "mips": loads["rtf"] * 1e3, **dict.fromkeys(unasked, math.nan)}
    return {**row, "mips": math.nan, **loads, "misses": float(row["misses"])}


_PACED = (*(f"xruns_{k}" for k in BUFFERS), "late_p50", "late_p99", "late_max")


def _on_the_clock(runs: Sequence[Arrays], block: int, rate: int) -> tuple[dict[str, float], np.ndarray]:
    """Lateness and xruns, and which steps were missed."""
    found, period = dict.fromkeys(_PACED, 0.0), 1e9 * block / rate
    times = [(run["start_ns"], run["step_ns"], ticks(run["step_ns"].size, block, rate)) for run in runs]
    late = np.concatenate([lateness(*one) for one in times])
    miss = np.concatenate([missed(*one, period, BUFFERS[0]) for one in times])
    found["xruns_2"] = float(np.count_nonzero(miss))
    for k in BUFFERS[1:]:
        found[f"xruns_{k}"] = float(sum(xruns(*one, period, k) for one in times))
    found |= {"late_p50": _percentile(late, 50), "late_p99": _percentile(late, 99), "late_max": float(late.max())}
    return found, miss


def _percentile(values: np.ndarray, percentile: float) -> float:
    """Without its bounds, for which all would have to be sorted."""
    return float(np.percentile(values, percentile)) if values.size >= steps_needed(percentile) else math.nan


def lateness_of(case: dict[str, Any], samples: Arrays) -> np.ndarray | None:
    """By how much each step started later than it could have, int64 nanoseconds; None where steps are back to back."""
    request = case["record"]["request"]
    if request.get("mode") != PACED:
        return None
    tick = ticks(samples["step_ns"].size, request["block"], case["sample_rate"])
    return lateness(samples["start_ns"], samples["step_ns"], tick)


def _counted(samples: Arrays) -> dict[str, float]:
    return {name: float(samples[name].sum(dtype=np.int64)) if name in samples else math.nan for name in COUNTERS}


def _seen(samples: Arrays) -> dict[str, float]:
    """What telemetry says of the timed steps; of all there is where these were over between two looks."""
    every = samples.get("telemetry", np.empty((0, len(TELEMETRY))))
    end = samples["start_ns"][-1] if "start_ns" in samples else samples["step_ns"].sum()
    during = every[(every[:, 0] >= 0) & (every[:, 0] <= end)]
    looks = during if len(during) > 1 else every
    seen = dict(zip(TELEMETRY, looks.T, strict=True))
    ends = dict(zip(TELEMETRY, looks[[0, -1]].T if len(looks) else np.full((len(TELEMETRY), 2), math.nan), strict=True))
    return {
        "frequency_min_mhz": _least(seen["frequency_khz"]) / 1e3,
        "frequency_max_mhz": -_least(-seen["frequency_khz"]) / 1e3,
        "celsius_start": _least(every[:1, TELEMETRY.index("temperature_mc")]) / 1e3,
        "celsius_max": -_least(-seen["temperature_mc"]) / 1e3,
        "throttled": bits(seen["throttled"]),
        **{f"pressure_{name}": float(share(ends["t_ns"], ends[f"pressure_{name}_us"])[1]) for name in PRESSURES},
    }


def _least(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.min()) if known.size else math.nan


def bits(values: np.ndarray) -> float:
    """All bits that are set in any of these; NaN where nothing is known."""
    known = values[np.isfinite(values)].astype(np.int64)
    return float(np.bitwise_or.reduce(known)) if known.size else math.nan


def share(t_ns: np.ndarray, waited_us: np.ndarray) -> np.ndarray:
    """How much of the time since the sample before was waited, 0 to 1; NaN in the first sample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.diff(waited_us, prepend=math.nan) * 1e3 / np.diff(t_ns, prepend=math.nan)
    return np.where(np.isfinite(found), found, math.nan)


def _floor(samples: Arrays) -> dict[str, float]:
    empty = [samples[name] for name in ("floor_before_ns", "floor_after_ns") if name in samples and samples[name].size]
    if not empty:
        return {"floor_p50": math.nan, "floor_max": math.nan}
    return {"floor_p50": max(float(np.median(times)) for times in empty), "floor_max": float(max(map(np.max, empty)))}


def _memory(memory: dict[str, dict[str, int]], engine: str) -> dict[str, float]:
    private = {stage: _number(weighed["private_kb"]) for stage, weighed in memory.items()}
    return {
        **{f"{stage}_kb": private.get(stage, math.nan) for stage in STAGES},
        "private_kb": private["run"],
        "model_kb": private["run"] - private.get(engine, math.nan),
        "peak_kb": _number(memory["run"]["peak_kb"]),
    }


def _size(case: dict[str, Any]) -> dict[str, Any]:
    parameters = {part: _whole(count) for part, count in case["parameters"].items()}
    return {
        "file_bytes": _whole(case["file_bytes"]),
        "weight_bytes": _number(case.get("weight_bytes")),
        "parameters": sum(parameters.values()),
        **{f"{part}_parameters": float(parameters.get(part, math.nan)) for part in PARTS},
    }


def _where(record: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    facts, granted = case["facts"], _granted(record)
    engine, governor = case.get("engine", ONNXRUNTIME), granted.get("governor", facts.get("governor", ""))
    return {
        "affinity": ",".join(str(_whole(core)) for core in granted.get("affinity", [])),
        "scheduling": _text(granted.get("scheduling", "")),
        "memory_lock": _flag(granted.get("memory_lock")),
        "governor": _text(governor),
        "denormals_flushed": _flag(record["denormals_flushed"]),
        **{key: _text(case[key]) for key in ("release", "runtime", "runner")},
        "python": _text(record["python"]),
        "onnxruntime": _text(record["onnxruntime"] if engine == ONNXRUNTIME else record.get("onnxruntime", "")),
        "numpy": _text(record.get("numpy", "")),
        **{key: _text(facts[key]) for key in ("kernel", "cpu")},
        "hostname": _text(facts.get("hostname", "")),
    }


def _granted(record: dict[str, Any]) -> dict[str, Any]:
    """What the board granted, once the texts are texts that reports show and no column holds."""
    granted = record.get("granted", {})
    for text in (record.get("torch", ""), granted.get("instructions", ""), *granted.get("refused", {}).values()):
        _text(text)
    return granted


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _flag(value: Any) -> bool | None:
    if not isinstance(value, bool | None):
        raise TypeError(f"{value!r:.40} is neither true nor false")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def _number(value: Any) -> float:
    """NaN for None."""
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r:.40} is no measure")
    return float(value)
