"""Results as a sweep records them, made up."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from tonearm.bench.results.store import append
from tonearm.bench.terms import TIME
from tonearm.runtime.clip import write_arrays
from tonearm.runtime.measure import COUNTERS
from tonearm.runtime.telemetry import COLUMNS

PERIOD = 4_000_000  # nanoseconds: 64 samples at 16 kHz


def samples(steps: int) -> bytes:
    """Step times of 1.000, 1.001, ... ms, and nothing else: what the first format had."""
    return packed(made_arrays(1_000_000 + 1000 * np.arange(steps, dtype=np.int64), first=True))


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """As .npz."""
    stream = io.BytesIO()
    write_arrays(stream, arrays)
    return stream.getvalue()


def made_arrays(step: np.ndarray, start: np.ndarray | None = None, first: bool = False) -> dict[str, np.ndarray]:
    """What is recorded of these steps, back to back unless it is said when they start; `first`: in the first format."""
    arrays = {"first_ns": np.array([5_000_000]), "warmup_ns": step[:1], "step_ns": step}
    if first:
        return arrays
    return {
        **arrays,
        "start_ns": np.cumsum(step) - step if start is None else start,
        "instructions": 3 * step,
        **{name: np.full(step.size, index, np.int32) for index, name in enumerate(COUNTERS)},
        "gc_ns": np.empty(0, np.int64),
        "origin_ns": np.array([10**15]),
        "silent": np.zeros(500, np.uint8),
        "floor_before_ns": np.array([500, 600, 900]),
        "floor_after_ns": np.array([500, 700, 800]),
        "telemetry": np.empty((0, len(COLUMNS))),
    }


def telemetry(*looks: dict[str, float]) -> np.ndarray:
    """What is given, by name; else NaN."""
    return np.array([[look.get(name, np.nan) for name in COLUMNS] for look in looks], np.float64)


def entry(board: str = "pi", model: str = "hpn-reduced", block: int = 64, clock: str = TIME) -> dict[str, Any]:
    """A case as a sweep records it, with no more than the first format had."""
    memory = {"peak_kb": 50_000, "resident_kb": 48_000, "private_kb": 30_000}
    stages = {name: {**memory, "private_kb": kb} for name, kb in (("onnxruntime", 24_000), ("run", 30_000))}
    request = {"format": 1, "task": "burst", "block": block, "threads": 1, "steps": 60, "warmup": 50}
    record = {"request": request, "model": model, "memory": stages, "seconds": {"session": 0.25}}
    versions = {"python": "3.11.2", "onnxruntime": "1.31.1", "numpy": "2.4.6", "denormals_flushed": True}
    return {
        "board": board,
        "clock": clock,
        "facts": {"kernel": "6.1.0", "cpu": "0x41 0xd08"},
        "sample_rate": 16000,
        "weights": "untrained: random weights, seed 0",
        "precision": "fp32",
        "parameters": {"decoder": 7510, "synth": 16002},
        "file_bytes": 123_456,
        "release": "releases/hpn-reduced/0123456789abcdef",
        "runtime": "runtimes/0123456789abcdef",
        "runner": "runners/0123456789abcdef",
        "record": {**record, **versions},
    }


def measured(mode: str = "burst", repeat: int = 0, **facts: str) -> dict[str, Any]:
    """A case as a sweep records it now."""
    case = entry()
    case["record"]["request"] |= {"format": 2, "task": "measure", "mode": mode}
    case["record"]["granted"] = {"affinity": [2, 3], "scheduling": "SCHED_FIFO 80", "memory_lock": True, "governor": ""}
    case["facts"] |= {"hostname": "raspberrypi", "model": "Raspberry Pi 4", **facts}
    return {**case, "engine": "onnxruntime", "repeat": repeat, "measured_at": 1e9 + repeat, "weight_bytes": 100_000}


def append_for_ever(folder: Path, start: int, done: Any) -> None:
    """Append cases, each with another number of steps, and send its identity and that number when it is kept."""
    number = start
    while True:
        append(folder, f"case{number}", measured(), packed(made_arrays(np.arange(1001, 1100 + number))))
        done.send((f"case{number}", 99 + number))
        number += 1


def append_the_same(folder: Path, steps: int, times: int) -> None:
    """One case again and again, whose line and samples both say how many steps it has."""
    for _ in range(times):
        case = measured()
        case["record"]["request"]["steps"] = steps
        append(folder, "same", case, packed(made_arrays(np.arange(1001, 1001 + steps))))
