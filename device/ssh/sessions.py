"""The agent in sessions of a board's SSH server, one after the other: a server may allow only one at a time.

Channels are closed in order, the server's end first: one that we close while its command still runs takes a session
until that ends, and Dropbear mixes it up with the next one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import paramiko

from ..agent.protocol import CHUNK
from .client import BROKEN
from .reading import ChatterError, EndlessError, Reader, read_end

REFUSED_SECONDS = 8  # for which a refused session is asked for again: an earlier one may be about to end
END_SECONDS = 5
SEND_SECONDS = 0.5  # after which one looks whether the board speaks instead of listening


class NoCommandError(Exception):
    """The server opens a session and runs nothing in it."""


class Agent:
    """An agent that runs on the board. If it holds the board, it gives each further request a process of its own."""

    def __init__(self, transport: paramiko.Transport, silence: float, command: str) -> None:
        """Start it by a `command`, which reads its program."""
        self.silence, self.number = silence, 0  # of the last request; 0 is answered by the agent itself
        self.channel = _open(transport, silence)
        try:
            _execute(self.channel, silence, command)
            self.reader = Reader(self.channel, silence)
        except BaseException:
            self.drop()
            raise
        self._sending = threading.Lock()
        self._is_answering = False  # a process of its own, a request

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.channel.closed or self.channel.exit_status_ready()

    def has_left(self) -> bool:
        """Whether it has ended of itself, not by our doing."""
        return bool(self.channel.eof_received) or self.channel.exit_status != -1

    def send(self, piece: bytes) -> None:
        """More of a request's input."""
        with self._sending:
            self._push(b"+%d %d\n%b" % (self.number, len(piece), piece) if self.number else piece)

    def say(self, silence: float) -> None:
        """For so many seconds nothing may be heard of us."""
        with self._sending:
            self.channel.sendall(b"%d\n" % silence)

    def _push(self, content: bytes) -> None:
        """Send all of it; whoever speaks instead of reading it is heard meanwhile."""
        left, end = content, time.monotonic() + self.silence
        while left:
            try:
                sent = self.channel.send(left[:CHUNK])
            except TimeoutError:
                self.reader.is_answered()
                if time.monotonic() > end:
                    raise
            else:
                left, end = left[sent:], time.monotonic() + self.silence

    @contextlib.contextmanager
    def request(self) -> Iterator[Agent]:
        """One more request; whatever becomes of it, what comes afterwards is not of this one."""
        self.number += 1
        self._is_answering = True
        try:
            yield self
            self._finish(self.silence)
        except (*BROKEN, EndlessError, ChatterError):
            self.drop()
            raise
        except BaseException:
            self._give_up()
            raise

    def _finish(self, seconds: float) -> None:
        if self._is_answering:
            self.reader.allow(seconds, seconds)
            read_end(self.reader, self.number)
        self._is_answering = False

    def has_ended(self) -> None:
        """The process of the request has ended without an answer."""
        self._is_answering = False

    def _give_up(self) -> None:
        """Have the process of the request end, as nobody waits for it any more."""
        try:
            with self._sending:
                self._push(b".%d\n" % self.number)
            self._finish(END_SECONDS)
        except (*BROKEN, EndlessError, ChatterError):
            self.drop()

    def end(self) -> None:
        """End it by the end of its input, and wait for that."""
        self.channel.shutdown_write()
        self.reader.allow(END_SECONDS, END_SECONDS)
        with contextlib.suppress(TimeoutError, EndlessError, ChatterError):
            self.reader.rest()
            end = time.monotonic() + END_SECONDS
            while not self.channel.closed and time.monotonic() < end:
                time.sleep(0.002)
        self.channel.close()

    def drop(self) -> None:
        """Close its channel on the way out of an error, which is what counts: the connection may be broken already."""
        with contextlib.suppress(*BROKEN):
            self.channel.close()


def _open(transport: paramiko.Transport, silence: float) -> paramiko.Channel:
    """A session, asked for again where the server refuses it: it may still count one that has just ended."""
    end, wait = time.monotonic() + REFUSED_SECONDS, 0.05
    while True:
        try:
            return transport.open_session(timeout=silence)
        except paramiko.ChannelException:
            if time.monotonic() > end:
                raise
        time.sleep(wait)
        wait = min(1, 2 * wait)


def _execute(channel: paramiko.Channel, silence: float, command: str) -> None:
    channel.settimeout(SEND_SECONDS)
    late = threading.Timer(silence, channel.close)  # paramiko would wait for an answer without a bound
    late.start()
    try:
        channel.exec_command(command)
    except paramiko.SSHException as error:
        if channel.closed and not (channel.transport and channel.transport.is_active()):
            raise
        raise NoCommandError from error
    finally:
        late.cancel()
