"""Mutated manifests, graphs and golden vectors, passed through what a deploy does before it touches a board.

`python tests/support/fuzz_bundles.py --tries 2000 --seed 0` prints what became of them. A worker process with little
memory does it, and its parent waits for each mutant only so long; a mutant is made from the seed and its number
alone. What is accepted is then proven as on a board: ONNX Runtime opens it and plays its golden vectors.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import onnx
from fuzzing import DIED, HANG, TRACEBACK, Counts, Tell, command_line, fuzz_apart
from google.protobuf.message import DecodeError
from mutants import make_base, mutate
from tonearm.runtime.bundle import Bundle, read_bundle
from tonearm.runtime.check import check_bundle
from tonearm.runtime.clip import read_golden
from tonearm.runtime.errors import BundleError, RunnerError
from tonearm.runtime.parity import check_parity
from tonearm.runtime.stream import Stream

MEMORY = 3 << 30  # bytes of address space, of which the libraries take half
REFUSED, EQUAL, UNPROVEN = "refused by name", "accepted, plays the same", "accepted, refused at the proof"
OUTSIDE = "opened a file outside of the folder"
OUTCOMES = (REFUSED, EQUAL, UNPROVEN, TRACEBACK, HANG, DIED, OUTSIDE)
BAD = OUTCOMES[3:]


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


def fuzz(box: Path, tries: int, seed: int, tell: Tell = lambda line: None) -> Counts:
    """How many mutants of each kind came to which of `OUTCOMES`; `tell` hears of each that came to a bad one."""
    make_base(box / "base")
    return fuzz_apart(__file__, box, tries, seed, BAD, tell)


if __name__ == "__main__":
    sys.exit(command_line(__doc__, 2000, OUTCOMES, BAD, fuzz, work))
