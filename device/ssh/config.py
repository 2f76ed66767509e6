"""~/.ssh/config: which hosts it names, and the way to one of them, with its keys, agent, jump hosts and host keys."""

from __future__ import annotations

import fnmatch
import getpass
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import paramiko

from ..errors import BoardError, UnknownBoardError
from .endpoint import CONNECT_SECONDS, SSH_PORT, Endpoint, Target, Way, check_host, check_port, check_user, parse_target

FOLDER = Path("~/.ssh")
_DEEPEST = 16  # files that include files, as ssh has it; also jump hosts that need jump hosts
_RAW = ("proxycommand", "localcommand", "remotecommand", "match")  # where a # need not begin a comment


def ssh_hosts() -> list[str]:
    """The hosts that ~/.ssh/config names, patterns apart."""
    return sorted(pattern for pattern in _host_patterns() if not set(pattern) & set("*?!"))


def is_host(name: str) -> bool:
    """Whether a `Host` line of ~/.ssh/config is about that name, apart from the one for all hosts."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in _host_patterns() - {"*"})


def find_way(target: Target, jump: str | None = None, names: bool = True) -> Endpoint:
    """The server that `target` means: what is said there and in `jump`, completed by ~/.ssh/config.

    `target.host` may be a host of that file. With `names` false no name is looked up in the network.

    Raises:
        BoardError: the file makes no sense, or something there is not a host, a user or a port.
    """
    return _find(target, jump, names, 0)


def _find(target: Target, jump: str | None, names: bool, depth: int) -> Endpoint:
    if depth > _DEEPEST:
        raise BoardError(f"~/.ssh/config: the jump hosts (ProxyJump) to {target.host} form a loop")
    found = _lookup(target, jump, names)
    where = f"~/.ssh/config, Host {target.host}"
    way = _way(found, where, depth)
    return Endpoint(
        host=check_host(found.get("hostname", target.host), where),
        port=check_port(_number(found.get("port", SSH_PORT), f"{where}: Port"), where),
        user=check_user(found.get("user") or getpass.getuser(), where),
        key_file=None,
        host_key=None,
        way=None if way == Way() else way,
    )


def _lookup(target: Target, jump: str | None, names: bool) -> Mapping[str, Any]:
    """The options for a host; those said on our side come first in the file, for there the first one counts."""
    first = {"User": target.user, "Port": target.port, "ProxyJump": jump}
    lines = [f"{key} {value}" for key, value in first.items() if value]
    lines += [] if names else ["CanonicalizeHostname no"]
    try:
        return paramiko.SSHConfig.from_text("\n".join([*lines, *_lines()])).lookup(target.host)
    except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize, KeyError, ValueError) as error:
        raise UnknownBoardError(f"~/.ssh/config can't be read by Tonearm: {error}") from error


def _way(found: Mapping[str, Any], where: str, depth: int) -> Way:
    usual = Way()
    agent = found.get("identityagent", usual.agent)
    keys = [Path(key).expanduser() for key in found.get("identityfile", []) if key.lower() != "none"]
    seconds = found.get("connecttimeout", "none")
    jumps = _jumps(found)
    return Way(
        identities=tuple(keys),
        identities_only=found.get("identitiesonly", "no").lower() == "yes",
        agent=agent if agent in ("none", usual.agent) else str(_path(agent.removeprefix("$"))),
        alias=found.get("hostkeyalias", ""),
        known_hosts=_files(found, "userknownhostsfile", usual.known_hosts),
        global_known_hosts=_files(found, "globalknownhostsfile", usual.global_known_hosts),
        hash_names=found.get("hashknownhosts", "no").lower() == "yes",
        hops=_hops(jumps, depth),
        command="" if jumps else found.get("proxycommand") or "",
        seconds=CONNECT_SECONDS if seconds == "none" else _number(seconds, f"{where}: ConnectTimeout"),
    )


def _jumps(found: Mapping[str, Any]) -> list[str]:
    """The jump hosts as they are named; ProxyJump and ProxyCommand exclude each other, the first one counts."""
    order = [key for key in found if key in ("proxyjump", "proxycommand")]
    if order[:1] != ["proxyjump"] or found["proxyjump"].lower() == "none":
        return []
    return [jump.strip() for jump in found["proxyjump"].split(",")]


def _hops(jumps: list[str], depth: int) -> tuple[Endpoint, ...]:
    """The way to the first jump host by its own configuration, then from each to the next."""
    hops: list[Endpoint] = []
    for jump in jumps:
        hop = _find(parse_target(jump), "none" if hops else None, True, depth + 1)
        hops += [*(hop.way.hops if hop.way else ()), hop]
    return tuple(hops)


def _files(found: Mapping[str, Any], key: str, usual: tuple[Path, ...]) -> tuple[Path, ...]:
    if key not in found:
        return usual
    return tuple(_path(name) for name in shlex.split(found[key]) if name.lower() != "none")


def _path(name: str) -> Path:
    return Path(name.replace("%d", str(Path.home()))).expanduser()


def _number(text: object, where: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", str(text)):
        raise BoardError(f"{where} is {text!r}, which is not a number")
    return int(str(text))


def _host_patterns() -> set[str]:
    words = [line.replace("=", " ", 1).split() for line in _lines()]
    return {word.strip('"') for line in words if line and line[0].lower() == "host" for word in line[1:]}


def _lines() -> list[str]:
    return list(_expanded(FOLDER.expanduser() / "config", 0))


def _expanded(path: Path, depth: int) -> Iterator[str]:
    """The file's lines, with those of the files it includes; after these, the block they stand in goes on."""
    block = "Host *"
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        key, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        bare = line if key.lower() in _RAW or '"' in line else re.sub(r"\s+#.*", "", line)
        if key.lower() in ("host", "match"):
            block = bare
        if key.lower() != "include":
            yield bare
        elif depth < _DEEPEST:
            yield from _included(rest, depth + 1)
            yield block


def _included(patterns: str, depth: int) -> Iterator[str]:
    for pattern in shlex.split(patterns, comments=True):
        # A relative name is one beside ~/.ssh/config; joining keeps an absolute one as it is.
        path = FOLDER.expanduser() / Path(pattern).expanduser()
        for file in sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))):
            yield from _expanded(file, depth)
