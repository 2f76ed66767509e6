"""What stands for something else in the SSH client's configuration: `%h`, `${VARIABLE}`, `~`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import BoardError

_TOKEN = re.compile(r"%(.?)|\$\{([^}]*)(\}?)", re.DOTALL)


def expand(text: str, tokens: Mapping[str, str], where: str, environment: bool = True) -> str:
    """`text` with its tokens (by their letter) and, with `environment`, its `${VARIABLES}` replaced.

    Raises:
        BoardError: one of them means nothing; begins with `where`.
    """

    def meaning(found: re.Match[str]) -> str:
        letter, variable, closed = found.groups()
        if letter is not None:
            return _token(letter, tokens, where)
        return _variable(variable if closed else "", where) if environment else found[0]

    return _TOKEN.sub(meaning, text)


def _token(letter: str, tokens: Mapping[str, str], where: str) -> str:
    if letter != "%" and letter not in tokens:
        raise BoardError(f"{where}: %{letter} means nothing there; a percent sign itself is written %%")
    return "%" if letter == "%" else tokens[letter]


def _variable(name: str, where: str) -> str:
    if name not in os.environ:
        raise BoardError(f"{where}: the environment has no variable ${{{name}}}: set it, or write the value itself")
    return os.environ[name]


def at_home(text: str) -> str:
    """`text` with a `~` or `~user` that it begins with replaced; a `BoardError` where there is no such user."""
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError as error:
        raise BoardError(f"{text} begins with the home of a user that there is not") from error


def expand_path(text: str, tokens: Mapping[str, str], where: str) -> Path:
    """The file that `text` means; raises as `expand`."""
    try:
        return Path(at_home(expand(at_home(text), tokens, where)))
    except BoardError as error:
        raise error if str(error).startswith(where) else BoardError(f"{where}: {error}") from error
