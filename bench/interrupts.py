"""Ctrl-C, SIGTERM and a closed terminal: a command ends within two seconds, in order if it can.

    signal -> Python's handler, once the main thread comes to it: KeyboardInterrupt, every block is left in order
           -> at once, whatever the main thread is in: a byte to a thread that waits, and then ends the process

The second way is for code of other languages that returns late, and for an interrupt that others' code swallows.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

KEPT = "Finished results are kept; a board runs either its previous or its new release."
INTERRUPTED = f"Interrupted. {KEPT}"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS = 1.5  # in which blocks are left in order
SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"

_seen: list[int] = []
_spared: list[int] = []
_leaving = threading.Lock()
_held = threading.local()


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """The block is a command, and this process is there for it alone: one that is signalled ends here."""
    try:
        _watch()
        yield
    except BaseException:
        if not _seen:
            raise
    finally:
        if _seen:
            _leave(_seen[0])
        for number in SIGNALS:
            if signal.getsignal(number) == _interrupt:  # it is over, and nothing is left to interrupt
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)


def is_seen() -> bool:
    """Whether the command is being ended: what goes wrong then is nobody's concern."""
    return bool(_seen)


@contextlib.contextmanager
def sparing(number: int) -> Iterator[None]:
    """The block has a handler of its own for the first of these signals, after which it ends in its own time."""
    _spared.append(number)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            _spared.remove(number)


def _watch() -> None:
    """Take notice of the signals; those that whoever started us has switched off (nohup, &) stay so."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.unraisablehook = _quiet(sys.unraisablehook)
    threading.excepthook = _quiet(threading.excepthook)
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_forget)
    threading.Thread(target=_end_in_time, args=(ours, _terminal()), daemon=True).start()


def _interrupt(number: int, frame: object) -> None:
    if not _seen:  # whatever comes after it does not disturb what puts things in order
        _seen.append(number)
        raise KeyboardInterrupt


def _quiet(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """Nobody is to see where an interrupt struck."""
    return lambda what: None if _seen else hook(what)


def _hold_back() -> None:
    """A signal for a process that is being forked waits until it has forgotten whose part it is."""
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _forget() -> None:
    """In a process that was forked: it is a part of the command, and answers to it alone."""
    signal.set_wakeup_fd(-1)
    for number, handler in zip(SIGNALS, (signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL), strict=True):
        if signal.getsignal(number) == _interrupt:
            signal.signal(number, handler)
    _let_through()


def _end_in_time(pipe: int, put_back: Callable[[], None]) -> None:
    """Wait for a signal, and end the process where the main thread does not."""
    number = _next(pipe)
    time.sleep(SECONDS)
    put_back()
    _leave(number)


def _next(pipe: int) -> int:
    while True:
        for number in os.read(pipe, 16):
            if number in _spared:
                _spared.remove(number)
            elif number in SIGNALS:
                return number


def _terminal() -> Callable[[], None]:
    """What makes the terminal as it is now: it may be left while a secret is asked for."""
    if not sys.stdin or not sys.stdin.isatty():
        return lambda: None
    import termios

    before = termios.tcgetattr(0)

    def put_back() -> None:
        with contextlib.suppress(termios.error, OSError):
            if os.tcgetpgrp(0) == os.getpgrp():  # else it would stop us
                termios.tcsetattr(0, termios.TCSANOW, before)

    return put_back


def _leave(number: int) -> NoReturn:
    """End now: nothing that was started goes on, what is temporary is removed, and one line is said."""
    if not _leaving.acquire(blocking=False):
        time.sleep(10 * SECONDS)  # the other thread is at it
    for process in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # temporary folders, for one, register there
    cause = "Interrupted" if number == signal.SIGINT else f"Ended by {signal.Signals(number).name}"
    with contextlib.suppress(OSError, ValueError):
        if select.select([], [2], [], 0.2)[1]:  # a terminal that is held does not hold us
            os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + f"{cause}. {KEPT}\n".encode())
    os._exit(128 + number)


def _descendants(process: int) -> list[int]:
    """All that a process has started, and that they have; not what has been made to outlive it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # a thousand times the price
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat") as stat:  # noqa: PTH123
                children.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found[1:]
