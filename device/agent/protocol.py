"""How the agent answers: a line of JSON and then files, or why not."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

ANSWER = "TONEARM-1 "
PROGRESS = "TONEARM-1-PROGRESS "
END = "TONEARM-1-END "
ALIVE_SECONDS = 2
SILENT_SECONDS = 60  # a host that neither sends nor reads for so long is gone
CHUNK = 1 << 16
# The agent's parts as they are sent, each after those it imports; `main` is the last.
PARTS = ("protocol", "facts", "limits", "examine", "files", "tune", "releases", "remove", "runtimes", "tasks", "turn")

_speaking = threading.Lock()
_answered = threading.Event()


class RefusalError(Exception):
    """What the board can't do, in words for a person; `kind` is for the program."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def stay_alive_only_with_a_host() -> None:
    """Begin to wait for the host: a cable that was pulled is no end of file, and a lock would be held for good."""
    signal.alarm(SILENT_SECONDS)  # its default action ends the process, and with it every lock


def wait_no_more() -> None:
    """The host was there."""
    signal.alarm(0)


def keep_saying_that_it_works() -> None:
    """Say so until the answer: a host that hears nothing can tell a dead board from a busy one."""
    threading.Thread(target=_say_so, daemon=True).start()


def begin_anew() -> None:
    """In a process that has just been forked: nothing has been answered yet."""
    global _speaking, _answered
    _speaking, _answered = threading.Lock(), threading.Event()


def wait_until_nothing_is_said() -> None:
    """After an answer: until this is the only thread, for only then may the process fork."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()


def _say_so() -> None:
    while not _answered.wait(ALIVE_SECONDS):
        with _speaking:
            if _answered.is_set():
                return
            try:
                os.write(1, PROGRESS.encode() + b"\n")
            except OSError:
                return


def answer(header: dict[str, Any], paths: list[Path]) -> None:
    """Write the answer's line and the files' bytes."""
    header = {**header, "files": [{"name": path.name, "size": path.stat().st_size} for path in paths]}
    with _speaking:
        _answered.set()
    write((ANSWER + json.dumps(header) + "\n").encode())
    for path in paths:
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                write(chunk)


def write(content: bytes) -> None:
    """To the host, all of it."""
    stay_alive_only_with_a_host()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    wait_no_more()
