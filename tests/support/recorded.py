"""Results of made-up steps, as a sweep records them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tonearm.bench.results.store import append
from tonearm.bench.terms import TIME
from tonearm.runtime.clip import write_arrays
from tonearm.runtime.measure import COUNTERS

BOARD = {"kernel": "6.1.0", "cpu": "0x41 0xd08", "hostname": "pi", "model": "Raspberry Pi 4"}


def record(
    folder: Path,
    repeats: Sequence[float | np.ndarray],
    *,
    name: str = "case",
    steps: int = 60,
    block: int = 64,
    mode: str = "burst",
    floor_ms: float = 0.001,
    session: float = 0.2,
    peak_kb: int = 50_000,
    model_kb: int = 6_000,
    model: str = "hpn-reduced",
    stop_after_misses: int = 0,
    **line: Any,
) -> None:
    """Keep a case: of each repeat its step times in ms, or one for all `steps`; `line` overrides its line's entries."""
    request = {"format": 2, "task": "measure", "mode": mode, "block": block, "threads": 1, "steps": steps, "warmup": 50}
    request["stop_after_misses"] = stop_after_misses
    used = {"peak_kb": peak_kb, "resident_kb": peak_kb}
    memory = {stage: {**used, "private_kb": kb} for stage, kb in (("onnxruntime", 24_000), ("run", 24_000 + model_kb))}
    versions = {"python": "3.11.2", "onnxruntime": "1.31.1", "numpy": "2.4.6", "denormals_flushed": True}
    for repeat, times in enumerate(repeats):
        step_ns = np.round(1e6 * np.broadcast_to(times, np.shape(times) or steps)).astype(np.int64)
        entry = {
            "board": "pi" if line.get("clock", TIME) == TIME else "virtual",
            "clock": TIME,
            "engine": "onnxruntime",
            "repeat": repeat,
            "measured_at": 1e9 + repeat,
            "facts": BOARD,
            "sample_rate": 16_000,
            "weights": "trained",
            "precision": "fp32",
            "parameters": {"decoder": 7510, "synth": 0, "reverb": 16_002},
            "file_bytes": 123_456,
            "weight_bytes": 100_000,
            "release": f"releases/{model}/0123456789abcdef",
            "runtime": "runtimes/0123456789abcdef",
            "runner": "runners/0123456789abcdef",
            "record": {
                "request": request,
                "model": model,
                "memory": memory,
                "seconds": {"session": session},
                **versions,
            },
            **line,
        }
        append(folder, f"{name}-{repeat}", entry, _samples(step_ns, block, mode, round(1e6 * floor_ms)))


def _samples(step_ns: np.ndarray, block: int, mode: str, floor_ns: int) -> bytes:
    """Back to back, or each at its tick if there is time."""
    start = np.cumsum(step_ns) - step_ns
    if mode == "paced":
        tick, start = np.arange(step_ns.size) * block * 62_500, np.zeros_like(step_ns)
        for i in range(1, step_ns.size):
            start[i] = max(tick[i], start[i - 1] + step_ns[i - 1])
    floors = dict.fromkeys(("floor_before_ns", "floor_after_ns"), np.full(100, floor_ns))
    counted = {name: np.zeros(step_ns.size, np.int32) for name in COUNTERS}
    stream = io.BytesIO()
    first = {"first_ns": np.array([5_000_000]), "warmup_ns": step_ns[:1]}
    write_arrays(stream, {**first, "step_ns": step_ns, "start_ns": start, **counted, **floors})
    return stream.getvalue()
