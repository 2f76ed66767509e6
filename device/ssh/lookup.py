"""What the SSH client's configuration says of one host: ~/.ssh/config, then /etc/ssh/ssh_config, as `ssh -G` does.

It is read here, not asked of `ssh -G`: no ssh need be installed, `HOME` is where it is for the rest of Tonearm, names
and commands stay untouched where boards are only listed, and a line that makes no sense spoils no other host. The
tests compare both.
"""

from __future__ import annotations

import contextlib
import getpass
import glob
import hashlib
import os
import pwd
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import BoardError
from .canonical import canonical
from .conditions import asks_for_another_pass, fitting_pattern, match_holds, run_command
from .configfile import Line, read_blocks, shown
from .tokens import at_home, expand

FOLDER = Path("~/.ssh")
SYSTEM = Path("/etc/ssh/ssh_config")
_DEEPEST = 16  # files that include files, as ssh has it
_ONE = {
    *("hostname", "user", "port", "hostkeyalias", "identityagent", "identitiesonly", "hashknownhosts"),
    *("connecttimeout", "tag", "sessiontype", "canonicalizehostname", "canonicalizemaxdots"),
    *("canonicalizefallbacklocal", "identityfile", "certificatefile"),
}
_SEVERAL = {
    *("userknownhostsfile", "globalknownhostsfile", "revokedhostkeys"),
    *("canonicaldomains", "canonicalizepermittedcnames"),
}
_ADDED = {"identityfile", "certificatefile"}  # every line of these counts, of all others the first
_COMMANDS = {"proxycommand", "proxyjump"}
_OTHER_NAMES = {"identityfile2": "identityfile"}


