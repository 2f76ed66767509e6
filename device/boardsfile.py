"""boards.toml: the boards of a person, in a file to edit by hand; what is not asked for stays as it was written."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import platformdirs

from .descriptor import descriptor
from .errors import BoardError, UnknownBoardError
from .locks import exclusive
from .ssh.endpoint import Target, check_port, check_user, parse_target
from .text import shortened

_KEYS = {  # with what to write
    "host": 'host = "ADDRESS"',
    "user": 'user = "pi"',
    "port": "port = 22",
    "key": 'key = "~/.ssh/id_ed25519"',
    "jump": 'jump = "kim@lab:2222"',
}
_NO_TOML = (ValueError, RecursionError)  # also what has too many digits, or is nested too deeply
_LOCK_SECONDS = 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NUMBER, _LARGEST = re.compile(r"[0-9]{1,9}"), 10**9  # Python turns no number of any length into text, or back
_HEADER = re.compile(r"\s*\[")
_REMARK = re.compile(r"\s*(#.*)?")


def boards_file() -> Path:
    """The file a person edits: `[name]` with `host`, and perhaps `user`, `port`, `key`, `jump`."""
    return platformdirs.user_config_path("tonearm") / "boards.toml"


def read_boards() -> dict[str, dict[str, Any]]:
    """The boards of boards.toml; `UnknownBoardError` when the file makes no sense."""
    return _parse(_text())


def add_entry(name: str, entry: dict[str, Any]) -> None:
    """Append the board to the file, which is made when missing.

    Raises:
        UnknownBoardError: the name is odd, built in or taken.
    """
    with _alone():
        boards = check_new(name)
        text = _text()
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        _write(f"{text}{gap}[{_key(name)}]\n" + "\n".join(lines) + "\n", boards | {name: entry})


def _alone() -> contextlib.AbstractContextManager[None]:
    """For as long as the block lasts, no other process of Tonearm changes the file."""
    return exclusive(boards_file().with_name(".boards.lock"), _LOCK_SECONDS, UnknownBoardError)


def check_new(name: str) -> dict[str, dict[str, Any]]:
    """The boards there are; `UnknownBoardError` unless a board of yours can be called `name`."""
    if descriptor(name).is_built_in:
        raise UnknownBoardError(f"{name!r} is the name of a built-in board; call yours something else")
    if not _NAME.fullmatch(name):
        raise UnknownBoardError(f"{name!r} can't name a board: use letters, digits, '.', '_' and '-'")
    boards = read_boards()
    if name in boards:
        raise UnknownBoardError(
            f"there is a board {name!r} already, at {boards[name]['host']}. To trust its host key: tonearm board trust "
            f"{name}; to change it: {boards_file()}; to take it away: tonearm board remove {name}"
        )
    return boards


def without_entry(name: str) -> str:
    """The file's text without that board; remarks after it stay.

    Raises:
        UnknownBoardError: it is written in a way that only a person can take apart.
    """
    lines, left = _text().splitlines(keepends=True), read_boards()
    del left[name]
    header = re.compile(rf"""\s*\[\s*(["']?){re.escape(name)}\1\s*\]\s*(#.*)?""")
    start = next((at for at, line in enumerate(lines) if header.fullmatch(line.rstrip("\r\n"))), len(lines))
    end = next((at for at in range(start + 1, len(lines)) if _HEADER.match(lines[at])), len(lines))
    while end > start + 1 and _REMARK.fullmatch(lines[end - 1].rstrip("\r\n")):
        end -= 1  # what stands before the next board belongs to that one
    text = "".join(lines[:start] + lines[end:])
    if not _says(text, left):
        raise UnknownBoardError(f"{boards_file()} uses TOML that Tonearm can't edit safely: remove [{name}] by hand")
    return text


def remove_entry(name: str) -> None:
    """Take the board out of the file, if another command has not done so meanwhile; the rest stays as it is written."""
    with _alone():
        left = read_boards()
        if name not in left:
            return
        text = without_entry(name)
        del left[name]
        _write(text, left)


def _text() -> str:
    path = boards_file()
    try:
        return path.read_bytes().decode("utf-8-sig")  # some editors put a mark before the text
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UnknownBoardError(f"{path} is not text in UTF-8: save it as such") from error
    except OSError as error:
        raise UnknownBoardError(f"{path}: {error}") from error


def _says(text: str, boards: dict[str, dict[str, Any]]) -> bool:
    try:
        return tomllib.loads(text) == boards
    except _NO_TOML:
        return False


def _write(text: str, boards: dict[str, dict[str, Any]]) -> None:
    """Put `text`, which must mean `boards`, in the file's place in one step; a link to it stays one."""
    if not _says(text, boards):
        raise UnknownBoardError(f"{boards_file()} uses TOML that Tonearm can't edit safely: change it by hand")
    path = boards_file().resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        part = Path(file.name)
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            part.chmod(mode)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _parse(text: str) -> dict[str, dict[str, Any]]:
    path = boards_file()
    try:
        boards = tomllib.loads(text)
    except _NO_TOML as error:
        raise UnknownBoardError(f'{path}: {shortened(error)}; a board is written as [name] and host = "..."') from error
    for name, entry in boards.items():
        check_entry(f"{path}: [{name}]", name, entry)
    return boards


def check_entry(where: str, name: str, entry: Any) -> None:
    """`UnknownBoardError`, which begins with `where` and says what to write, unless `entry` can be that board."""
    if descriptor(name).is_built_in:
        raise UnknownBoardError(f"{where} is the name of a built-in board; call yours something else")
    if not isinstance(entry, dict):
        raise UnknownBoardError(f'{where} is no board: write [{_key(name)}] on a line, and host = "ADDRESS" below it')
    unknown = sorted(set(entry) - set(_KEYS))
    if unknown:
        raise UnknownBoardError(f"{where}: unknown key {unknown[0]}; the keys are {', '.join(_KEYS)}")
    if "host" not in entry:
        raise UnknownBoardError(f"{where} needs {_KEYS['host']}")
    for key, value in entry.items():
        if not _can_be(key, value):
            raise UnknownBoardError(f"{where}: {key} can't be {_shown(value)}; write {_KEYS[key]}")
    try:
        target_of(entry)
        for jump in (jump_of(entry) or "").split(",") if "jump" in entry else ():
            parse_target(jump.strip())
    except BoardError as error:
        raise UnknownBoardError(f"{where}: {error}") from error


def _shown(value: Any) -> str:
    try:
        return shortened(json.dumps(value, default=str), 100)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return "what is written there"


def _can_be(key: str, value: Any) -> bool:
    """Whether a value is of a kind whose meaning is plain; whether it is right is another question."""
    if key == "port":
        if isinstance(value, str):
            return _NUMBER.fullmatch(value.strip()) is not None
        return type(value) is int and abs(value) < _LARGEST
    if key == "jump" and isinstance(value, list):
        return bool(value) and all(isinstance(part, str) for part in value)
    return isinstance(value, str) and value.strip() != ""


def target_of(entry: dict[str, Any]) -> Target:
    """Where a board is: `host` may be anything that a target can be, `ssh://kim@[fe80::1]:22` for one.

    Raises:
        BoardError: there is no such host, user or port, or one of them is said twice, differently.
    """
    said = parse_target(entry["host"].strip())
    user = check_user(entry["user"].strip(), "user") if "user" in entry else None
    port = check_port(int(entry["port"]), "port") if "port" in entry else None
    for key, inside, beside in (("user", said.user, user), ("port", said.port, port)):
        if None not in (inside, beside) and inside != beside:
            raise BoardError(f"host says {key} {inside}, and {key} is {beside}: leave one of them out")
    return Target(said.user or user, said.host, said.port or port)


def jump_of(entry: dict[str, Any]) -> str | None:
    """The jump hosts, as ProxyJump has them."""
    jump = entry.get("jump")
    return ",".join(jump) if isinstance(jump, list) else jump
