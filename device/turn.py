"""Exclusive use of a board: one host at a time deploys, plays or measures there."""

from __future__ import annotations

import contextlib
import getpass
import secrets
import socket
import threading
import time
from collections.abc import Iterator

from ..runtime.progress import Progress, Remark, Waiting
from .answers import Check, checked, count, list_of, text
from .errors import BusyError, UnreachableError
from .ssh.client import BROKEN
from .ssh.connection import LOST, Connection
from .ssh.sessions import Agent
from .text import shortened

# That the board waits before it says who is there: at first, and then, not to disturb them.
FIRST_SECONDS, LATER_SECONDS = 1, 30
PATIENCE_SECONDS = 900
BEAT_SECONDS = 15
LONGEST_NAME = 200
SILENCE_SECONDS = 60  # after which the board gives it to the next


def new_token() -> str:
    """A random token by which one piece of work takes its board back, should it lose the connection."""
    return secrets.token_hex(8)


class Turn:
    """Exclusive use of a board; `quietly` while something is measured there, `check` before something is changed."""

    def __init__(self, connection: Connection, agent: Agent) -> None:
        self._connection, self._agent = connection, agent
        connection.held = agent
        self._over = threading.Event()
        self._speaking = threading.Lock()
        threading.Thread(target=self._beat, daemon=True).start()

    def check(self) -> None:
        """`UnreachableError` when this host no longer has the board."""
        if self._agent.is_over():
            raise UnreachableError(LOST, board=self._connection.name)

    @contextlib.contextmanager
    def quietly(self, seconds: float) -> Iterator[None]:
        """Send nothing for up to so many seconds: the packets that keep the board would disturb the measurement."""
        with self._speaking:
            self._say(seconds + SILENCE_SECONDS)
            yield
            self._say(SILENCE_SECONDS)

    def end(self) -> None:
        """Release the board; `UnreachableError` when the connection has broken: then the board frees itself."""
        self._over.set()
        self._connection.held = None
        self._connection.end(self._agent)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with self._speaking:
                self._say(SILENCE_SECONDS)

    def _say(self, silence: float) -> None:
        with contextlib.suppress(*BROKEN):  # `check` tells
            self._agent.say(silence)


@contextlib.contextmanager
def turn(
    connection: Connection, what: str, progress: Progress, patience: float = PATIENCE_SECONDS, token: str = ""
) -> Iterator[Turn]:
    """Have the board to this host alone while the block runs; others wait.

    With the `token` of an earlier call whose connection is lost, the board is taken over from that one.

    Raises:
        BusyError: somebody else had it for longer than `patience` seconds; it says who.
        UnreachableError: the connection broke, even if only when the board was given back. What the block raises is
            never replaced.
    """
    who = f"{getpass.getuser()}@{socket.gethostname()}: {what}"
    held = Turn(connection, _wait(connection, who, token or new_token(), progress, time.monotonic() + patience))
    try:
        yield held
    except BaseException:
        with contextlib.suppress(UnreachableError):
            held.end()
        raise
    held.end()


def _wait(connection: Connection, who: str, token: str, progress: Progress, deadline: float) -> Agent:
    wait = FIRST_SECONDS
    while True:
        said, agent = connection.start("hold", who=who, token=token, wait=wait, silence=SILENCE_SECONDS)
        fields: dict[str, Check] = {"held_by": text, "for_seconds": count, "restored": list_of(text)}
        holder, since, restored = checked(connection.name, "an invalid answer", said, fields).values()
        if not holder:
            _tell_restored(connection.name, restored, progress)
            return agent
        connection.end(agent)
        wait = LATER_SECONDS
        holder = shortened(holder, LONGEST_NAME)
        if time.monotonic() > deadline:
            raise BusyError(
                f"in use by {holder} (for {since} s now); try again when they are done", board=connection.name
            )
        progress(Waiting(f"wait for {connection.name}, in use by {holder}", f" (for {since} s now)"), 0, 0)


def _tell_restored(name: str, governors: list[str], progress: Progress) -> None:
    if governors:
        what = shortened(", ".join(governors), LONGEST_NAME)
        progress(Remark(f"{name} was still tuned for a command that was killed; it is put back ({what})"), 0, 0)
