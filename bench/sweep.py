"""Measure cases on a board: models x blocks x threads, one fresh process each."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ..device.boards import board, check_name, is_virtual
from ..device.errors import BoardError
from ..device.provision import Site, prepare
from ..device.releases import TASK_SECONDS, Release, install, release_path, run_task
from ..device.ssh import Connection
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from .console import Report
from .deploy import ensure_proven
from .results import INSTRUCTIONS, SAMPLES, TIME, append, finished

SEED = 0
STEPS = 1000
WARMUP = 50
# An instruction count repeats to 0.02 % after a few steps, and the virtual board is slow: more would only cost time.
VIRTUAL_STEPS = 7
VIRTUAL_WARMUP = 5
SLOWEST_RTF = 50  # a case slower than that is taken to hang


@dataclass(frozen=True)
class Case:
    """One cell of a sweep."""

    bundle: Bundle
    block: int
    threads: int


def sweep(
    name: str,
    bundles: Sequence[Bundle],
    blocks: Sequence[int] | None,
    threads: Sequence[int],
    folder: Path,
    report: Report,
    steps: int | None = None,
) -> tuple[int, int]:
    """Measure every case that `folder` does not hold yet; each is on disk before the next starts.

    The order is shuffled by a fixed seed, so that drift of the board does not look like a difference of models.

    Returns:
        How many cases were measured, and how many were there already.
    """
    check_name(name)
    cases = [Case(bundle, *cell) for bundle in bundles for cell in product(blocks or bundle.graphs, threads)]
    random.Random(SEED).shuffle(cases)
    for case in cases:
        case.bundle.graph(case.block)
    for bundle in bundles:
        check_bundle(bundle)
    with board(name, report) as connection:
        site = prepare(connection, report)
        _check_threads(name, threads, site.facts["cores"])
        (folder / SAMPLES).mkdir(parents=True, exist_ok=True)  # what can't be written is known before it is measured
        releases = {bundle.digest: install(connection, bundle, report) for bundle in bundles}
        for bundle in bundles:
            ensure_proven(connection, site, bundle, releases[bundle.digest], report)
        done = finished(folder)
        todo = [case for case in cases if _identity(name, site, case, _request(name, case, steps)) not in done]
        for index, case in enumerate(todo):
            report(f"{case.bundle.name}, block {case.block}, {case.threads} thread(s)", index, len(todo))
            _measure(connection, site, releases[case.bundle.digest], case, folder, steps)
    return len(todo), len(cases) - len(todo)


def _check_threads(name: str, threads: Sequence[int], cores: int) -> None:
    if max(threads) > cores:
        raise BoardError(f"{name} has {cores} core(s): {max(threads)} threads would measure nothing but waiting")


def _request(name: str, case: Case, steps: int | None) -> dict[str, Any]:
    virtual = is_virtual(name)
    return {
        "task": "burst",
        "block": case.block,
        "threads": case.threads,
        "steps": steps or (VIRTUAL_STEPS if virtual else STEPS),
        "warmup": VIRTUAL_WARMUP if virtual else WARMUP,
        "samples": "samples.npz",
    }


def _identity(name: str, site: Site, case: Case, request: dict[str, Any]) -> str:
    """What makes two measurements the same one: the board, its software, the bundle and the request."""
    facts = {key: site.facts[key] for key in ("hostname", "model", "cpu", "cores", "kernel", "python")}
    parts = [name, facts, site.runtime, site.runner, case.bundle.digest, request]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _measure(connection: Connection, site: Site, release: Release, case: Case, folder: Path, steps: int | None) -> None:
    request = _request(connection.name, case, steps)
    bundle = case.bundle
    audio_seconds = (request["steps"] + request["warmup"]) * case.block / bundle.sample_rate
    deadline = TASK_SECONDS + SLOWEST_RTF * audio_seconds
    record, files = run_task(connection, site, release, request, fetch=["samples.npz"], deadline=deadline)
    entry = {
        "board": connection.name,
        "clock": INSTRUCTIONS if is_virtual(connection.name) else TIME,
        "facts": site.facts,
        "runtime": site.runtime,
        "runner": site.runner,
        "release": release_path(bundle),
        "sample_rate": bundle.sample_rate,
        "weights": bundle.weights,
        "precision": bundle.precision,
        "parameters": bundle.parameters,
        "file_bytes": _bytes_of(bundle, case.block),
        "record": record,
    }
    append(folder, _identity(connection.name, site, case, request), entry, files["samples.npz"])


def _bytes_of(bundle: Bundle, block: int) -> int:
    """What one block size needs on disk: its graph and the weights."""
    others = {bundle.golden, *bundle.graphs.values()} - {bundle.graphs[block]}
    return sum(file.size for name, file in bundle.files.items() if name not in others)