def me() -> str:
    """Who runs this, as ssh sees it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return getpass.getuser()


class Lookup:
    """The options for one host, as they are written, by their names in lower case.

    Args:
        asked: the host, as a person names it.
        said: options that count before all files.
        active: whether names may be looked up in the network, and commands of `Match exec` run.

    Raises:
        BoardError: a line that counts for this host makes no sense, or a file can't be read.
    """

    def __init__(self, asked: str, said: Mapping[str, str], active: bool = True) -> None:
        self.asked = self.host = asked
        self.options = {key: [value] for key, value in said.items()}
        self.where = dict.fromkeys(said, f"{asked!r}")
        self.is_named = False
        """Whether a `Host` line is about it, apart from those for all hosts."""
        self._active, self._found, self._final, self._again = active, False, False, False
        if not active:
            self.options["canonicalizehostname"] = ["no"]
        self._read_all()
        self.host, self._found = canonical(self._hostname(), self.options), True
        if self._again or self.text("canonicalizehostname", "no").lower() not in ("no", "false"):
            self._final = True
            self._read_all()

    def text(self, key: str, usual: str = "") -> str:
        """The one value of an option."""
        return self.options[key][0] if key in self.options else usual

    def tokens(self) -> dict[str, str]:
        """What `%h` and the like stand for at this point."""
        local, user, jump = socket.gethostname(), self.text("user", me()), _jump_host(self.text("proxyjump"))
        host, port = self._hostname(), self.text("port", "22")
        connection = hashlib.sha1((local + host + port + user + jump).encode(), usedforsecurity=False)
        said = {"C": connection.hexdigest(), "L": local.split(".")[0], "d": str(Path.home()), "h": host, "l": local}
        alias = self.text("hostkeyalias", host)
        return said | {"k": alias, "n": self.asked, "p": port, "r": user, "u": me(), "i": str(os.getuid()), "j": jump}

    def _hostname(self) -> str:
        if self._found or "hostname" not in self.options:
            return self.host
        return expand(self.text("hostname"), {"h": self.host}, self.where["hostname"], environment=False)

    def _read_all(self) -> None:
        self._read(FOLDER.expanduser() / "config", True, FOLDER.expanduser(), 0, check=True)
        self._read(SYSTEM, True, SYSTEM.parent, 0)

    def _read(self, path: Path, counts: bool, folder: Path, depth: int, check: bool = False) -> None:
        """Take in a file, of which nothing counts where it is included by a block that does not."""
        if depth > _DEEPEST:
            raise BoardError(f"{shown(path)} includes itself, or files include files more than {_DEEPEST} deep")
        for block in read_blocks(path, check):
            if block.names is not None and self.host not in block.names and not block.includes:
                continue  # nothing in it matters, and there may be thousands
            now = block.head is None or self._holds(block.head, counts)
            for line in block.lines if counts and now else block.includes:
                if line.keyword == "include":
                    self._include(line, counts and now, folder, depth + 1)
                else:
                    self._take(line)

    def _holds(self, head: Line, counts: bool) -> bool:
        if head.keyword == "host":
            pattern = fitting_pattern(head, self.host)
            self.is_named |= counts and pattern not in ("", "*")
            return pattern != ""
        self._again |= asks_for_another_pass(head)  # ssh looks for it even where nothing counts
        return counts and match_holds(head, self._facts(), self._final, lambda command: self._run(command, head.where))

    def _facts(self) -> dict[str, str]:
        session = self.text("sessiontype").lower()
        return {
            "host": self._hostname(),
            "originalhost": self.asked,
            "user": self.text("user", me()),
            "localuser": me(),
            "tagged": self.text("tag"),
            "sessiontype": session if session in ("none", "subsystem") else "shell",
            "command": "",
        }

    def _run(self, command: str, where: str) -> bool | None:
        return run_command(expand(command, self.tokens(), where, environment=False), where) if self._active else None

    def _include(self, line: Line, counts: bool, folder: Path, depth: int) -> None:
        for file in included(line, folder, self.tokens()):
            self._read(file, counts, folder, depth, check=True)

    def _take(self, line: Line) -> None:
        """Take in an option, unless it is set already, or none of those that matter here."""
        key = _OTHER_NAMES.get(line.keyword, line.keyword)
        if not line.rest:
            raise BoardError(f"{line.where}: {line.keyword} has no value")
        if key in _COMMANDS:
            if key not in self.options and self._may_be(key):
                self._set(key, [line.rest.partition("#")[0].strip() if key == "proxyjump" else line.rest], line.where)
        elif key in _ADDED:
            values = self.options.get(key, [])
            new = [word for word in _values(line, key) if word not in values]
            self._set(key, [*values, *new], line.where)
        elif key in _ONE | _SEVERAL and key not in self.options and _values(line, key):
            self._set(key, _values(line, key), line.where)

    def _may_be(self, key: str) -> bool:
        """Of ProxyJump and ProxyCommand, whether that one may still be said: `ProxyJump none` leaves the other open."""
        if key == "proxyjump":
            return "proxycommand" not in self.options
        return self.text("proxyjump", "none").lower() == "none"

    def _set(self, key: str, values: list[str], where: str) -> None:
        self.options[key], self.where[key] = values, where


def included(line: Line, folder: Path, tokens: Mapping[str, str]) -> Iterator[Path]:
    """The files that an `Include` line names, relative to `folder`; passes over what can't be expanded, as ssh does."""
    for name in line.words or ():
        with contextlib.suppress(BoardError):
            pattern = str(folder / at_home(expand(name, tokens, line.where)))
            yield from map(Path, sorted(glob.glob(pattern)))  # noqa: PTH207  # as glob(3): no hidden files


def _values(line: Line, key: str) -> list[str]:
    words = line.words
    if words is None:
        raise BoardError(f"{line.where}: a quote is not closed")
    if not all(words) or (key in _ONE and len(words) != 1):
        raise BoardError(f"{line.where}: {line.keyword} takes {'one value' if key in _ONE else 'values'}; quote spaces")
    return list(words)


def _jump_host(jumps: str) -> str:
    """The host of the last jump host, as `%j` stands for it."""
    last = jumps.split(",")[-1].rpartition("@")[2]
    return "" if last.lower() == "none" else last.partition(":")[0]
