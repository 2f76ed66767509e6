"""One measured case: what is asked of the board, what is watched beside it, and the steps themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import granted
from .bundle import Bundle
from .clip import check_signals, read_golden
from .clock import ticks
from .counters import count_instructions
from .errors import RunnerError
from .measure import measure, silent_blocks
from .memory import memory
from .telemetry import COLUMNS, read, watched

MODES = ("burst", "paced")
SEEN = Path("telemetry.txt")  # in the folder of the task


def measure_case(
    bundle: Bundle,
    request: dict[str, Any],
    record: dict[str, Any],
    arrays: dict[str, np.ndarray],
    open_stream: Callable[[], Any],
) -> dict[str, np.ndarray]:
    """Measure what the request says, on the golden controls; `granted` and `memory` of the run go into the record.

    So does `not_finite`, where outputs were not finite numbers: in how many steps, and in which first.

    Args:
        bundle: what is played.
        request: see `runner`.
        record: what is known of this process.
        arrays: as from `measure.allocate`.
        open_stream: gives the stream, once the board has been asked for what the stream's threads inherit.

    Returns:
        What `measure` gives, `silent` (blocks of the clip,) uint8: where its output is silent, and `telemetry`
        (samples, 11) float64 by `telemetry.COLUMNS`, NaN where nothing is known, empty where it was not asked for.
    """
    if request["mode"] not in MODES:
        raise RunnerError(f"unknown mode {request['mode']!r}: deploy again")
    paced, system = request["mode"] == "paced", request.get("system", "/")
    golden = read_golden(bundle)
    signals = check_signals(bundle, {signal.name: golden[signal.name] for signal in bundle.inputs})
    refused: dict[str, str] = {}
    with _watched(request, system):
        instructions, said = count_instructions()  # before ONNX Runtime's threads, which it counts too
        if request.get("tune"):
            refused |= granted.ask(request["threads"], paced)
        stream = open_stream()
        found = measure(
            stream,
            signals,
            arrays,
            ticks(request["block"], bundle.sample_rate) if paced else None,
            instructions,
            lambda: granted.lock_memory(refused) if request.get("tune") else None,
            request.get("stop_after_misses", 0),
        )
        record["memory"]["run"] = memory()  # while the stream is there
        record["granted"] = {**granted.granted(refused, system), "instructions": said}
    odd = found.pop("not_finite")
    if odd.size:
        record["not_finite"] = {"steps": int(odd.size), "first": int(odd[0])}
    output = bundle.outputs[0]
    found["silent"] = silent_blocks(golden[output.name], request["block"] // bundle.hop * output.width)
    return {**found, "telemetry": _seen(int(found["origin_ns"][0]))}


@contextlib.contextmanager
def _watched(request: dict[str, Any], system: str) -> Iterator[None]:
    if not request["telemetry"]:
        yield
        return
    with watched(system, SEEN):
        yield


def _seen(origin_ns: int) -> np.ndarray:
    rows = read(SEEN, origin_ns) if SEEN.is_file() else []
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))
