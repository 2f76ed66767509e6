"""What runs somebody's graph here has a deadline and hears Ctrl-C, whatever the graph does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apart_jobs import crashes, doubled, raises_more, refuses
from commands import program
from square_roots import HOP, root_bundle
from tonearm.export.apart import ApartError, run_apart
from tonearm.export.errors import ExportError, ForeignError, GraphError, VerifyError
from tonearm.export.foreign.convert import import_graph
from tonearm.export.prove import verify
from tonearm.runtime.clip import read_golden
from tonearm.runtime.progress import unwatched

TIMES = 300_000_000  # cheap ones, minutes in all: long before that the process is ended
LOOP = """
g (float[1, 64] x) => (float[1, 64] y) {
    y = Loop(times, yes, x) <body = again (int64 index, bool more, float[1, 64] before)
        => (bool still, float[1, 64] after) { still = Identity(more) after = Mul(before, near) }>
}"""


@pytest.fixture
def long_loop(save_graph: Callable[..., Path], tmp_path: Path) -> Path:
    """A graph of harmless parts, a call of which takes minutes."""
    how = {"times": np.array(TIMES), "yes": np.array(True), "near": np.array(0.999, np.float32)}
    return save_graph(tmp_path / "loop.onnx", LOOP, **how)


def alive(word: str) -> list[int]:
    """The processes that have it in their command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in command:
            found.append(int(entry.name))
    return found


def until(is_true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_import_of_a_graph_that_does_not_end_is_given_up_at_the_deadline(long_loop: Path, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"loop\.onnx can't be streamed: ONNX Runtime did not end within 3 s"):
        import_graph(long_loop, "loop", tmp_path / "bundles" / "loop", sample_rate=8000, deadline=3)
    assert not (tmp_path / "bundles").exists()


def test_a_short_loop_is_imported(save_graph: Callable[..., Path], tmp_path: Path) -> None:
    how = {"times": np.array(3), "yes": np.array(True), "near": np.array(0.999, np.float32)}
    done = import_graph(
        save_graph(tmp_path / "a.onnx", LOOP, **how), "a", tmp_path / "a", sample_rate=8000, deadline=60
    )
    assert done.error < 1e-6


def test_ctrl_c_ends_an_import_and_leaves_nothing(long_loop: Path, tmp_path: Path) -> None:
    own = tmp_path / "own-temporary"
    own.mkdir()
    command = program("import", long_loop.name, "--sample-rate", 8000)
    environment = {**os.environ, "TMPDIR": str(own)}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        until(lambda: len(alive(str(own))) == 1)
        time.sleep(1)  # so that it is in the call
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert alive(str(own)) == [] and list(own.iterdir()) == []
    assert not (tmp_path / "bundles").exists()


def test_a_command_that_is_killed_takes_the_graph_with_it(long_loop: Path, tmp_path: Path) -> None:
    own = tmp_path / "own-temporary"
    own.mkdir()
    command = program("import", long_loop.name, "--sample-rate", 8000)
    environment = {**os.environ, "TMPDIR": str(own)}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, env=environment) as process:
        until(lambda: len(alive(str(own))) == 1)
        process.kill()
    until(lambda: not alive(str(own)))


def test_a_check_of_an_export_that_does_not_end_in_time_is_an_error(tmp_path: Path) -> None:
    bundle = root_bundle(tmp_path / "root")
    golden = read_golden(bundle)
    assert verify(bundle, golden, "PyTorch", {HOP: None}) < 1e-6
    with pytest.raises(ExportError, match=r"ONNX Runtime did not end within 0\.01 s, streaming root"):
        verify(bundle, golden, "PyTorch", {HOP: None}, deadline=0.01)
    with pytest.raises(VerifyError, match=r"ONNX Runtime and PyTorch differ: .*output audio is wrong from block 0"):
        verify(bundle, {**golden, "audio": -golden["audio"]}, "PyTorch", {HOP: None})


def test_results_progress_and_errors_come_back() -> None:
    heard: list[Any] = []
    assert run_apart(doubled, 21, deadline=60, progress=lambda *what: heard.append(what)) == 42
    assert heard == [("half", 1, 2)]
    with pytest.raises(ForeignError, match=r"^it is not clear$"):
        run_apart(refuses, deadline=60)
    with pytest.raises(ApartError, match=r"^crashed \(killed by SIGABRT\)$"):
        run_apart(crashes, deadline=60)
    with pytest.raises(RuntimeError, match="OwnError: local"):
        run_apart(raises_more, deadline=60)


def test_an_interruption_while_it_waits_ends_the_other_process(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def interrupt(*what: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_apart(doubled, 1, deadline=60, progress=interrupt)
    assert alive(str(tmp_path)) == []
    assert run_apart(doubled, 1, deadline=60, progress=unwatched) == 2
