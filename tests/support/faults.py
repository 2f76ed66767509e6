"""What deploys and sweeps survive: each fault tried on a real OpenSSH server, or on a virtual machine.

    python tests/support/faults.py                    the table: fault, tries, survived, lost
    python tests/support/faults.py cut --tries 1000   one of them, more often

Survived: afterwards `current` is the old release or the new one, whole, and the next deploy succeeds; of a sweep, that
no finished case is lost, what is missing was told, and the next sweep has all.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from cable import Cable
from fault_boards import (
    Board,
    bundles,
    check,
    deploy,
    deploy_and_tell,
    fails,
    mount,
    mounted,
    noexec,
    odd_path,
    own_disk,
    plain,
    reset,
    signalled,
)
from fault_host import (
    folder_taken,
    machine_killed,
    obstacle,
    port_taken,
    results_full,
    two_start_it,
    two_sweeps,
    virtual,
)
from openssh import free_port, power_off, start
from tonearm.bench.output.console import err, out
from tonearm.bench.output.tables import Table
from tonearm.bench.results.store import read_cases
from tonearm.bench.sweep.plan import Plan
from tonearm.bench.sweep.run import sweep
from tonearm.device.descriptor import LOOPBACK
from tonearm.device.errors import DeviceError, NoSpaceError
from tonearm.device.ssh.connection import Connection
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.progress import Progress, unwatched

MANY = 20
TIME_OF_A_DEPLOY = 3.0  # seconds, about
SILENCE = 6.0  # seconds; what a person would wait is longer


def random_byte(board: Board, seed: int, proven: bool) -> int:
    """One of those that a deploy carries, after the board has been reset."""
    if proven not in board.lengths:
        reset(board, proven)
        with Cable(board.endpoint.port) as cable:
            deploy(board, board.new, cable.port)
            board.lengths[proven] = cable.carried
    reset(board, proven)
    return random.Random(seed).randrange(1, board.lengths[proven])


def cut(board: Board, seed: int) -> None:
    """The connection is cut at a random byte."""
    limit = random_byte(board, seed, proven=seed % 4 != 0)  # a quarter has the proof to do, too
    with Cable(board.endpoint.port, limit) as cable, contextlib.suppress(DeviceError):
        deploy(board, board.new, cable.port)
    check(board)


def pulled(board: Board, seed: int) -> None:
    """From a random byte on nothing comes through, and neither end is told: a pulled cable."""
    limit = random_byte(board, seed, proven=True)
    with Cable(board.endpoint.port, limit, pulled=True) as cable:
        with contextlib.suppress(DeviceError):
            deploy(board, board.new, cable.port, SILENCE)
        check(board)  # while the board still believes that the first host is there


def slow(board: Board, seed: int) -> None:
    """A link of 64 kB/s."""
    reset(board, proven=False)
    with Cable(board.endpoint.port, rate=64e3) as cable:
        deploy(board, board.new, cable.port)
    check(board)


def far(board: Board, seed: int) -> None:
    """A latency of 300 ms, there and back."""
    reset(board, proven=False)
    with Cable(board.endpoint.port, delay=0.15) as cable:
        deploy(board, board.new, cable.port)
    check(board)


def runner_killed(board: Board, seed: int) -> None:
    """SIGKILL, which is what the kernel sends where memory runs out, too."""
    reset(board, proven=False)
    with signalled(board, "tonearm.runtime.runner", signal.SIGKILL, random.Random(seed).random() / 5):
        fails(board, "SIGKILL")
    check(board)


def runner_hangs(board: Board, seed: int) -> None:
    """It is stopped, and its deadline ends it."""
    reset(board, proven=False)
    with signalled(board, "tonearm.runtime.runner", signal.SIGSTOP):
        fails(board, "took longer than 3 s", deadline=3)
    check(board)


def agent_killed(board: Board, seed: int) -> None:
    """SIGKILL for what works on the board on our behalf, at a random moment."""
    reset(board, proven=False)
    moment = random.Random(seed).random() * TIME_OF_A_DEPLOY
    with signalled(board, "import sys", signal.SIGKILL, moment), contextlib.suppress(DeviceError):
        deploy(board, board.new)
    check(board)


def host_killed(board: Board, seed: int) -> None:
    """The process that deploys gets SIGKILL, at a random moment."""
    reset(board, proven=False)
    fresh = multiprocessing.get_context("spawn")
    started = fresh.Event()
    host = fresh.Process(target=deploy_and_tell, args=(started, board))
    host.start()
    assert started.wait(120)
    host.join(random.Random(seed).random() * TIME_OF_A_DEPLOY)
    host.kill()
    host.join()
    check(board)


def two_at_once(board: Board, seed: int) -> None:
    """Two hosts deploy two models: one after the other, whoever comes first."""
    reset(board, proven=seed % 2 == 0)
    with ThreadPoolExecutor(2) as hosts:
        both = [hosts.submit(deploy, board, bundle) for bundle in (board.new, board.old)]
        for one in both:
            one.result()
    check(board)


def restarted(board: Board, seed: int) -> None:
    """The power fails in the middle of a sweep, and the board is back soon."""
    port = free_port()
    servers = [start(board.folder, port)]

    def power_cut() -> None:
        time.sleep(random.Random(seed).random() * TIME_OF_A_DEPLOY)
        power_off(servers.pop())
        servers.append(start(board.folder, port))

    def reach(name: str, progress: Progress) -> Connection:
        return Connection(name, replace(board.endpoint, port=port))

    thread = threading.Thread(target=power_cut)
    thread.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            plan = Plan(threads=(1, 2), modes=("burst",), repeats=1, output=Path(folder))
            swept = sweep(LOOPBACK, [board.old], plan, unwatched, reach)
            assert (swept.measured, len(read_cases(Path(folder)))) == (2, 2), swept
    finally:
        thread.join()
        power_off(servers.pop())
    reset(board, proven=True)
    check(board)


def banner(board: Board, seed: int) -> None:
    """The login shell prints things, one of which looks like an answer."""
    greeting = board.home / ".bashrc"
    greeting.write_text("echo 'Welcome to the board!'; printf 'TONEARM-1\\nTONEARM-1-PROGRESS nonsense\\n\\377\\n'\n")
    try:
        reset(board, proven=False)
        deploy(board, board.new)
        check(board)
    finally:
        greeting.unlink()


def read_only(board: Board, seed: int) -> None:
    """A home that can't be written to."""
    reset(board, proven=False)
    with mounted(board.home, "--bind", str(board.home)):
        mount("-o", "remount,ro,bind", str(board.home))
        fails(board, "Read-only file system")
    check(board)


