"""What comes from a board, bounded in bytes and in time: chatter, progress, an answer, its files.

A login shell may print anything before the answer, in lines or not: the answer is what follows our mark and is whole.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Mapping
from typing import Any

import paramiko

from ..agent.protocol import ANSWER, CHUNK, END, PROGRESS
from ..errors import AgentError, NoSpaceError
from ..text import printable, quoted, shortened

MAXIMUM_HEADER = 1 << 22
MAXIMUM_SAID = 1 << 20  # of chatter, on standard output and standard error each
SLOWEST = 1000  # bytes a second: files that come slower are given up
LOOK_SECONDS = 1.0
MARKS = 100  # look-alikes of our mark in one line
REASON = 1000  # characters of a refusal, which is in words of ours

Told = Callable[[int, int], None]


class EndlessError(Exception):
    """The board went on talking for longer than its work may take."""


class ChatterError(Exception):
    """The board printed more than anybody reads."""


class Chatter:
    """The last of what was said that is no answer, and how much there was."""

    def __init__(self) -> None:
        self.last, self.size = bytearray(), 0

    def add(self, piece: bytes) -> None:
        """Hear more; `ChatterError` when that is too much."""
        self.size += len(piece)
        self.last += piece
        if len(self.last) > 2 * CHUNK:
            del self.last[:-CHUNK]
        if self.size > MAXIMUM_SAID:
            raise ChatterError(f"it printed more than {MAXIMUM_SAID >> 20} MiB that are no answer: {self}")

    def __str__(self) -> str:
        return quoted(bytes(self.last), self.size - len(self.last))


class Reader:
    """Reads a channel. Nobody waits longer than `silence` seconds for a byte, nor for anything after `end`."""

    def __init__(self, channel: paramiko.Channel, silence: float) -> None:
        self.channel = channel
        self._unread = bytearray()
        self.allow(silence, silence)

    def allow(self, silence: float, seconds: float) -> None:
        """From now on it may be silent for so long, and have so many seconds for all of it."""
        self.silence, self.seconds, self.end = silence, seconds, time.monotonic() + seconds
        self.said, self.complaints = Chatter(), Chatter()

    def line(self) -> bytes:
        """The next line with its end; what there is at the end of all; no more of a line than an answer can have."""
        seen = 0
        while (end := self._unread.find(b"\n", seen)) < 0 and len(self._unread) <= MAXIMUM_HEADER:
            seen = len(self._unread)
            if not self._hear_more():
                break
        return self._take(end + 1 if end >= 0 else MAXIMUM_HEADER)

    def exactly(self, size: int) -> bytes:
        """So many bytes; `EOFError` when there are fewer."""
        while len(self._unread) < size:
            if not self._hear_more():
                raise EOFError("the answer was cut short")
        return self._take(size)

    def is_answered(self) -> bool:
        """Whether an answer has come, without waiting for it: of a board that refuses to read on."""
        while self.channel.recv_ready() and len(self._unread) < MAXIMUM_HEADER:
            self._unread += self.channel.recv(CHUNK)
        *lines, _ = bytes(self._unread).split(b"\n")
        return any(_parsed(line[at:]) is not None for line in lines for at in _marks(line))

    def rest(self) -> None:
        """Hear, and forget, what comes until the end."""
        self._unread.clear()
        while self._hear_more():
            self._unread.clear()

    def last_complaints(self) -> Chatter:
        """What was said on standard error, of one that has ended."""
        while self.channel.recv_stderr_ready():
            self.complaints.add(self.channel.recv_stderr(CHUNK))
        return self.complaints

    def _take(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    def _hear_more(self) -> bool:
        """Wait for more bytes; False at the end of all."""
        quiet, ready = time.monotonic() + self.silence, select.poll()
        ready.register(self.channel.fileno(), select.POLLIN)
        while not self._is_ready():
            left = min(quiet, self.end) - time.monotonic()
            if left <= 0:
                raise self._given_up() if quiet > self.end + LOOK_SECONDS / 10 else TimeoutError()
            ready.poll(1000 * min(left, LOOK_SECONDS))
        if time.monotonic() > self.end:
            raise self._given_up()
        piece = self.channel.recv(CHUNK)
        self._unread += piece
        return bool(piece)

    def _given_up(self) -> EndlessError:
        return EndlessError(f"it said that it works, gave no answer in {self.seconds:.0f} s and was given up")

    def _is_ready(self) -> bool:
        if self.channel.recv_stderr_ready():
            self.complaints.add(self.channel.recv_stderr(CHUNK))
        return bool(self.channel.recv_ready() or self.channel.eof_received or self.channel.closed)


def read_answer(reader: Reader, on_progress: Told, number: int = 0) -> dict[str, Any] | int | None:
    """The line of an answer: what it says.

    Args:
        reader: of the channel.
        on_progress: called with what is done, of how much.
        number: of the request, where one agent answers several. Before the first, 0, a login shell may have spoken:
            what looks like an answer and is none is passed over.

    Returns:
        Instead of an answer, the exit status of the process that should have given one; None where input ended.

    Raises:
        ValueError: what should be an answer is none.
    """
    wrong = b""
    try:
        while not (wrong and number) and (line := reader.line()):
            found = [_parsed(line[at:]) for at in _marks(line)]
            if answers := [said for said in found if said is not None]:
                return answers[0]
            if found:
                wrong = wrong or line
            elif number and _ends(line, number):
                return _status(line)
            elif PROGRESS.encode() in line:
                _tell(line.rpartition(PROGRESS.encode())[2], on_progress)
            else:
                reader.said.add(line)
    except TimeoutError:
        if not wrong:
            raise
    if wrong:
        raise ValueError(shortened(wrong.decode(errors="replace").strip(), 80))
    return None


def read_end(reader: Reader, number: int) -> None:
    """Pass over what comes until the process of a request has ended; `EOFError` where nothing more comes."""
    while not _ends(line := reader.line(), number):
        if not line:
            raise EOFError("closed after the answer")


def _ends(line: bytes, number: int) -> bool:
    """Whether the line says that the process of a request has ended; it may have begun a line of its own before."""
    return f"{END}{number} ".encode() in line


def _marks(line: bytes) -> list[int]:
    """Where an answer may begin in a line."""
    found, at = [], line.find(ANSWER.encode())
    while at >= 0 and len(found) < MARKS:
        found.append(at)
        at = line.find(ANSWER.encode(), at + 1)
    return found


def _parsed(line: bytes) -> dict[str, Any] | None:
    """What an answer says, if it is one."""
    try:
        said = json.loads(line[len(ANSWER) :])
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and ("error" in said or isinstance(said.get("files"), list)) else None


def _status(line: bytes) -> int:
    """The exit status in the line that says that a process has ended."""
    words = line.split()
    return int(words[-1]) if words[-1].isdigit() and len(words[-1]) < 10 else -1


def _tell(line: bytes, on_progress: Told) -> None:
    """Pass on a line `done total`; anything else is somebody's chatter."""
    words = line.split()
    if len(words) == 2 and all(word.isdigit() and len(word) < 10 for word in words):
        on_progress(int(words[0]), int(words[1]))


