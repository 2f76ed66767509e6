"""How the agent holds the board for one host at a time.

Each turn is a process that has a lock on a file: the kernel takes it back however the process ends, so a lock can't
outlive it. A host that vanishes without a word (a pulled cable) is found by its silence: each line it sends says for
how many seconds it may be silent from then on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import time
from pathlib import Path
from typing import Any, TextIO

from .protocol import RefusalError, answer
from .tune import end_temporary

LONGEST_NAME = 200
ASK_AGAIN_SECONDS = 0.1
PATIENCE_SECONDS = 120


def take_turn(root: Path) -> None:
    """Wait until no other request works here: two at once would spoil what one of them measures.

    Whose host has gone meanwhile changes nothing any more.
    """
    hearing = select.poll()
    hearing.register(0, select.POLLRDHUP)
    descriptor, end = os.open(root, os.O_RDONLY), time.monotonic() + PATIENCE_SECONDS
    while not locked(descriptor, ASK_AGAIN_SECONDS, root):
        if hearing.poll(0):
            raise SystemExit(1)
        if time.monotonic() > end:
            raise RefusalError("busy", "an earlier task is still running there; try again in a few minutes")


def hold(root: Path, request: dict[str, Any]) -> None:
    """Hold the board as long as standard input goes on; or say who holds it, after `wait` seconds.

    What the same command held over a connection that it has lost is taken from it: `token` tells.
    """
    with (root / "turn").open("a+", errors="replace") as file:
        if not locked(file.fileno(), 0, root / "turn"):
            take_from_oneself(holder(file), request["token"])
        if not locked(file.fileno(), request["wait"], root / "turn"):
            age = max(0, int(time.time() - (root / "turn").stat().st_mtime))
            answer({"held_by": str(holder(file).get("who", "somebody")), "for_seconds": age}, [])
            return
        said = {"who": request["who"][:LONGEST_NAME], "token": request["token"], "process": os.getpid()}
        with contextlib.suppress(OSError):  # a full disk is no reason to be kept from making room
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), json.dumps(said).encode())
        answer({"held_by": "", "for_seconds": 0, "restored": end_temporary(root)}, [])
        try:
            listen(request["silence"])
        finally:
            end_temporary(root)


def holder(file: TextIO) -> dict[str, Any]:
    """What the one that has the lock has written."""
    file.seek(0)
    try:
        said = json.loads(file.read())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def take_from_oneself(said: dict[str, Any], token: str) -> None:
    """End the process that has the lock, if it has it for the same command: one of ours, by its command line."""
    process = said.get("process")
    if said.get("token") != token or not isinstance(process, int):
        return
    with contextlib.suppress(OSError):
        if Path(f"/proc/{process}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)


def locked(descriptor: int, seconds: float, path: Path) -> bool:
    """Whether the lock on `path`, opened as `descriptor`, could be had within so many seconds.

    Raises:
        RefusalError: what was opened is not there any more: somebody has removed all that was on the board.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(max(ASK_AGAIN_SECONDS, min(1, seconds / 30)))  # who waits long, waits quietly
        else:
            break
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise RefusalError("busy", "somebody else has just removed Tonearm's files there; try again")
    return True


def listen(silence: float) -> None:
    """Until the end of input, or a longer silence than was announced."""
    while select.select([0], [], [], silence)[0]:
        words = os.read(0, 1 << 10).split()  # several lines may have come at once: the last one counts
        if not words:
            return
        silence = float(words[-1])