def disk_full(board: Board, seed: int) -> None:
    """A disk of a random size that is too small, on a board whose home is a disk of its own."""
    reset(board, proven=False)
    home = board.home
    disk = shutil.disk_usage(home)
    room = random.Random(seed).randrange(sum(file.size for file in board.new.files.values()))
    mount("-o", f"remount,size={disk.used + room}", str(home))
    with contextlib.suppress(NoSpaceError):  # the oldest release may have made room enough
        deploy(board, board.new)
    mount("-o", f"remount,size={disk.total}", str(home))
    check(board)


def nothing(board: Board, seed: int) -> None:
    """Nothing but the board's own oddity."""
    reset(board, proven=False)
    deploy(board, board.new)
    check(board)


Fault = Callable[[Board, int], None]
Place = Callable[[Path, tuple[Bundle, Bundle]], contextlib.AbstractContextManager[Board]]
FAULTS: dict[str, tuple[str, int, Fault, Place]] = {
    "cut": ("connection cut at a random byte", 200, cut, plain),
    "pulled": ("cable pulled at a random byte: half-open", 2, pulled, plain),
    "slow": ("link of 64 kB/s", 1, slow, plain),
    "far": ("latency of 300 ms", 1, far, plain),
    "runner-killed": ("runner killed: SIGKILL, as when memory runs out", 5, runner_killed, plain),
    "runner-hangs": ("runner hangs", 2, runner_hangs, plain),
    "agent-killed": ("board's side killed at a random moment", 10, agent_killed, plain),
    "host-killed": ("host's side killed at a random moment", 5, host_killed, plain),
    "two-at-once": ("two hosts deploy at once", 5, two_at_once, plain),
    "restarted": ("power cut in the middle of a sweep", 5, restarted, plain),
    "banner": ("login shell that prints things", 1, banner, plain),
    "odd-path": ("home with spaces and quotes", 1, nothing, odd_path),
    "disk-full": ("disk full", 10, disk_full, own_disk),
    "read-only": ("read-only home", 1, read_only, plain),
    "noexec": ("temporary folder mounted noexec", 1, nothing, noexec),
    "folder-taken": ("results folder deleted in the middle of a sweep", 5, folder_taken, plain),
    "results-full": ("disk of the results full in the middle of a sweep", 5, results_full, plain),
    "two-sweeps": ("two hosts measure the same cases into one folder", 3, two_sweeps, plain),
    "two-start-it": ("two commands start the virtual board at once", 2, two_start_it, virtual),
    "machine-killed": ("virtual machine killed in the middle of a deploy", 3, machine_killed, virtual),
    "port-taken": ("another program has the virtual board's port", 1, port_taken, virtual),
}


def tried(name: str, tries: int, both: tuple[Bundle, Bundle], seed: int = 0) -> list[str]:
    """Try a fault so often, many tries on as many boards as there are processors; for each loss what went wrong."""
    boards = min(os.cpu_count() or 1, -(-tries // MANY))
    with ThreadPoolExecutor(boards) as pool:
        shares = [range(seed + number, seed + tries, boards) for number in range(boards)]
        return [loss for losses in pool.map(lambda share: tried_there(name, share, both), shares) for loss in losses]


def tried_there(name: str, seeds: range, both: tuple[Bundle, Bundle]) -> list[str]:
    """Try a fault with each seed on a board of its own."""
    _, _, fault, place = FAULTS[name]
    losses = []
    with tempfile.TemporaryDirectory(prefix="tonearm-") as folder, place(Path(folder) / "board", both) as board:
        for seed in seeds:
            try:
                fault(board, seed)
            except Exception:
                losses.append(f"{name}, seed {seed}: {traceback.format_exc()}")
    return losses


def main() -> None:
    """Try them all, or those that are named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", choices=[[], *FAULTS], help="default: all")
    parser.add_argument("--tries", type=int, help="default: as in the table below")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        both = bundles(Path(folder))
        for name in options.faults or FAULTS:
            about, tries, *_ = FAULTS[name]
            tries = options.tries or tries
            if reason := obstacle(name):
                rows.append((about, f"not tried: {reason}", "", ""))
                continue
            start = time.monotonic()
            losses = tried(name, tries, both, options.seed)
            err.print(f"{name}  [{time.monotonic() - start:.0f} s]", *losses)
            rows.append((about, str(tries), str(tries - len(losses)), str(len(losses))))
    out.print(Table("", ("fault", "tries", "survived", "lost"), rows, texts=("fault",)))


if __name__ == "__main__":
    main()
