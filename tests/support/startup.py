"""Benchmark, not a test: processor time and peak memory of a command that only has to answer.

    python tests/support/startup.py [--runs N] [TONEARM ...]

Each `TONEARM` is the command of an installation, .venv/bin/tonearm say, to be compared with the one of this Python: an
older one, for instance. They take turns, so that the machine's noise hits all alike; printed are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 9
HERE = str(Path(sys.executable).parent / "tonearm")
ANSWERS = {
    "--help": ["--help"],
    "sweep --help": ["sweep", "--help"],
    "--version": ["--version"],
    "wrong usage": ["depoly"],
    "completion": [],
    "models": ["models"],
}
ASKED = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_SHELL": "bash", "COMP_LINE": "tonearm deploy --board v", "COMP_POINT": "24"}


def cost(tonearm: str, answer: str) -> tuple[float, float]:
    """Processor seconds, user's and system's, and peak memory in MiB of one process."""
    environment = {**os.environ, **(ASKED if answer == "completion" else {})}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([tonearm, *ANSWERS[answer]], env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0  # it has been waited for
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print a line per answer: of each installation, processor time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tonearm", nargs="*", metavar="TONEARM")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    compared = [HERE, *options.tonearm]
    for number, tonearm in enumerate(compared):
        print(f"{number}: {tonearm}")
    for answer in ANSWERS:
        runs = [[cost(tonearm, answer) for tonearm in compared] for _ in range(options.runs + 1)][1:]  # the first warms
        medians = [[statistics.median(values) for values in zip(*one, strict=True)] for one in zip(*runs, strict=True)]
        print(f"{answer}: " + "; ".join(f"{seconds:.3f} s, {memory:.0f} MiB" for seconds, memory in medians))


if __name__ == "__main__":
    main()
