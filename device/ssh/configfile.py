"""A file of the SSH client's configuration: its lines, in words, and the blocks that they stand in.

Quotes, escapes, comments and `=` are those of OpenSSH. Nothing is judged here: what a line of a block that does not
count says is of no interest.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
import re
from pathlib import Path
from typing import NamedTuple

from ..errors import BoardError

SPACE = " \t\r\n"
_HEADS = ("host", "match")
# Possessive, so that what is escaped is never read as a quote after all.
_PART = r"""\\["'\\ ]|"(?:\\["'\\]|[^"])*+"|'(?:\\["'\\]|[^'])*+'|[^ \t"']"""
_WORD = re.compile(rf"(?:{_PART})++(?=[ \t]|\Z)", re.DOTALL)
_PARTS = re.compile(_PART, re.DOTALL)
_ESCAPE = re.compile(r"""\\(["'\\])""")


class Line(NamedTuple):
    """What a line says, and where."""

    where: str
    keyword: str
    words: tuple[str, ...] | None
    """What follows, unquoted, without a comment; None where a quote is not closed."""
    rest: str
    """What follows as it is written, for commands."""


class Block(NamedTuple):
    """The lines from one `Host` or `Match` to the next; before the first of them there is no head."""

    head: Line | None
    lines: tuple[Line, ...]
    includes: tuple[Line, ...]
    """Those of the lines that name other files."""
    names: frozenset[str] | None
    """The only hosts that it can be about; None where its head has patterns, or is no list of hosts."""


def read_blocks(path: Path, check: bool = False) -> tuple[Block, ...]:
    """The blocks of a file, none where there is no such file.

    Raises:
        BoardError: with `check`, others than the person and root may write to it; or it can't be read.
    """
    try:
        status = path.stat()
        if check and not _is_ours(status):
            raise BoardError(f"{shown(path)} may be changed by others, so it is not used: own it, and chmod 600 it")
        return _read(path, status.st_mtime_ns, status.st_size, status.st_ino) if path.is_file() else ()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise BoardError(f"{shown(path)} can't be read: {error.strerror}") from error


def _is_ours(status: os.stat_result) -> bool:
    """Whether nobody but the person and root can write to a file."""
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o002:
        return False
    return not status.st_mode & 0o020 or _is_alone(status.st_gid)


def _is_alone(group: int) -> bool:
    """Whether the person is the one member of a group, as Debian has it: such a group may write, as there."""
    try:
        listed = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        return False
    users = pwd.getpwall()
    members = listed | {user.pw_name for user in users if user.pw_gid == group}
    return bool(members) and members <= {user.pw_name for user in users if user.pw_uid == os.getuid()}


def shown(path: Path) -> str:
    """The path as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


@functools.lru_cache(256)
def _read(path: Path, *_stamp: int) -> tuple[Block, ...]:
    """As `read_blocks`, once for each state of the file: there may be a lookup for each of many hosts."""
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    blocks: list[tuple[Line | None, list[Line]]] = [(None, [])]
    for number, raw in enumerate(text.split("\n"), 1):
        line = read_line(raw, f"{shown(path)} line {number}")
        if line and line.keyword in _HEADS:
            blocks.append((line, []))
        elif line:
            blocks[-1][1].append(line)
    return tuple(_block(head, lines) for head, lines in blocks)


def _block(head: Line | None, lines: list[Line]) -> Block:
    words = head.words or () if head and head.keyword == "host" else ("*",)
    names = None if set("".join(words)) & set("*?!") else frozenset(words)
    return Block(head, tuple(lines), tuple(line for line in lines if line.keyword == "include"), names)


def read_line(raw: str, where: str) -> Line | None:
    """One line; None where it says nothing."""
    raw = raw.partition("\0")[0]  # where a line ends for ssh, too
    keyword, rest = _first_word(raw.rstrip(SPACE + "\f"))
    if not keyword:  # there was space before it
        keyword, rest = _first_word(rest)
    if not keyword or keyword.startswith("#"):
        return None
    rest = rest.lstrip(SPACE)
    return Line(where, keyword.lower(), split_words(rest), rest.lstrip(SPACE + "="))


def _first_word(text: str) -> tuple[str, str]:
    """The word before a space, a quote or one `=`, and what follows these."""
    found = re.search(r'[ \t\r\n"=]', text)
    if not found:
        return text, ""
    before, after = text[: found.start()], text[found.end() :]
    if found[0] == '"':
        inside, closed, after = after.partition('"')
        return (before + inside if closed else ""), after.lstrip(SPACE)
    after = after.lstrip(SPACE)
    return before, after[1:].lstrip(SPACE) if found[0] != "=" and after.startswith("=") else after


def split_words(text: str) -> tuple[str, ...] | None:
    """Words as ssh splits them, up to a comment; None where a quote is not closed."""
    words, at = [], 0
    while at < len(text) and text[at] != "#":
        if text[at] in " \t":
            at += 1
            continue
        word = _WORD.match(text, at)
        if not word:
            return None
        words.append(_PARTS.sub(_unquoted, word[0]))
        at = word.end()
    return tuple(words)


def _unquoted(part: re.Match[str]) -> str:
    text = part[0]
    if text[0] in "\"'":
        return _ESCAPE.sub(r"\1", text[1:-1])
    return text[1:] if len(text) > 1 else text
