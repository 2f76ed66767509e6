"""What all fuzzing in processes of their own shares: a worker that judges mutants, and a parent that waits so long.

A worker prints a line of JSON as it begins with a mutant, [number, kind], and one when it is done, [number, kind,
outcome, what is said about it]; after a hang or a crash, another one goes on with the next mutant.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SECONDS = 60  # for one mutant, which takes some ms: a busy machine is no hang
START_SECONDS = 100  # for the first, before which libraries are imported
TRACEBACK, HANG, DIED = "traceback", "hang", "the process died"

Tell = Callable[[str], None]
Counts = Counter[tuple[str, str]]


def fuzz_apart(script: str, box: Path, tries: int, seed: int, bad: Sequence[str], tell: Tell) -> Counts:
    """How many mutants of each kind came to which outcome; `tell` hears of each that came to a `bad` one."""
    counts: Counts = Counter()
    first = 0
    while first < tries:
        command = [sys.executable, script, "--worker", str(box), "--first", str(first)]
        first = _watched([*command, "--tries", str(tries), "--seed", str(seed)], first, seed, counts, bad, tell)
    return counts


def _watched(command: Sequence[str], first: int, seed: int, counts: Counts, bad: Sequence[str], tell: Tell) -> int:
    """Watch one worker until it is done, hangs or dies; the number of the next mutant."""
    now: list[Any] = [first - 1, "start"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)) as worker:
        assert worker.stdout
        while True:
            ready = select.select([worker.stdout], [], [], START_SECONDS if now[1] == "start" else SECONDS)[0]
            line = worker.stdout.readline() if ready else b""
            if not line:
                break
            now = json.loads(line)
            if len(now) == 4:
                counts[now[1], now[2]] += 1
                if now[2] in bad:
                    tell(f"mutant {now[0]} of seed {seed}, {now[1]}: {now[2]}: {now[3]}")
        if not ready:
            worker.kill()
    if now[1] == "start":
        raise RuntimeError("the worker does not start")
    if len(now) == 2:
        outcome = DIED if ready else HANG
        counts[now[1], outcome] += 1
        tell(f"mutant {now[0]} of seed {seed}, {now[1]}: {outcome}")
    return now[0] + 1


def table(counts: Counts, outcomes: Sequence[str]) -> str:
    """Kinds of mutants across, what became of them down."""
    kinds = sorted({kind for kind, _ in counts})
    lines = [["", *kinds, "all"]]
    for outcome in outcomes:
        row = [counts[kind, outcome] for kind in kinds]
        lines.append([outcome, *map(str, row), str(sum(row))])
    return "\n".join(line[0].ljust(36) + "".join(cell.rjust(8) for cell in line[1:]) for line in lines)


def command_line(
    about: str | None,
    tries: int,
    outcomes: Sequence[str],
    bad: Sequence[str],
    fuzz: Callable[[Path, int, int, Tell], Counts],
    work: Callable[[Path, int, int, int], None] | None = None,
) -> int:
    """Fuzz as the command line says, and print the table; the exit status, 1 when anything bad came out.

    `fuzz` is called with an empty folder, tries, seed and `print`; a worker calls `work` with its folder, the seed, the
    first mutant and tries.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--tries", type=int, default=tries)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if work and options.worker:
        work(options.worker, options.seed, options.first, options.tries)
        return 0
    with tempfile.TemporaryDirectory() as box:
        counts = fuzz(Path(box), options.tries, options.seed, print)
    print(table(counts, outcomes))
    return int(any(outcome in bad for _, outcome in counts))
