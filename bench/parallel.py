"""Several boards at once: a thread and a line of progress each; one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from ..device.boards import board
from ..device.errors import reason_of
from ..device.ssh.connection import Connection
from ..runtime.errors import TonearmError
from ..runtime.progress import Progress
from .errors import BenchError
from .output.console import one_line, say, stage, stages, terminal_as_it_was

FAILURES = (TonearmError, OSError)  # what may become of a board; all else is a mistake of ours
GRACE_SECONDS = 5  # for threads that are told to stop

Reach = Callable[[str, Progress], AbstractContextManager[Connection]]
"""A connection to the board of that name, as `board` gives it."""
T = TypeVar("T")
Work = Callable[[str, Progress, Reach], T]


class _Stop:
    """Ends what other threads do: what they report raises KeyboardInterrupt there, what they have open is closed."""

    def __init__(self) -> None:
        self._event, self._lock = threading.Event(), threading.Lock()
        self._open: set[Connection] = set()

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        return self._event.is_set()

    def set(self) -> None:
        """Stop now."""
        self._event.set()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.close()

    def watch(self, progress: Progress) -> Progress:
        """A `report` that stops its thread."""

        def watched(detail: str, done: int, total: int) -> None:
            if self.is_set():
                raise KeyboardInterrupt
            progress(detail, done, total)

        return watched

    @contextlib.contextmanager
    def reach(self, name: str, progress: Progress) -> Iterator[Connection]:
        """`board`, whose connection is closed when it is time to stop."""
        with board(name, progress) as connection:
            with self._lock:
                self._open.add(connection)
            try:
                progress(f"reached {name}", 0, 0)
                yield connection
            finally:
                with self._lock:
                    self._open.discard(connection)


def at_once(
    names: Sequence[str], about: Callable[[str], str], work: Work[T]
) -> tuple[dict[str, T], dict[str, Exception]]:
    """Do `work(name, report, reach)` for several boards at once; `about(name)` is the line about it.

    Of several boards, one that fails is reported in a line as soon as it does. One board alone is worked on in this
    thread, and its error is raised.

    Returns:
        What was done and what failed, by board, in the order named.
    """
    if len(names) == 1:
        with stage(about(names[0])) as progress:
            return {names[0]: work(names[0], progress, board)}, {}
    done: dict[str, T] = {}
    failed: dict[str, BaseException] = {}
    stop = _Stop()
    with stages() as begin:

        def run(name: str) -> None:
            try:
                with begin(about(name), name) as progress:
                    done[name] = work(name, stop.watch(progress), stop.reach)
            except BaseException as error:
                failed[name] = error
                if isinstance(error, FAILURES) and not stop.is_set():
                    say(f"{name}: {one_line(reason_of(error))}")

        with terminal_as_it_was():
            _run_all([threading.Thread(target=run, args=(name,), daemon=True) for name in names], stop)
    return {name: done[name] for name in names if name in done}, _expected(names, failed)


def _run_all(threads: Sequence[threading.Thread], stop: _Stop) -> None:
    """Until all have ended, or, when this thread is interrupted, have been stopped."""
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.05)
    except BaseException:
        stop.set()
        end = time.monotonic() + GRACE_SECONDS
        for thread in threads:  # one that is still connecting is left behind: the process does not wait for it
            thread.join(max(0, end - time.monotonic()))
        raise


def _expected(names: Sequence[str], failed: Mapping[str, BaseException]) -> dict[str, Exception]:
    """The errors that can become of a board, in the order named; any other is raised."""
    found: dict[str, Exception] = {}
    for name in names:
        error = failed.get(name)
        if isinstance(error, FAILURES):
            found[name] = error
        elif error:
            raise error
    return found


def check(failed: Sequence[str], done: Sequence[str], hint: str = "") -> None:
    """`BenchError` says which boards failed, if any did, and which are done."""
    if failed:
        rest = f"; done on {', '.join(done)}" if done else ""
        raise BenchError(f"failed on {', '.join(failed)}{rest}{hint}")
