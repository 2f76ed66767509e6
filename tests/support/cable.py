"""A TCP proxy on the loopback, as bad as a cable can be: cut, pulled, slow, far away."""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import threading
import time
from collections import deque

PIECE = 4096


class Cable:
    """Carries connections to a port of 127.0.0.1 until it has carried `limit` bytes, both ways together.

    Then it is `cut` (both ends see the connection close) or, where `pulled`, carries nothing any more and nobody is
    told. `rate` is in bytes a second and `delay` in seconds, each way.
    """

    def __init__(
        self, port: int, limit: float = math.inf, pulled: bool = False, rate: float = math.inf, delay: float = 0
    ) -> None:
        self.board, self.limit, self.pulled, self.rate, self.delay = port, limit, pulled, rate, delay
        self.carried = 0
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Cable:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.close()
        self._close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                host, _ = self._listener.accept()
                board = socket.create_connection(("127.0.0.1", self.board))
                self._ends += [host, board]
                for one, other in ((host, board), (board, host)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        """One direction: a piece is on its way for `delay` seconds, and pieces follow each other at `rate`."""
        under_way: deque[tuple[float, bytes]] = deque()
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as ready:
            ready.register(source, selectors.EVENT_READ)
            ended = False
            while not ended or under_way:
                wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
                if not ended and ready.select(wait):
                    piece = self._allowed(source.recv(PIECE))
                    ended = not piece
                    under_way.append((time.monotonic() + self.delay, piece))
                    time.sleep(len(piece) / self.rate)
                elif ended and wait:
                    time.sleep(wait)
                while under_way and under_way[0][0] <= time.monotonic():
                    target.sendall(under_way.popleft()[1])
        if not (self.pulled and self.carried >= self.limit):
            self._hang_up(source, target)

    def _allowed(self, piece: bytes) -> bytes:
        """What of a piece is still carried; the rest falls off the cable's end."""
        with self._lock:
            allowed = piece[: int(min(len(piece), max(0.0, self.limit - self.carried)))]
            self.carried += len(allowed)
            spent = self.carried >= self.limit
        if spent and self.pulled:
            self.over.wait()  # neither end hears anything any more, until the test is over
        if spent:
            self._close()
        return allowed

    def _close(self) -> None:
        self._hang_up(*self._ends)

    @staticmethod
    def _hang_up(*ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
