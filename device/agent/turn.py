"""How the agent holds the board for one host at a time.

Each turn is a process that has a lock on a file: the kernel takes it back however the process ends, so a lock can't
outlive it. A host that vanishes without a word (a pulled cable) is found by its silence: each line it sends says for
how many seconds it may be silent from then on.

The host's requests come through the process that holds the board, too, so that a server which allows one session at a
time is enough. Each is answered by a process of its own:

```
host -> board   60\n             the host may be silent for 60 s from now on
                +7 4096\n...     4096 bytes of the input of request 7, which begins with its line of JSON
                .7\n             request 7 gets no more: whoever waited for its answer does so no longer
board -> host   (an answer)      as that to any request
                TONEARM-1-END 7 0\n   the process of request 7 has ended, with exit status 0
```
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO, Callable, TextIO

from .protocol import CHUNK, END, RefusalError, answer, begin_anew, wait_until_nothing_is_said, write
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
    if hearing.poll(0):  # while it slept
        raise SystemExit(1)


def hold(root: Path, request: dict[str, Any], fulfil: Callable[[BinaryIO], None]) -> None:
    """Hold the board as long as standard input goes on; or say who holds it, after `wait` seconds.

    Meanwhile `fulfil` reads and answers each request, in a process of its own.

    What the same command held over a connection that it has lost is taken from it: `token` tells.
    """
    with (root / "turn").open("a+", errors="replace") as file:
        if not locked(file.fileno(), 0, root / "turn"):
            take_from_oneself(holder(file), request["token"])
        if not locked(file.fileno(), request["wait"], root / "turn"):
            age = max(0, int(time.time() - (root / "turn").stat().st_mtime))
            who = str(holder(file).get("who", "somebody"))
            answer({"held_by": who, "for_seconds": age, "restored": []}, [])
            return
        said = {"who": request["who"][:LONGEST_NAME], "token": request["token"], "process": os.getpid()}
        with contextlib.suppress(OSError):  # a full disk is no reason to be kept from making room
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), json.dumps(said).encode())
        answer({"held_by": "", "for_seconds": 0, "restored": end_temporary(root)}, [])
        wait_until_nothing_is_said()
        try:
            Relay(file.fileno(), request["silence"], fulfil).listen()
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


class Relay:
    """Reads what a host sends to the process that holds the board, and has its requests fulfilled one by one."""

    def __init__(self, lock: int, silence: float, fulfil: Callable[[BinaryIO], None]) -> None:
        self.lock, self.silence, self.fulfil = lock, silence, fulfil
        self.unread = b""
        self.latest = 0  # the number of the last request
        self.process = 0  # that answers it
        self.input = self.alive = -1  # its input; what ends when it does

    def listen(self) -> None:
        """Until the end of input, or a longer silence than was announced."""
        while True:
            ready = select.select([0] if self.alive < 0 else [0, self.alive], [], [], self.silence)[0]
            if self.alive in ready:
                self.finish()
                continue
            piece = os.read(0, CHUNK) if ready else b""
            self.unread += piece
            if not piece or not self.take_all():
                return

    def take_all(self) -> bool:
        """Do what the whole lines say that have been read; whether input goes on."""
        while b"\n" in self.unread:
            line, _, self.unread = self.unread.partition(b"\n")
            if line.startswith(b"+"):
                number, size = line[1:].split()
                if not self.relay(int(number), int(size)):
                    return False
            elif line.startswith(b"."):
                self.end_input(int(line[1:]))
            else:
                self.silence = float(line)
        return True

    def relay(self, number: int, size: int) -> bool:
        """Pass on so many bytes to a request's process, begun if it is a new one; whether they came."""
        if number > self.latest:
            self.finish()
            self.begin(number)
        while size:
            self.unread = self.unread or self.read_more()
            if not self.unread:
                return False
            piece, self.unread = self.unread[:size], self.unread[size:]
            size -= len(piece)
            self.pass_on(number, piece)
        return True

    def read_more(self) -> bytes:
        """What comes before the silence is too long; nothing otherwise."""
        return os.read(0, CHUNK) if select.select([0], [], [], self.silence)[0] else b""

    def pass_on(self, number: int, piece: bytes) -> None:
        """To the process of a request, if it still listens: one that refuses does not."""
        while piece and number == self.latest and self.input >= 0:
            try:
                piece = piece[os.write(self.input, piece) :]
            except BrokenPipeError:
                self.end_input(number)

    def begin(self, number: int) -> None:
        """A process that fulfils a request; it must not keep the lock."""
        (source, self.input), (self.alive, ended) = os.pipe(), os.pipe()
        self.latest, self.process = number, os.fork()
        if not self.process:
            for descriptor in (self.lock, self.input, self.alive):
                os.close(descriptor)
            os.dup2(source, 0)
            os.close(source)
            be(self.fulfil)
        os.close(source)
        os.close(ended)

    def end_input(self, number: int) -> None:
        """The end of a request's input, which tells it that nobody waits any more."""
        if number == self.latest and self.input >= 0:
            os.close(self.input)
            self.input = -1

    def finish(self) -> None:
        """Wait until the process of the last request has ended, and say so."""
        if self.alive < 0:
            return
        self.end_input(self.latest)
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        os.close(self.alive)
        self.alive = -1
        said = status if status >= 0 else 128 - status  # as a shell says it
        write(f"{END}{self.latest} {said}\n".encode())


def be(fulfil: Callable[[BinaryIO], None]) -> None:
    """What a process does that was forked to fulfil one request, and its end."""
    status = 1
    try:
        begin_anew()
        with open(0, "rb", closefd=False) as stream:
            fulfil(stream)
        sys.stdout.flush()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
