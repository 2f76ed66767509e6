"""Results that a process was appending to when it was killed."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from made_results import append_for_ever, made_arrays, measured, packed
from tonearm.bench.results.store import CASES, SAMPLES, append, finished, load

KILLS, FOLDERS = 50, 10  # each folder is killed several times over
START_SECONDS = 60


def killed(folder: Path, start: int, seconds: float) -> dict[str, int]:
    """Append in another process, kill it that long after its first case; the steps of what it said was kept."""
    context = multiprocessing.get_context("forkserver")
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=append_for_ever, args=(folder, start, its))
    process.start()
    its.close()
    assert ours.poll(START_SECONDS)
    time.sleep(seconds)
    process.kill()
    process.join()
    kept = dict(said(ours))
    process.close()
    return kept


def said(pipe: Connection) -> list[tuple[str, int]]:
    found = []
    while True:
        try:
            found.append(pipe.recv())
        except EOFError:
            return found


def test_results_killed_at_fifty_random_moments_load_with_all_that_was_kept_and_go_on(tmp_path: Path) -> None:
    moments = random.Random(0)
    multiprocessing.get_context("forkserver").set_forkserver_preload(["tonearm.bench.results.store", "scipy.special"])
    for folder in (tmp_path / str(index) for index in range(FOLDERS)):
        kept: dict[str, int] = {}
        found: dict[str, int] = {}
        for _ in range(KILLS // FOLDERS):
            kept |= killed(folder, len(kept), moments.uniform(0, 0.05))
            cases = load(folder).cases
            found = dict(zip(cases["case"], cases["n"], strict=True))
            assert kept.items() <= found.items()
            assert finished(folder) == set(found)
        append(folder, "one-more", measured(), packed(made_arrays(np.arange(1001, 1010))))
        assert set(load(folder).cases["case"]) == {*found, "one-more"}


def test_reading_writes_nothing(tmp_path: Path) -> None:
    killed(tmp_path / "results", 0, 0.01)
    with (tmp_path / "results" / CASES).open("a") as stream:
        stream.write('{"format": 2, "id"')
    (tmp_path / "results" / SAMPLES / "left.npz.part").write_bytes(b"half")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*")}
    results = load(tmp_path / "results")
    assert len(results.steps) == results.cases["n"].sum()
    finished(tmp_path / "results")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*")} == before
