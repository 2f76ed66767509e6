"""One case of a sweep: what makes it the same again, what the runner is asked, what is kept of it."""

from __future__ import annotations

import hashlib
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...device.descriptor import descriptor
from ...device.errors import AgentError
from ...device.releases import TASK_SECONDS, release_path
from ...device.text import printable
from ...runtime.bundle import Bundle
from ...runtime.clip import read_arrays
from ..output.console import one_line, say
from ..output.numbers import count, duration
from ..results.samples import Arrays, read_samples
from ..results.store import SAMPLES, append
from ..terms import BURST, ONNXRUNTIME, TIME, TORCH
from .session import ReadyBoard
from .torch_engine import measure_here, torch_version

# More than the samples of a case have: for each step, each second, and all others together.
BYTES_OF_A_STEP, BYTES_OF_A_SECOND, SPARE_BYTES = 256, 2000, 1 << 22
SLOWEST_RTF = 50  # a case slower than that is taken to hang

Key = tuple[str, int, int, str, int, str, int, int, str]


@dataclass(frozen=True)
class Case:
    """One cell of a sweep."""

    bundle: Bundle
    block: int
    threads: int
    steps: int
    mode: str = BURST
    engine: str = ONNXRUNTIME
    repeat: int = 0
    stop_after_misses: int = 0
    """0: all steps, whatever they take."""
    protocol: str = ""
    """The published one that it belongs to, if any."""

    def __str__(self) -> str:
        engine = f" in {self.engine}" if self.engine != ONNXRUNTIME else ""
        mode = f", {self.mode}" if self.mode != BURST else ""
        repeat = f", repeat {self.repeat + 1}" if self.repeat else ""
        return f"{self.bundle.name}{engine}, block {self.block}, {count(self.threads, 'thread')}{mode}{repeat}"

    @property
    def key(self) -> Key:
        """What tells it from the others of its board."""
        how = (self.mode, self.steps, self.engine, self.repeat, self.stop_after_misses, self.protocol)
        return self.bundle.digest, self.block, self.threads, *how

    @property
    def period(self) -> float:
        """The length of a block, seconds."""
        return self.block / self.bundle.sample_rate


