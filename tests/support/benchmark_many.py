"""Benchmark, not a test: whether the 300th case of a folder costs what the first did, and how reports grow.

Printed are seconds that a case takes to be kept, side by side, those of a look for what is there already, which a
command takes once, and those of a report of 75, 150 and 300 cases in a fresh process, imports left out.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_results import measured, samples
from tonearm.bench.results.store import append, finished

CASES, STEPS, SOME = 300, 200, 20
CHILD = """
import sys, time
from pathlib import Path
from tonearm.bench.report.html import write_html
from tonearm.bench.report.markdown import markdown
from tonearm.bench.report.terminal import terminal_tables
from tonearm.bench.results.store import load
start = time.perf_counter()
found = load(sys.argv[1])
terminal_tables(found)
tables = time.perf_counter()
markdown(found)
write_html(found, Path(sys.argv[1]) / "report.html")
print(tables - start, time.perf_counter() - tables)
"""


def add(folder: Path, index: int) -> float:
    """Seconds that a case takes to be kept."""
    case = measured(repeat=index % 3)
    case["record"]["request"] |= {"block": 64 * (1 + index // 3 % 10), "threads": 1 + index // 30, "steps": STEPS}
    start = time.perf_counter()
    append(folder, f"case{index}", case, samples(STEPS))
    return time.perf_counter() - start


def main() -> None:
    """Print the ratios of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as place:
        folder, spent = Path(place) / "results", []
        for index in range(cases):
            spent.append(add(folder, index))
            if index + 1 in (cases // 4, cases // 2, cases):
                done = subprocess.run(
                    [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, check=True
                )
                tables, pages = map(float, done.stdout.split())
                start = time.perf_counter()
                finished(folder)
                look = time.perf_counter() - start
                print(f"{index + 1} cases: look {look:.2f} s, tables {tables:.2f} s, Markdown and page {pages:.2f} s")
        first, last = statistics.median(spent[:SOME]), statistics.median(spent[-SOME:])
        print(f"a case: first {1e3 * first:.2f} ms, last {1e3 * last:.2f} ms, ratio {last / first:.2f}")


if __name__ == "__main__":
    main()
