"""Mutated manifests, graphs and golden vectors, passed through what a deploy does before it touches a board.

`python tests/support/fuzz_bundles.py --tries 2000 --seed 0` prints what became of them. A worker process with little
memory does it, and its parent waits for each mutant only so long; a mutant is made from the seed and its number
alone. What is accepted is then proven as on a board: ONNX Runtime opens it and plays its golden vectors.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from mutants import make_base, mutate
from tonearm.runtime.bundle import Bundle, read_bundle
from tonearm.runtime.check import check_bundle
from tonearm.runtime.clip import read_golden
from tonearm.runtime.errors import BundleError, RunnerError
from tonearm.runtime.parity import check_parity
from tonearm.runtime.stream import Stream

MEMORY = 3 << 30  # bytes of address space, of which the libraries take half
SECONDS = 60  # for one mutant, which takes 7 ms: a busy machine is no hang
REFUSED, EQUAL, UNPROVEN = "refused by name", "accepted, plays the same", "accepted, refused at the proof"
TRACEBACK, HANG, DIED, OUTSIDE = "traceback", "hang", "the process died", "opened a file outside of the folder"
OUTCOMES = (REFUSED, EQUAL, UNPROVEN, TRACEBACK, HANG, DIED, OUTSIDE)


def judge(folder: Path) -> tuple[str, str]:
    """What becomes of the bundle in `folder`, and what is said about it."""
    try:
        bundle = read_bundle(folder)
        check_bundle(bundle)
    except BundleError as error:
        return REFUSED, str(error)
    try:
        golden = read_golden(bundle)
        for block in bundle.graphs:
            stray = strays(bundle, block)
            if stray:
                return OUTSIDE, stray
            check_parity(Stream(bundle, block), golden, 16)
    except RunnerError as error:
        return UNPROVEN, str(error)
    return EQUAL, ""


def strays(bundle: Bundle, block: int) -> str:
    """What onnx's own reader finds in an accepted graph that lies outside of the bundle's files."""
    try:
        lines = str(onnx.load(bundle.graph(block), load_external_data=False)).splitlines()
    except DecodeError:  # ONNX Runtime can't read it either
        return ""
    places = {value for key, value in itertools.pairwise(lines) if 'key: "location"' in key}
    return ", ".join(place for place in places if place.split('"')[1] not in bundle.files)


def work(box: Path, seed: int, first: int, tries: int) -> None:
    """The worker: judge mutants from `first` on, a line of JSON for each."""
    base, folder = read_bundle(box / "base"), box / "bundle"
    judge(base.folder)  # whatever is imported late is imported now
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # ONNX Runtime prints there too
    opened: list[str] = []
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and not str(arguments[0]).startswith((str(folder), "/proc/")):
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    for index in range(first, tries):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base.folder, folder)
        kind = mutate(base, folder, random.Random(f"{seed} {index}"))
        print(json.dumps([index, kind]), file=answers, flush=True)
        watching = True
        try:
            outcome, said = judge(folder)
        except Exception as error:
            outcome, said = TRACEBACK, repr(error)
        watching = False
        if opened or {path.name for path in box.iterdir()} - {"base", "bundle", "amp.onnx"}:
            outcome, said = OUTSIDE, ", ".join(opened)
        opened.clear()
        print(json.dumps([index, kind, outcome, said[:300]]), file=answers, flush=True)


def fuzz(box: Path, tries: int, seed: int, tell: Callable[[str], None] = lambda line: None) -> Counter[tuple[str, str]]:
    """How many mutants of each kind came to which of `OUTCOMES`; `tell` hears of each that came to a bad one."""
    make_base(box / "base")
    counts: Counter[tuple[str, str]] = Counter()
    first = 0
    while first < tries:
        first = watched(box, seed, first, tries, counts, tell)
    return counts


def watched(
    box: Path, seed: int, first: int, tries: int, counts: Counter[tuple[str, str]], tell: Callable[[str], None]
) -> int:
    """Watch one worker until it is done, hangs or dies; the number of the next mutant."""
    command = [sys.executable, __file__, "--worker", str(box), "--first", str(first)]
    command += ["--tries", str(tries), "--seed", str(seed)]
    now: list[Any] = [first - 1, "start"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)) as worker:
        assert worker.stdout
        while True:
            ready = select.select([worker.stdout], [], [], SECONDS + 40 * (now[1] == "start"))[0]
            line = worker.stdout.readline() if ready else b""
            if not line:
                break
            now = json.loads(line)
            if len(now) == 4:
                counts[now[1], now[2]] += 1
                if now[2] in OUTCOMES[3:]:
                    tell(f"mutant {now[0]} of seed {seed}, {now[1]}: {now[2]}: {now[3]}")
        if not ready:
            worker.kill()
    if len(now) == 2:
        outcome = DIED if ready else HANG
        counts[now[1], outcome] += 1
        tell(f"mutant {now[0]} of seed {seed}, {now[1]}: {outcome}")
    if now[1] == "start":
        raise RuntimeError("the worker does not start")
    return now[0] + 1


def table(counts: Counter[tuple[str, str]]) -> str:
    """Kinds of mutants across, what became of them down."""
    kinds = sorted({kind for kind, _ in counts})
    lines = [["", *kinds, "all"]]
    for outcome in OUTCOMES:
        row = [counts[kind, outcome] for kind in kinds]
        lines.append([outcome, *map(str, row), str(sum(row))])
    return "\n".join(line[0].ljust(36) + "".join(cell.rjust(8) for cell in line[1:]) for line in lines)


def main() -> int:
    """Fuzz, and print the table; exit status 1 when anything bad came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.seed, options.first, options.tries)
        return 0
    with tempfile.TemporaryDirectory() as box:
        counts = fuzz(Path(box), options.tries, options.seed, print)
    print(table(counts))
    return int(any(outcome in OUTCOMES[3:] for _, outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
