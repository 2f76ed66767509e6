"""The SSH client's configuration: which hosts it names, and the way to one, with keys, agent, jump hosts, host keys."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import BoardError
from ..text import shortened
from .configfile import read_blocks
from .endpoint import SSH_PORT, Endpoint, Target, Way, check_host, check_port, check_user, parse_target
from .lookup import FOLDER, Lookup, included, me
from .tokens import at_home, expand, expand_path

_DEEPEST = 16  # jump hosts that need jump hosts
_FLAGS = {"yes": True, "true": True, "no": False, "false": False}
_MOST_SECONDS = (1 << 31) - 1  # that ssh takes
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def ssh_hosts() -> list[str]:
    """The hosts that ~/.ssh/config names, patterns apart, where the blocks they stand in count."""
    return sorted(name for name in set(_names(FOLDER.expanduser() / "config", set())) if _is_named(name))


def _names(path: Path, seen: set[Path]) -> Iterator[str]:
    """The hosts that a file and those that it includes name, whatever for, but for files that were seen."""
    try:
        blocks = () if path in seen else read_blocks(path)
    except BoardError:  # said when one of them is used
        return
    seen.add(path)
    for block in blocks:
        if block.head and block.head.keyword == "host":
            yield from (word for word in block.head.words or () if word and not set(word) & set("*?!"))
        for line in block.includes:
            for file in included(line, FOLDER.expanduser(), {}):
                yield from _names(file, seen)


def _is_named(name: str) -> bool:
    try:
        return Lookup(name, {}, active=False).is_named
    except BoardError:  # which is said of that host
        return True


def is_host(name: str) -> bool:
    """Whether a `Host` line that counts is about that name, apart from the one for all hosts."""
    try:
        check_host(name, name)  # before a command of `Match exec` has it
    except BoardError:
        return False
    return Lookup(name, {}).is_named


def find_way(target: Target, jump: str | None = None, names: bool = True) -> Endpoint:
    """The server that `target` means: what is said there and in `jump`, completed by the SSH client's configuration.

    `target.host` may be a host of that configuration. With `names` false no name is looked up in the network, and no
    command of `Match exec` is run.

    Raises:
        BoardError: the configuration makes no sense, or something there is not a host, a user or a port.
    """
    return _find(target, jump, names, 0)


def _find(target: Target, jump: str | None, names: bool, depth: int) -> Endpoint:
    if depth > _DEEPEST:
        raise BoardError(f"~/.ssh/config: the jump hosts (ProxyJump) to {target.host} form a loop")
    where = f"~/.ssh/config, Host {target.host}"
    check_host(target.host, where)
    said = {"user": target.user, "port": target.port, "proxyjump": jump, "proxycommand": "none" if jump else None}
    found = Lookup(target.host, {key: str(value) for key, value in said.items() if value}, names)
    user, port = check_user(_user(found, target.user), where), _port(found)
    alias = found.text("hostkeyalias").lower()
    tokens = found.tokens() | {"r": user, "p": str(port), "k": alias or target.host}
    way = _way(found, tokens, names, depth)
    return Endpoint(check_host(found.host, where), port, user, None, None, None if way == Way() else way)


def _port(found: Lookup) -> int:
    text = found.text("port", str(SSH_PORT))
    if re.fullmatch(r"\s*\+?[0-9]{1,9}", text):
        return check_port(int(text), found.where.get("port", ""))
    try:
        return socket.getservbyname(text, "tcp")
    except OSError as error:
        raise BoardError(
            f"{found.where['port']}: Port is {shortened(repr(text), 60)}, which is not a number"
        ) from error


def _user(found: Lookup, said: str | None) -> str:
    """Who logs in; a name of the file may have tokens, but for those that are made of it."""
    tokens = {letter: text for letter, text in found.tokens().items() if letter not in "rC"}
    return said or expand(found.text("user", me()), tokens, found.where.get("user", ""))


def _way(found: Lookup, tokens: Mapping[str, str], names: bool, depth: int) -> Way:
    usual, jumps = Way(), _jumps(found, tokens)
    return Way(
        identities=_files(found, "identityfile", tokens),
        certificates=_files(found, "certificatefile", tokens) or (),
        identities_only=_flag(found, "identitiesonly"),
        agent=_agent(found, tokens),
        alias=found.text("hostkeyalias").lower(),
        known_hosts=_or(_files(found, "userknownhostsfile", tokens), usual.known_hosts),
        global_known_hosts=_or(_files(found, "globalknownhostsfile", {}), usual.global_known_hosts),
        revoked=_files(found, "revokedhostkeys", tokens) or (),
        hash_names=_flag(found, "hashknownhosts"),
        hops=_hops(jumps, names, depth),
        command="" if jumps else _command(found, tokens),
        seconds=_seconds(found) or usual.seconds,
    )


def _files(found: Lookup, key: str, tokens: Mapping[str, str]) -> tuple[Path, ...] | None:
    """The files that an option names, none for the word `none`; None where it is not there."""
    if key not in found.options:
        return None
    names = [name for name in found.options[key] if name.lower() != "none"]
    if not tokens:  # that option has none
        return tuple(Path(at_home(name)) for name in names)
    return tuple(expand_path(name, tokens, found.where[key]) for name in names)


def _or(files: tuple[Path, ...] | None, usual: tuple[Path, ...]) -> tuple[Path, ...]:
    return usual if files is None else files


def _flag(found: Lookup, key: str) -> bool:
    text = found.text(key, "no")
    if text.lower() not in _FLAGS:
        raise BoardError(f"{found.where[key]}: {key} is {text!r}, which is neither yes nor no")
    return _FLAGS[text.lower()]


def _agent(found: Lookup, tokens: Mapping[str, str]) -> str:
    """The agent's socket; `$NAME` is one whose path the environment has."""
    text = found.text("identityagent", Way.agent)
    if text in ("none", Way.agent):
        return text
    path = str(expand_path(text, tokens, found.where["identityagent"]))
    return os.environ.get(path[1:], "none") if path.startswith("$") else path


