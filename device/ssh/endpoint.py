"""Where a board answers, who it must be, and how one gets there."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import BoardError

SSH_PORT = 22
CONNECT_SECONDS = 20
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:%-]{0,253}")  # a ProxyCommand may hand it to a shell
_USER = re.compile(r"[A-Za-z0-9_.](?:[A-Za-z0-9._@\\+-]{0,62}[A-Za-z0-9._+-])?\$?")


@dataclass(frozen=True)
class Endpoint:
    """An SSH server and the identity that is expected there."""

    host: str
    port: int
    user: str
    key_file: Path | None
    """A key to begin with, which must be there."""
    host_key: str | None
    """The server's public key as one OpenSSH line, "ssh-ed25519 AAAA..."; None: ask known_hosts."""
    way: Way | None = None
    """None: the way there is the usual one."""

    @property
    def place(self) -> str:
        """`host:port`, as people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def route(self) -> Way:
        """The way there: `way`, or the usual one."""
        return self.way or Way()

    @property
    def known_as(self) -> str:
        """As known_hosts writes it."""
        if self.way and self.way.alias:
            return self.way.alias
        host = self.host.lower()
        return host if self.port == SSH_PORT else f"[{host}]:{self.port}"


@dataclass(frozen=True)
class Way:
    """What ~/.ssh/config says of the way to a server; the defaults are those of ssh."""

    identities: tuple[Path, ...] | None = None
    """Keys in the order to try them in; those that are not there are passed over. None: ~/.ssh/id_*."""
    certificates: tuple[Path, ...] = ()
    """Certificates of these keys, wherever they lie. None at all: KEY-cert.pub beside each key."""
    identities_only: bool = False
    """Of the agent's keys, only those among `identities`."""
    agent: str = "SSH_AUTH_SOCK"
    """The agent's socket, SSH_AUTH_SOCK for the usual one, or "none"."""
    alias: str = ""
    known_hosts: tuple[Path, ...] = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"))
    """Where host keys are known from; a new one goes into the first."""
    global_known_hosts: tuple[Path, ...] = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))
    revoked: tuple[Path, ...] = ()
    """Lists of host keys that are never accepted, and of authorities whose certificates are not."""
    hash_names: bool = False
    hops: tuple[Endpoint, ...] = ()
    """The jump hosts on the way, the nearest first."""
    command: str = ""
    """What to start instead of connecting (ProxyCommand)."""
    seconds: float = CONNECT_SECONDS


class Target(NamedTuple):
    """What a person names: `[USER@]HOST[:PORT]`; what is not said is None."""

    user: str | None
    host: str
    port: int | None


def parse_target(text: str) -> Target:
    """Read `[USER@]HOST[:PORT]` or the same after `ssh://`; an IPv6 address with a port is in brackets.

    Raises:
        BoardError: it is not of this form.
    """
    user, at, place = text.removeprefix("ssh://").rstrip("/").rpartition("@")
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(.*))?", place)
    if bracketed:
        host, port = bracketed.groups()
    elif place.count(":") == 1 and "/" not in place:
        host, port = place.split(":")
    else:  # a bare IPv6 address has more colons, and no port
        host, port = place, None
    return Target(
        check_user(user, text) if at else None,
        check_host(host, text),
        None if port is None else _read_port(port, text),
    )


def check_host(host: str, where: str) -> str:
    """`host`, if it can be a host's name or address; `BoardError`, which begins with `where`, otherwise."""
    if not _HOST.fullmatch(host) or (":" in host and not _is_ipv6(host)):
        raise BoardError(f"{where!r}: {host!r} is not a host name or address; write [USER@]HOST[:PORT]")
    return host


def _is_ipv6(host: str) -> bool:
    """Whether it is an address, with or without the interface that it is reached by."""
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def check_user(user: str, where: str) -> str:
    """`user`, if it can be a user's name; `BoardError`, which begins with `where`, otherwise."""
    if not _USER.fullmatch(user):
        raise BoardError(f"{where!r}: {user!r} is not a user name; write [USER@]HOST[:PORT]")
    return user


def check_port(port: int, where: str) -> int:
    """`port`, if there is such a port; `BoardError`, which begins with `where`, otherwise."""
    if not 0 < port < 1 << 16:
        raise BoardError(f"{where!r}: {port} is not a port; the usual one is {SSH_PORT}")
    return port


def _read_port(text: str, where: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BoardError(f"{where!r}: {text!r} is not a port; an IPv6 address with a port is written [ADDRESS]:PORT")
    return check_port(int(text), where)
