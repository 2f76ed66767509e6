"""Benchmark, not a test: seconds and memory that it takes to read 10 million steps.

A folder of 100 cases of 100 000 steps, half of them paced, is written into a temporary place, and each kind of table
is made of it by a fresh process: what imports take is told apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from made_results import PERIOD, made_arrays, measured, packed
from tonearm.bench.results.store import append
from tonearm.runtime.telemetry import COLUMNS

CASES, STEPS = 100, 100_000
TABLES = ("cases", "pooled()", "steps", "telemetry")
CHILD = """
import sys, time
start = time.perf_counter()
from tonearm.bench import load
imported = time.perf_counter()
results = load(sys.argv[1])
for name in sys.argv[2].split(","):
    table = getattr(results, name.removesuffix("()"))
    rows = len(table() if name.endswith("()") else table)
done, cpu = time.perf_counter(), time.process_time()
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(imported - start, done - imported, cpu, int(peak) / 1024, rows)
"""


def samples(seed: int, paced: bool, steps: int) -> dict[str, np.ndarray]:
    """Log-normal step times; on the clock, each starts up to 60 microseconds late."""
    random = np.random.default_rng(seed)
    step = (1e6 * random.lognormal(0, 0.2, steps)).astype(np.int64)
    start = np.arange(steps) * PERIOD + random.integers(0, 60_000, steps) if paced else np.cumsum(step + 2000) - step
    looks = np.arange(0, int(start[-1]), 100_000_000, dtype=np.float64)
    seen = np.column_stack([looks, np.arange(looks.size)[:, None] * np.ones(len(COLUMNS) - 1)])
    return {**made_arrays(step, start), "telemetry": seen}


def make(folder: Path, cases: int, steps: int) -> None:
    """Write the results; every two cases are repeats of one."""
    for index in range(cases):
        paced = bool(index & 2)
        case = {**measured("paced" if paced else "burst", index & 1), "board": f"pi{index // 4}"}
        append(folder, f"case{index}", case, packed(samples(index, paced, steps)))


def read(folder: Path, tables: str) -> list[float]:
    """Of a fresh process: seconds of importing and of reading, processors' seconds, peak in MB, rows at last."""
    command = [sys.executable, "-c", CHILD, str(folder), tables]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(map(float, done.split()))


def main() -> None:
    """Print a line per table, and one for all of them in one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "results"
        make(folder, options.cases, options.steps)
        print(f"{options.cases} cases of {options.steps} steps")
        for tables in (*TABLES, ",".join(TABLES)):
            imports, seconds, cpu, peak, rows = read(folder, tables)
            about = f"imports {imports:.1f} s, processors {cpu:.1f} s in all"
            print(f"{tables}: {seconds:.1f} s ({about}), peak {peak:.0f} MB, {rows:.0f} rows")


if __name__ == "__main__":
    main()