def _seconds(found: Lookup) -> int:
    """How long to wait for a connection, as `1m30s` and the like; 0 where nothing is said."""
    text = found.text("connecttimeout", "none")
    if text == "none":
        return 0
    parts = re.findall(r"(\s*\+?[0-9]{1,10})([smhdw]?)", text.lower())
    seconds = sum(int(count) * _UNITS[unit] for count, unit in parts)
    is_time = "".join(map("".join, parts)) == text.lower() and all(unit for _, unit in parts[:-1])
    if not is_time or seconds > _MOST_SECONDS:
        said = shortened(repr(text), 60)
        raise BoardError(f"{found.where['connecttimeout']}: ConnectTimeout is {said}; write seconds, or 1m30s")
    return seconds


def _command(found: Lookup, tokens: Mapping[str, str]) -> str:
    """The ProxyCommand, as a shell gets it."""
    text = found.text("proxycommand", "none")
    if text.lower() == "none":
        return ""
    return expand(text, _of_a_proxy(tokens), found.where["proxycommand"], environment=False)


def _of_a_proxy(tokens: Mapping[str, str]) -> dict[str, str]:
    """The tokens that ProxyCommand and ProxyJump may have."""
    return {letter: tokens[letter] for letter in "hknpr"}


def _jumps(found: Lookup, tokens: Mapping[str, str]) -> list[Target]:
    """The jump hosts as they are named."""
    text = found.text("proxyjump", "none")
    if text.lower() == "none":
        return []
    expanded = expand(text, _of_a_proxy(tokens), found.where["proxyjump"], environment=False)
    return [parse_target(jump.strip()) for jump in expanded.split(",")]


def _hops(jumps: list[Target], names: bool, depth: int) -> tuple[Endpoint, ...]:
    """The way to the first jump host by its own configuration, then from each to the next."""
    hops: list[Endpoint] = []
    for jump in jumps:
        hop = _find(jump, "none" if hops else None, names, depth + 1)
        hops += [*hop.route.hops, hop]
    return tuple(hops)