def identity(there: ReadyBoard, case: Case) -> str:
    """What makes two measurements the same one: the board, its software, the graph, the engine and the request."""
    site, name = there.site, there.connection.name
    facts = {key: site.facts[key] for key in ("hostname", "model", "cpu", "cores", "kernel", "python")}
    engine = f"torch {torch_version()}" if case.engine == TORCH else case.engine
    what = [graph_key(case.bundle, case.block), engine, _request(there, case), case.repeat, case.protocol]
    parts = [name, facts, site.runtime, site.runner, *what]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def graph_key(bundle: Bundle, block: int) -> str:
    """A hash of what a case of this block runs: its graph, the weights, the golden clip that is played.

    An export with other blocks beside it leaves it as it is, unless a block is so large that the clip gets longer.
    """
    files = {name: bundle.files[name].sha256 for name in _files_of(bundle, block)}
    parts = [bundle.name, bundle.weights, bundle.precision, bundle.sample_rate, bundle.hop, files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files_of(bundle: Bundle, block: int) -> set[str]:
    """The graph of a block, and all that is no graph."""
    return {*bundle.files} - {*bundle.graphs.values()} | {bundle.graphs[block]}


def _request(there: ReadyBoard, case: Case) -> dict[str, Any]:
    kind = descriptor(there.connection.name)
    return {
        "task": "measure",
        "mode": case.mode,
        "block": case.block,
        "threads": case.threads,
        "steps": case.steps,
        "stop_after_misses": case.stop_after_misses,
        "warmup": kind.warmup,
        "floor": kind.floor,
        "telemetry": not kind.counts_instructions,  # it would be counted along, and there is no temperature to be seen
        "tune": there.conditions.tuning,
        "system": there.conditions.system,
        "samples": "samples.npz",
    }


def measure(
    there: ReadyBoard, case: Case, folder: Path, cooldown: dict[str, Any] | None = None, profile: bool = False
) -> Arrays:
    """Measure a case in a fresh process; its result is on disk when this returns.

    Args:
        there: the board.
        case: what is measured.
        folder: of the results.
        cooldown: what became of the wait before it, kept with the case.
        profile: whether the model is profiled after it, in another process; one that fails is reported, but no error.

    Returns:
        The arrays that the runner gave.

    Raises:
        AgentError: the runner failed, or answered something else than it was asked; nothing is kept of it.
        ResultsError: what it answered is no result; nothing is kept of it.
    """
    request = _request(there, case)
    deadline = TASK_SECONDS + SLOWEST_RTF * (case.steps + request["warmup"]) * case.period
    begun = time.clock_gettime_ns(time.CLOCK_BOOTTIME)  # goes on while this machine sleeps, as the board does
    with there.held.quietly(deadline):
        record, samples = _run(there, case, request, deadline)
    passed = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - begun
    arrays = read_samples(io.BytesIO(samples), f"the samples of {case} on {there.connection.name}")
    try:
        check_answer(case, request, record, arrays["step_ns"].size)
        if descriptor(there.connection.name).clock == TIME:
            check_passed(case, arrays["step_ns"], passed)
    except AgentError as error:
        raise AgentError(error.reason, board=there.connection.name) from error
    more = {
        "cooldown": cooldown,
        "profile": _profile(there, case, deadline) if profile else None,
        "protocol": case.protocol or None,
    }
    entry = {**_entry(there, case, record), **{key: value for key, value in more.items() if value is not None}}
    append(folder, identity(there, case), entry, samples)
    return arrays


def check_answer(case: Case, request: dict[str, Any], record: dict[str, Any], steps: int) -> None:
    """`AgentError` unless a record and its number of timed steps are of this case and this request."""
    echo = record.get("request")
    echo = echo if isinstance(echo, dict) else {}
    pairs = {key: (echo.get(key), asked) for key, asked in request.items()}
    pairs |= {"model": (record.get("model"), case.bundle.name), "bundle": (record.get("digest"), case.bundle.digest)}
    wrong = [f"{key} {said!r:.40}, not {asked!r:.40}" for key, (said, asked) in pairs.items() if said != asked]
    if steps > case.steps or (steps < case.steps and not case.stop_after_misses):
        wrong.append(f"{steps} steps, not {case.steps}")
    if wrong:
        raise AgentError(printable(f"{case}: the runner's answer does not match the request: {', '.join(wrong)}"))


def check_passed(case: Case, step_ns: np.ndarray, passed_ns: int) -> None:
    """`AgentError` where steps took longer than this host has waited for all of it, by its own clock."""
    said = float(step_ns.sum(dtype=np.float64))
    if said > passed_ns:
        raise AgentError(f"{case}: its steps took {duration(said)}, but it answered after {duration(passed_ns)}")


def _run(there: ReadyBoard, case: Case, request: dict[str, Any], deadline: float) -> tuple[dict[str, Any], bytes]:
    """The record and the file of samples."""
    if case.engine == TORCH:
        return measure_here(case.bundle, request, deadline)
    record, files = there.run(case.bundle, request, {request["samples"]: _most(request, deadline)}, deadline=deadline)
    return record, files[request["samples"]]


def _most(request: dict[str, Any], deadline: float) -> int:
    """The bytes that the samples of a case can have: figures of each step, and telemetry ten times a second."""
    steps = request["steps"] + request["warmup"] + request["floor"]
    return SPARE_BYTES + BYTES_OF_A_STEP * steps + int(BYTES_OF_A_SECOND * deadline)


def _profile(there: ReadyBoard, case: Case, deadline: float) -> dict[str, Any] | None:
    from .profile import profile_case

    release = there.releases[case.bundle.digest]
    try:
        with there.held.quietly(deadline):
            return profile_case(there.connection, there.site, release, case.block, case.threads, deadline=deadline)
    except AgentError as error:
        say(f"{case}: no profile: {one_line(str(error))}")
        return None


def kept(there: ReadyBoard, case: Case, folder: Path) -> Arrays:
    """The arrays of a case that has been measured before."""
    return read_arrays(folder / SAMPLES / f"{identity(there, case)}.npz")


def _entry(there: ReadyBoard, case: Case, record: dict[str, Any]) -> dict[str, Any]:
    """The line of the results."""
    bundle, name = case.bundle, there.connection.name
    return {
        "board": name,
        "clock": descriptor(name).clock,
        "engine": case.engine,
        "repeat": case.repeat,
        "measured_at": time.time(),
        "facts": there.site.facts,
        "runtime": there.site.runtime,
        "runner": there.site.runner,
        "release": release_path(bundle),
        "graph": graph_key(bundle, case.block),
        "sample_rate": bundle.sample_rate,
        "weights": bundle.weights,
        "precision": bundle.precision,
        "parameters": bundle.parameters,
        "file_bytes": _bytes_of(bundle, case.block),
        "weight_bytes": _weight_bytes(bundle),
        "record": record,
    }


def _bytes_of(bundle: Bundle, block: int) -> int:
    """What one block size needs on disk: its graph and the weights."""
    return sum(bundle.files[name].size for name in _files_of(bundle, block) - {bundle.golden})


def _weight_bytes(bundle: Bundle) -> int:
    """What all graphs share on disk."""
    others = {bundle.golden, *bundle.graphs.values()}
    return sum(file.size for name, file in bundle.files.items() if name not in others)
