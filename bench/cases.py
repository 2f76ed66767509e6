"""One case of a sweep: what makes it the same again, what the runner is asked, what is kept of it."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..device.boards import is_virtual
from ..device.provision import Site
from ..device.releases import TASK_SECONDS, Release, release_path, run_task
from ..device.ssh import Connection
from ..device.turn import Turn
from ..runtime.bundle import Bundle
from . import torch_engine
from .results import INSTRUCTIONS, TIME, append

BURST, PACED = "burst", "paced"
ONNXRUNTIME, TORCH = "onnxruntime", "torch"
STEPS = 1000
FLOOR = 20_000  # empty steps: some 50 ms
VIRTUAL_FLOOR = 200
WARMUP = 50
# An instruction count repeats to 0.02 % after a few steps, and the virtual board is slow: more would only cost time.
VIRTUAL_STEPS = 7
VIRTUAL_WARMUP = 5
SLOWEST_RTF = 50  # a case slower than that is taken to hang

Key = tuple[str, int, int, str, int, str, str]


@dataclass(frozen=True)
class Case:
    """One cell of a sweep; `protocol` is the published one that it belongs to, if any."""

    bundle: Bundle
    block: int
    threads: int
    mode: str = BURST
    repeat: int = 0
    engine: str = ONNXRUNTIME
    protocol: str = ""

    def __str__(self) -> str:
        mode = f", {self.mode}" if self.mode != BURST else ""
        mode += ", in PyTorch" if self.engine == TORCH else ""
        repeat = f", repeat {self.repeat + 1}" if self.repeat else ""
        return f"{self.bundle.name}, block {self.block}, {self.threads} thread(s){mode}{repeat}"

    @property
    def key(self) -> Key:
        """What tells it from the others of its board."""
        return self.bundle.digest, self.block, self.threads, self.mode, self.repeat, self.engine, self.protocol


def identity(name: str, site: Site, case: Case, steps: int | None) -> str:
    """What makes two measurements the same one: the board, its software, the bundle and the request."""
    facts = {key: site.facts[key] for key in ("hostname", "model", "cpu", "cores", "kernel", "python")}
    engine = f"torch {torch_engine.torch_version()}" if case.engine == TORCH else case.engine
    what = [case.bundle.digest, _request(name, case, steps), case.repeat, engine, case.protocol]
    parts = [name, facts, site.runtime, site.runner, *what]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _request(name: str, case: Case, steps: int | None) -> dict[str, Any]:
    virtual = is_virtual(name)
    return {
        "task": "measure",
        "mode": case.mode,
        "block": case.block,
        "threads": case.threads,
        "steps": steps or (VIRTUAL_STEPS if virtual else STEPS),
        "warmup": VIRTUAL_WARMUP if virtual else WARMUP,
        "floor": VIRTUAL_FLOOR if virtual else FLOOR,
        "telemetry": not virtual,  # it would be counted along, and there is no temperature to be seen
        "samples": "samples.npz",
    }


def measure(
    connection: Connection, site: Site, release: Release, case: Case, folder: Path, steps: int | None, held: Turn
) -> None:
    """Measure a case in a fresh process on the board; its result is on disk when this returns."""
    request = _request(connection.name, case, steps)
    bundle = case.bundle
    audio_seconds = (request["steps"] + request["warmup"]) * case.block / bundle.sample_rate
    deadline = TASK_SECONDS + SLOWEST_RTF * audio_seconds
    with held.quietly(deadline):
        if case.engine == TORCH:
            record, samples = torch_engine.measure_here(bundle, request, deadline)
        else:
            record, files = run_task(connection, site, release, request, fetch=["samples.npz"], deadline=deadline)
            samples = files["samples.npz"]
    entry = {
        "board": connection.name,
        "clock": INSTRUCTIONS if is_virtual(connection.name) else TIME,
        "engine": case.engine,
        "repeat": case.repeat,
        "measured_at": time.time(),
        "facts": site.facts,
        "runtime": site.runtime,
        "runner": site.runner,
        "release": release_path(bundle),
        "sample_rate": bundle.sample_rate,
        "weights": bundle.weights,
        "precision": bundle.precision,
        "parameters": bundle.parameters,
        "file_bytes": _bytes_of(bundle, case.block),
        "weight_bytes": _weight_bytes(bundle),
        "record": record,
        **({"protocol": case.protocol} if case.protocol else {}),
    }
    append(folder, identity(connection.name, site, case, steps), entry, samples)


def _bytes_of(bundle: Bundle, block: int) -> int:
    """What one block size needs on disk: its graph and the weights."""
    others = {bundle.golden, *bundle.graphs.values()} - {bundle.graphs[block]}
    return sum(file.size for name, file in bundle.files.items() if name not in others)


def _weight_bytes(bundle: Bundle) -> int:
    """What all graphs share on disk."""
    others = {bundle.golden, *bundle.graphs.values()}
    return sum(file.size for name, file in bundle.files.items() if name not in others)
