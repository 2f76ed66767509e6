"""boards.toml: the boards of a person, in a file to edit by hand; what is not asked for stays as it was written."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import platformdirs

from .descriptor import descriptor
from .errors import UnknownBoardError
from .ssh.endpoint import check_host, check_port, check_user, parse_target

_OPTIONAL = {"user": str, "port": int, "key": str, "jump": str}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
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
    boards = check_new(name)
    text = _text()
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    _write(f"{text}{gap}[{_key(name)}]\n" + "\n".join(lines) + "\n", boards | {name: entry})


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
    """Take the board out of the file; the rest stays as it is written."""
    left = read_boards()
    text = without_entry(name)
    del left[name]
    _write(text, left)


def _text() -> str:
    path = boards_file()
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (UnicodeDecodeError, OSError) as error:
        raise UnknownBoardError(f"{path}: {error}") from error


def _says(text: str, boards: dict[str, dict[str, Any]]) -> bool:
    try:
        return tomllib.loads(text) == boards
    except tomllib.TOMLDecodeError:
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
    except tomllib.TOMLDecodeError as error:
        raise UnknownBoardError(f'{path}: {error}; a board is written as [name] and host = "..."') from error
    for name, entry in boards.items():
        check_entry(f"{path}: [{name}]", name, entry)
    return boards


def check_entry(where: str, name: str, entry: Any) -> None:
    """`UnknownBoardError` or `BoardError`, which begin with `where`, unless `entry` can be a board of that name."""
    if descriptor(name).is_built_in:
        raise UnknownBoardError(f"{where} is the name of a built-in board; call yours something else")
    if not isinstance(entry, dict) or not isinstance(entry.get("host"), str):
        raise UnknownBoardError(f'{where} needs host = "..."')
    unknown = sorted(set(entry) - {"host", *_OPTIONAL})
    if unknown:
        raise UnknownBoardError(f"{where}: unknown key {unknown[0]}; the keys are host, {', '.join(_OPTIONAL)}")
    wrong = [key for key, kind in _OPTIONAL.items() if key in entry and type(entry[key]) is not kind]
    if wrong:
        raise UnknownBoardError(f"{where} has a {wrong[0]} that is not {_OPTIONAL[wrong[0]].__name__}")
    _check_values(where, entry)


def _check_values(where: str, entry: dict[str, Any]) -> None:
    check_host(entry["host"], where)
    if "user" in entry:
        check_user(entry["user"], where)
    if "port" in entry:
        check_port(entry["port"], where)
    for jump in entry["jump"].split(",") if "jump" in entry else ():
        parse_target(jump.strip())