def refusal(name: str, said: dict[str, Any]) -> AgentError:
    """What a board says that it can't do."""
    reason, kind = shortened(said["error"], REASON), printable(said.get("kind", ""))[:40]
    if kind == "space":
        reason += "; free some space there (`df -h`) and try again"
        return NoSpaceError(reason, kind=kind, board=name)
    return AgentError(reason, kind=kind, board=name)


def read_files(reader: Reader, said: dict[str, Any], most: Mapping[str, int]) -> dict[str, bytes]:
    """The files that come with an answer, by name.

    Args:
        reader: of the channel.
        said: the answer.
        most: the files that were asked for, and how many bytes each can have.

    Raises:
        ValueError, TypeError, KeyError: it announces others, or larger ones.
    """
    sizes = {file["name"]: file["size"] for file in said["files"]}
    for name, size in sizes.items():
        if name not in most:
            raise ValueError(f"a file {shortened(repr(name), 80)} that was not asked for")
        if type(size) is not int or not 0 <= size <= most[name]:
            raise ValueError(f"{name} of {shortened(repr(size), 40)} bytes, where {most[name]} are the most")
    reader.allow(reader.silence, reader.silence + sum(sizes.values()) / SLOWEST)
    return {name: reader.exactly(size) for name, size in sizes.items()}
