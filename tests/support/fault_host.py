"""Faults of this machine: what strikes a sweep's results, and the virtual board."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from commands import program
from fault_boards import Board, mount, mounted
from tonearm.bench.errors import UnkeptError
from tonearm.bench.results.store import SAMPLES, finished, load, read_cases
from tonearm.bench.sweep.plan import Plan
from tonearm.bench.sweep.run import Swept, sweep
from tonearm.device.descriptor import LOOPBACK
from tonearm.device.ssh.connection import Connection
from tonearm.device.virtual import qemu, start
from tonearm.device.virtual.process import processes, send
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.progress import Progress, unwatched

AS_ROOT = {"disk-full", "read-only", "noexec", "results-full"}  # they mount
WITH_QEMU = ("two-start-it", "machine-killed", "port-taken")
TIME_OF_A_SWEEP = 4.0  # seconds, about
SECONDS = 600  # in which any command here is done


def obstacle(name: str) -> str:
    """Why a fault can't be tried here, or nothing."""
    if name in AS_ROOT and os.getuid():
        return "only root can mount"
    return start.obstacle() if name in WITH_QEMU else ""


def swept(board: Board, folder: Path, reach: Callable[[str, Progress], Connection] | None = None) -> Swept:
    """Four short cases of the old model into a folder."""

    def there(name: str, progress: Progress) -> Connection:
        return Connection(name, board.endpoint)

    plan = Plan(threads=(1,), modes=("burst",), repeats=4, steps=100, output=folder)
    return sweep(LOOPBACK, [board.old], plan, unwatched, reach or there)


def check_results(folder: Path, cases: int) -> None:
    """So many cases are there, and each line goes with its samples."""
    assert len(read_cases(folder)) == cases
    assert finished(folder) == {case["id"] for case in read_cases(folder)}
    assert len(load(folder).cases) == cases
    assert not [*folder.rglob("*.part")]


def folder_taken(board: Board, seed: int) -> None:
    """The folder of results is deleted at a random moment of a sweep: it is told, and the next sweep has all."""
    folder = board.folder / "results"
    shutil.rmtree(folder, ignore_errors=True)
    moment = random.Random(seed).random() * TIME_OF_A_SWEEP
    thief = threading.Timer(moment, shutil.rmtree, [folder], {"ignore_errors": True})
    thief.start()
    try:
        swept(board, folder)
        thief.join()
        told = ""
    except UnkeptError as error:
        told = str(error)
    thief.join()
    assert len(read_cases(folder)) in (0, 4) or str(folder) in told, told
    swept(board, folder)
    check_results(folder, 4)


def results_full(board: Board, seed: int) -> None:
    """The disk of the results is full at a random case: it is told with the file, and the next sweep has all."""
    folder = board.folder / "full"
    room = 8192 + random.Random(seed).randrange(60_000)
    with mounted(folder, "-t", "tmpfs", "-o", f"size={room}", "none"):
        told = ""
        try:
            swept(board, folder / "results")
        except (UnkeptError, OSError) as error:
            told = str(error)
        assert not told or (str(folder) in told and "No space left" in told), told
        kept = len(read_cases(folder / "results"))
        mount("-o", "remount,size=64m", str(folder))
        assert swept(board, folder / "results").kept == kept
        check_results(folder / "results", 4)


def two_sweeps(board: Board, seed: int) -> None:
    """Two hosts (two homes) measure the same cases into one folder at the same time."""
    folder = board.folder / "shared"
    shutil.rmtree(folder, ignore_errors=True)
    words = ["sweep", "--board", LOOPBACK, "--models", board.old.folder, "--repeats", 2, "--steps", 100, "-o", folder]
    words += ["--modes", "burst"]
    homes = [{**os.environ, "XDG_STATE_HOME": str(board.folder / f"home{index}")} for index in range(2)]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(program(*words), env=home, stdout=pipe, stderr=pipe, text=True) for home in homes]
    told = [one.communicate(timeout=SECONDS) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    check_results(folder, 2)
    for case in read_cases(folder):
        steps = load(folder).samples(case["id"])["step_ns"].size
        assert steps == case["record"]["request"]["steps"]
    assert len([*(folder / SAMPLES).iterdir()]) == 2


VIRTUAL = f"virtual-faults-{os.getpid()}"


@contextlib.contextmanager
def virtual(folder: Path, bundles: tuple[Bundle, Bundle]) -> Iterator[Board]:
    """A virtual machine of its own."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(folder)
    try:
        up()
        endpoint = qemu.endpoint(VIRTUAL)
        assert endpoint
        yield Board(endpoint, folder / "tonearm" / "boards" / VIRTUAL, *bundles, folder)
    finally:
        qemu.down(VIRTUAL)
        os.environ.pop("XDG_STATE_HOME")
        os.environ.update({} if before is None else {"XDG_STATE_HOME": before})


def up() -> None:
    """`tonearm board up`, which must succeed."""
    done = subprocess.run(program("board", "up", VIRTUAL), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    where = qemu.endpoint(VIRTUAL)
    assert where and qemu.answers(where)


def two_start_it(board: Board, seed: int) -> None:
    """Two commands start the virtual board at once."""
    qemu.down(VIRTUAL)
    threads = [threading.Thread(target=up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(processes(board.folder)) == 1


def machine_killed(board: Board, seed: int) -> None:
    """The virtual machine is killed at a random moment of a deploy: it is told, and the next one succeeds."""
    up()
    words = program("deploy", board.new.folder, "--board", VIRTUAL)
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as deploy:
        time.sleep(random.Random(seed).random() * 20)
        send(board.folder, signal.SIGKILL)
        told = deploy.communicate(timeout=SECONDS)[1]
    assert "Traceback" not in told
    assert deploy.returncode == 0 or f"tonearm: {VIRTUAL}: " in told, told
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


def port_taken(board: Board, seed: int) -> None:
    """Another program listens where the virtual board did."""
    before = qemu.endpoint(VIRTUAL)
    assert before
    qemu.down(VIRTUAL)
    with socket.create_server((before.host, before.port)):
        up()
        after = qemu.endpoint(VIRTUAL)
        assert after and after.port != before.port
