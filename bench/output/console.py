"""What a person sees: progress on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import functools
import getpass
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from ...device.text import printable
from ...runtime.progress import Progress, Remark, Waiting

# Where nobody's terminal sets the width, lines are as long as they need to be.
# What is printed may come from a board or a file: none of it is markup.
out = Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False)
err = Console(stderr=True, markup=False, highlight=False)

_live: list[Bars] = []  # the bars on the terminal now
_asking = threading.Lock()


Begin = Callable[[str, str], contextlib.AbstractContextManager[Progress]]


@contextlib.contextmanager
def stage(text: str) -> Iterator[Progress]:
    """A stage of the work: a live bar while it runs, then one line that says how long it took.

    The block gets a function to call with what is being done, and how much of how much is done.
    """
    with stages(named=False) as begin, begin(text, "") as progress:
        yield progress


@contextlib.contextmanager
def stages(named: bool = True) -> Iterator[Begin]:
    """Stages that may run at once, in threads: the block gets a `stage` that takes a name, to stand before its bar."""
    columns = (
        *([TextColumn("{task.fields[name]}", markup=False)] if named else []),
        SpinnerColumn(),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    drawn = Bars(*columns, console=err, transient=True, disable=not err.is_terminal)
    with drawn as bars, contextlib.ExitStack() as live:
        live.callback(_live.remove, bars)
        _live.append(bars)
        yield functools.partial(_begin, bars)


@contextlib.contextmanager
def _begin(bars: Bars, text: str, name: str) -> Iterator[Progress]:
    start = time.monotonic()
    if not err.is_terminal:
        say(f"{text} ...")
    task = bars.add_task(text, total=None, name=name)

    told: set[str] = set()

    def progress(detail: str, done: int, total: int) -> None:
        if isinstance(detail, Remark):
            say(one_line(detail))
            return
        if isinstance(detail, Waiting) and not err.is_terminal and detail.reason not in told:  # no hang, then
            told.add(detail.reason)
            say(detail.reason)
        bars.update(task, description=detail, completed=done, total=total or None)

    try:
        yield progress
    finally:
        bars.remove_task(task)
    say(text, time.monotonic() - start)


def ask(question: str, secret: bool) -> str | None:
    """The person's answer, typed unseen if it is a secret; None off a terminal. Bars stand still meanwhile."""
    if not (sys.stdin.isatty() and err.is_terminal):
        return None
    with _asking:
        bars = list(_live)
        for bar in bars:
            bar.stop()
        try:
            return getpass.getpass(question) if secret else _read(question)
        except EOFError:
            return ""
        finally:
            for bar in bars:
                bar.start()


@contextlib.contextmanager
def terminal_as_it_was() -> Iterator[None]:
    """A thread that is left behind while it asks for a secret leaves a terminal that shows nothing of what is typed."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _read(question: str) -> str:
    err.print(question, end="", soft_wrap=True)
    return sys.stdin.readline()


def say(text: str, seconds: float | None = None) -> None:
    """A line for the person, on standard error."""
    took = "" if seconds is None else f"  [{seconds:.1f} s]"
    err.print(f"{text}{took}", soft_wrap=True)


def say_without_bars(text: str) -> None:
    """A line of progress for a log: off a terminal, where no bar is drawn."""
    if not err.is_terminal:
        say(text)


def one_line(text: str) -> str:
    """What an error says, without anything that would move the cursor."""
    return printable(" ".join(text.split()))
