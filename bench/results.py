"""Results on disk and as tables.

```
results/cases.jsonl        one line per finished case: the runner's record, the case, the board
        steps/<id>.npz     its raw step times in nanoseconds: first_ns, warmup_ns, step_ns
```
Statistics are derived when the results are read, so that better ones can be had from old runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas

from ..runtime.clip import UNREADABLE, read_arrays
from .errors import ResultsError
from .stats import summarise

FORMAT = 2  # 2: paced steps, their circumstances; 1: first, bursts
READABLE = (1, 2)
CASES = "cases.jsonl"
SAMPLES = "steps"

# A machine whose virtual clock counts instructions; everything else counts time.
INSTRUCTIONS = "instructions"
TIME = "time"


def append(folder: Path, identity: str, entry: dict[str, Any], samples: bytes) -> None:
    """Keep a finished case: samples first, then its line, both on disk when this returns.

    Raises:
        ResultsError: what the board sent is no result; nothing is kept of it.
    """
    case = {"format": FORMAT, "id": identity, **entry}
    _row(case, _samples(io.BytesIO(samples), f"case {identity}"))
    (folder / SAMPLES).mkdir(parents=True, exist_ok=True)
    part = _steps_file(folder, identity).with_suffix(".npz.part")
    with part.open("wb") as stream:
        stream.write(samples)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(_steps_file(folder, identity))
    with (folder / CASES).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # several boards are measured at once, or by several commands
        _finish_last_line(folder / CASES)
        stream.write(json.dumps(case) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _steps_file(folder: Path, identity: str) -> Path:
    return folder / SAMPLES / f"{identity}.npz"


def _finish_last_line(path: Path) -> None:
    """Take off a line that a crash cut short, so that the next one starts on its own."""
    written = path.read_bytes() if path.is_file() else b""
    start = written.rfind(b"\n") + 1
    if start == len(written):
        return
    try:
        json.loads(written[start:])
    except ValueError:
        os.truncate(path, start)
        return
    with path.open("ab") as stream:
        stream.write(b"\n")


def finished(folder: Path) -> set[str]:
    """The identities of the cases that need not be measured again: their line and their samples can be read."""
    found = set()
    for case in read_cases(folder):
        path = _steps_file(folder, case["id"])
        with contextlib.suppress(ResultsError):
            _row(case, _samples(path, str(path)))
            found.add(case["id"])
    return found


def read_cases(folder: Path) -> list[dict[str, Any]]:
    """The finished cases, the newest of each; a line cut short by a crash is dropped."""
    path = folder / CASES
    if not path.is_file():
        return []
    cases: dict[str, dict[str, Any]] = {}
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            case = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise ResultsError(f"{path}, line {number} is damaged: {error}") from error
        found = case.get("format") if isinstance(case, dict) else None
        if found not in READABLE:
            known = f"{READABLE[0]} to {READABLE[-1]}"
            raise ResultsError(f"{path}, line {number}: format {found!r}, this tonearm reads {known}")
        cases[case["id"]] = case
    return list(cases.values())


def load(folder: Path) -> pandas.DataFrame:
    """One row per case, sorted by board, model, threads and block; older rows of a case before newer ones.

    Columns: what was run (`board`, `clock`, `model`, `weights`, `precision`, `block`, `threads`, `n`), and in
    nanoseconds (on the virtual board: instructions) `budget`, `first`, `session`, `p50` ... `p99.9`, `max`, `mean`,
    `std`; `misses`, `miss_rate`, `miss_rate_high`, `miss_rate_bound` and `rtf` (p50 / budget), on the virtual board
    NaN; `p50_low`, `p50_high` ... bound the percentiles with 95 % confidence each; `mips` (million
    instructions per second of audio; elsewhere NaN); memory in kB: `peak_kb`, `private_kb`, `model_kb`
    (after the run minus after importing ONNX Runtime); `file_bytes` (graph and weights), `parameters`,
    `denormals_flushed`; where: `release`, `runtime`, `runner` (their hashes), `python`, `onnxruntime`, `kernel`, `cpu`.

    Raises:
        ResultsError: no results there, or not ours to read.
    """
    cases = read_cases(folder)
    if not cases:
        raise ResultsError(f"no results in {folder}: measure first, with tonearm sweep -o {folder}")
    paths = [_steps_file(folder, case["id"]) for case in cases]
    rows = [_row(case, _samples(path, str(path))) for case, path in zip(cases, paths, strict=True)]
    table = pandas.DataFrame(rows)
    return table.sort_values(["board", "model", "threads", "block"], ignore_index=True, kind="stable")


def _samples(source: Path | IO[bytes], name: str) -> dict[str, np.ndarray]:
    try:
        arrays = read_arrays(source)
        if not arrays["first_ns"].size or not arrays["step_ns"].size:
            raise ValueError("no steps")
    except UNREADABLE as error:
        hint = "run the same sweep again to measure it anew"
        raise ResultsError(f"{name} is damaged or missing: {error!r}; {hint}") from error
    return arrays


def _row(case: dict[str, Any], samples: dict[str, np.ndarray]) -> dict[str, Any]:
    try:
        return {**_what(case), **_cost(case, samples), **_memory(case["record"]["memory"]), **_where(case)}
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"case {case.get('id')} is no result: {error!r}") from error


def _what(case: dict[str, Any]) -> dict[str, Any]:
    request = case["record"]["request"]
    return {
        "board": case["board"],
        "clock": case["clock"],
        "model": case["record"]["model"],
        "weights": case["weights"],
        "precision": case["precision"],
        "block": request["block"],
        "threads": request["threads"],
        "file_bytes": case["file_bytes"],
        "parameters": sum(case["parameters"].values()),
    }


def _cost(case: dict[str, Any], samples: dict[str, np.ndarray]) -> dict[str, Any]:
    """Step times and what follows from them; an instruction count neither meets nor misses a deadline."""
    steps = samples["step_ns"]
    budget = 1e9 * case["record"]["request"]["block"] / case["sample_rate"]
    row = summarise(steps, budget)
    load = row["p50"] / budget
    timed = {"rtf": load, "mips": np.nan}
    unasked = dict.fromkeys(("misses", "miss_rate", "miss_rate_high", "miss_rate_bound"), np.nan)
    counted = {"rtf": np.nan, "mips": load * 1e3, **unasked}
    return {
        "n": steps.size,
        "budget": budget,
        "first": int(samples["first_ns"][0]),
        "session": case["record"]["seconds"]["session"] * 1e9,
        **row,
        **(counted if case["clock"] == INSTRUCTIONS else timed),
    }


def _memory(memory: dict[str, dict[str, int]]) -> dict[str, int]:
    return {
        "peak_kb": memory["run"]["peak_kb"],
        "private_kb": memory["run"]["private_kb"],
        "model_kb": memory["run"]["private_kb"] - memory["onnxruntime"]["private_kb"],
    }


def _where(case: dict[str, Any]) -> dict[str, Any]:
    record, facts = case["record"], case["facts"]
    return {
        **{key: case[key] for key in ("release", "runtime", "runner")},
        **{key: record[key] for key in ("denormals_flushed", "python", "onnxruntime")},
        **{key: facts[key] for key in ("kernel", "cpu")},
    }
