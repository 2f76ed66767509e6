"""Tonearm's commands: run in this process, which saves the seconds of a start, or each as a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tonearm.bench.cli import main

SECONDS = 300  # in which any command here is done
UNSEEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def tonearm(*arguments: object, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: it ends with `status`, unless that is None, and prints what a process would.

    The streams are caught at their file descriptors, so that what child processes say is in there; the consoles ask for
    `sys.stdout` and `sys.stderr` whenever they print. Warnings go to standard error. Any other error fails the test.
    """
    words = [*map(str, arguments)]
    with tempfile.TemporaryFile("w+", 1) as out, tempfile.TemporaryFile("w+", 1) as err:
        with _instead(1, out), _instead(2, err), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = _status(words)
        done = subprocess.CompletedProcess(words, ended, _whole(out), _whole(err))
    assert status in (None, done.returncode), done.stderr
    return done


def process(*arguments: object, status: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own, which ends with `status`, unless that is None; `options` go to `Popen`."""
    done = subprocess.run(program(*arguments), capture_output=True, text=True, timeout=SECONDS, check=False, **options)
    assert status in (None, done.returncode), done.stderr
    assert "Traceback" not in done.stderr
    return done


def program(*arguments: object) -> list[str]:
    """The words that start a command as a person does."""
    return [str(Path(sys.executable).parent / "tonearm"), *map(str, arguments)]


def _status(words: list[str]) -> int:
    with _shown_warnings():
        try:
            return main(words)
        except SystemExit as ended:  # wrong usage, --help
            assert isinstance(ended.code, int)
            return ended.code


@contextlib.contextmanager
def _shown_warnings() -> Iterator[None]:
    """Warnings as Python shows them by itself, while pytest would gather them."""

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: object) -> None:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))

    with warnings.catch_warnings():
        warnings.showwarning = show
        warnings.resetwarnings()
        for category in UNSEEN:
            warnings.simplefilter("ignore", category)
        yield


@contextlib.contextmanager
def _instead(number: int, file: IO[str]) -> Iterator[None]:
    """A file in the place of a file descriptor."""
    before = os.dup(number)
    os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        os.dup2(before, number)
        os.close(before)


def _whole(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
