"""Results on disk and as tables.

```
results/cases.jsonl        one line per finished case: the runner's record, the case, the board
        steps/<id>.npz     its raw step times in nanoseconds: first_ns, warmup_ns, step_ns
```
Statistics are derived when the results are read, so that better ones can be had from old runs.
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from ..runtime.clip import read_arrays
from .errors import ResultsError
from .stats import summarise

FORMAT = 1  # 1: first
CASES = "cases.jsonl"
STEPS = "steps"

# A machine whose virtual clock counts instructions; everything else counts time.
INSTRUCTIONS = "instructions"
TIME = "time"


def append(folder: Path, identity: str, entry: dict[str, Any], samples: bytes) -> None:
    """Keep a finished case: samples first, then its line, both on disk when this returns."""
    steps = folder / STEPS
    steps.mkdir(parents=True, exist_ok=True)
    part = steps / f"{identity}.npz.part"
    part.write_bytes(samples)
    part.replace(steps / f"{identity}.npz")
    _finish_last_line(folder / CASES)
    with (folder / CASES).open("a") as stream:
        stream.write(json.dumps({"format": FORMAT, "id": identity, **entry}) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _finish_last_line(path: Path) -> None:
    """Take off a line that a crash cut short, so that the next one starts on its own."""
    text = path.read_text() if path.is_file() else ""
    whole, newline, rest = text.rpartition("\n")
    if not rest:
        return
    try:
        json.loads(rest)
        path.write_text(text + "\n")
    except ValueError:
        path.write_text(whole + newline)


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
        if found != FORMAT:
            raise ResultsError(f"{path}, line {number}: format {found!r}, this tonearm reads {FORMAT}")
        cases[case["id"]] = case
    return list(cases.values())


def load(folder: Path) -> pandas.DataFrame:
    """One row per case, sorted by board, model, threads and block.

    Columns: what was run (`board`, `clock`, `model`, `weights`, `precision`, `block`, `threads`, `n`), and in
    nanoseconds (on the virtual board: instructions) `budget`, `first`, `session`, `p50` ... `p99.9`, `max`, `mean`,
    `std`; `misses`, `miss_rate_bound`; `rtf` (p50 / budget; on the virtual board NaN); `mips` (million
    instructions per second of audio; elsewhere NaN); memory in kB: `peak_kb`, `private_kb`, `model_kb`
    (after the run minus after importing ONNX Runtime); `file_bytes`, `parameters`,
    `denormals_flushed`, and the versions: `python`, `onnxruntime`, `kernel`, `cpu`.

    Raises:
        ResultsError: no results there, or not ours to read.
    """
    cases = read_cases(folder)
    if not cases:
        raise ResultsError(f"no results in {folder}: measure first, with tonearm sweep -o {folder}")
    rows = pandas.DataFrame([_row(folder, case) for case in cases])
    return rows.sort_values(["board", "model", "threads", "block"], ignore_index=True)


def _row(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    path = folder / STEPS / f"{case['id']}.npz"
    try:
        arrays = read_arrays(path)
        first, steps = int(arrays["first_ns"][0]), arrays["step_ns"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ResultsError(f"{path} is damaged or missing: {error}; measure again into a new folder") from error
    record, request = case["record"], case["record"]["request"]
    budget = 1e9 * request["block"] / case["sample_rate"]
    row = summarise(steps, budget)
    instructions = case["clock"] == INSTRUCTIONS
    memory = record["memory"]
    return {
        "board": case["board"],
        "clock": case["clock"],
        "model": record["model"],
        "weights": case["weights"],
        "precision": case["precision"],
        "block": request["block"],
        "threads": request["threads"],
        "n": steps.size,
        "budget": budget,
        "first": first,
        "session": record["seconds"]["session"] * 1e9,
        **row,
        "rtf": np.nan if instructions else row["p50"] / budget,
        "mips": row["p50"] / budget * 1e3 if instructions else np.nan,
        "peak_kb": memory["run"]["peak_kb"],
        "private_kb": memory["run"]["private_kb"],
        "model_kb": memory["run"]["private_kb"] - memory["onnxruntime"]["private_kb"],
        "file_bytes": case["file_bytes"],
        "parameters": sum(case["parameters"].values()),
        "denormals_flushed": record["denormals_flushed"],
        "python": record["python"],
        "onnxruntime": record["onnxruntime"],
        "kernel": case["facts"]["kernel"],
        "cpu": case["facts"]["cpu"],
    }
