"""Ctrl-C, SIGTERM and a closed terminal lose nothing; `python tests/support/interrupts.py` tries them more often."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupts import COMMANDS, SIGNALS, Stage, goes_to_its_end, person, stage_of, tried
from tonearm.runtime.bundle import Bundle

TRIES = {"report": 2, "deploy": 1, "sweep": 1, "export": 1}  # of each signal: what takes little time, more often

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", TRIES)
def test_a_command_that_is_interrupted_ends_in_a_line_leaves_nothing_and_goes_on(
    name: str, tmp_path: Path, golden_bundle: Bundle
) -> None:
    stage = stage_of(name, tmp_path / name, golden_bundle.folder)
    for number in SIGNALS:
        row = tried(stage, number, TRIES[name], started=True)
        assert not row.problems(), "\n".join(row.problems())
    goes_to_its_end(stage)


def test_every_command_has_a_stage_of_its_own_folders(tmp_path: Path) -> None:
    stage = Stage("report", tmp_path, tmp_path, environment={"XDG_STATE_HOME": str(tmp_path / "state")})
    before = os.environ["XDG_STATE_HOME"]
    with person(stage):
        assert os.environ["XDG_STATE_HOME"] == str(tmp_path / "state")
    assert os.environ["XDG_STATE_HOME"] == before
    assert {*TRIES} < {*COMMANDS}


# A command in which somebody else's code swallows the interrupt; it has started a process, and has a temporary folder.
SWALLOWED = """
import signal, subprocess, sys, tempfile, time
from tonearm.bench import interrupts

def swallow():
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            pass

with interrupts.watched():
    folder = tempfile.TemporaryDirectory(prefix="tonearm-")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print(folder.name, child.pid, flush=True)
    swallow()
"""


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_interrupt_that_is_swallowed_ends_the_process_and_what_it_started(number: signal.Signals) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SWALLOWED], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        folder, child = process.stdout.readline().split()
        assert Path(folder).is_dir()
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert len(told.splitlines()) == 1 and "Finished results are kept" in told
    assert not Path(folder).exists()
    end = time.monotonic() + 60
    while is_running(int(child)) and time.monotonic() < end:  # it has been killed, and may not have ended yet
        time.sleep(0.05)
    assert not is_running(int(child))


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_what_was_started_with_a_signal_switched_off_does_not_end_by_it(number: signal.Signals, tmp_path: Path) -> None:
    words = f"trap '' {number.name[3:]}; exec \"$@\""
    script = (
        "import os, signal, sys\nfrom tonearm.bench import interrupts\n"
        f"with interrupts.watched():\n    os.kill(os.getpid(), {int(number)})\n    print('goes on')"
    )
    done = subprocess.run(["sh", "-c", words, "sh", sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")


def test_blocks_are_left_in_order_before_the_end() -> None:
    script = """
import os, signal, time
from tonearm.bench import interrupts

with interrupts.watched():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGINT)  # a person who is impatient does not disturb
        print("in order", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (143, "in order\n")
    assert "Traceback" not in done.stderr


def test_a_process_that_was_forked_is_not_taken_for_the_command() -> None:
    script = """
import os, signal, time
from tonearm.bench import interrupts

with interrupts.watched():
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    time.sleep(interrupts.SECONDS + 0.5)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{-signal.SIGTERM}\n", "")
