"""Host keys: who a server must be, as known_hosts says, and how a person comes to trust a new one.

A line of known_hosts is `[@marker] names type base64 [comment]`; names are patterns (`*.local,!lab.local`) or one
hashed name (`|1|salt|hash`).
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import paramiko

from ..errors import HostKeyError
from ..prompts import ask
from .endpoint import Endpoint, Way

_RSA = ("rsa-sha2-512", "rsa-sha2-256")  # what a key of type ssh-rsa signs with


class KnownKey(NamedTuple):
    """What a line says of a server: `marker` is "", "@revoked" or "@cert-authority"."""

    marker: str
    kind: str
    blob: bytes


def known_keys(endpoint: Endpoint) -> list[KnownKey]:
    """All that is known of the keys of a server: its own one key if it is built in, else from the person's files."""
    if endpoint.host_key:
        kind, data = endpoint.host_key.split()[:2]
        return [KnownKey("", kind, base64.b64decode(data))]
    way = endpoint.way or Way()
    return [key for path in (*way.known_hosts, *way.global_known_hosts) for key in _read(path, endpoint.known_as)]


def _read(path: Path, name: str) -> Iterator[KnownKey]:
    try:
        lines = path.expanduser().read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or not _is_named(name, words[0]):
            continue
        try:
            yield KnownKey(marker, words[1], base64.b64decode(words[2], validate=True))
        except binascii.Error as error:
            raise HostKeyError(f"a line of {path} can't be read: {line}") from error


def _is_named(name: str, names: str) -> bool:
    """Whether the first field of a line is about `name`."""
    if names.startswith("|1|"):
        try:
            return paramiko.HostKeys.hash_host(name, names) == names
        except (AssertionError, IndexError, binascii.Error):
            return False
    patterns = [pattern.lower().replace("[", "[[]") for pattern in names.split(",")]
    if any(fnmatch.fnmatchcase(name.lower(), pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in patterns)


def preferred(offered: Iterable[str], known: list[KnownKey]) -> list[str]:
    """The algorithms of `offered`, those first whose keys are known: the server then shows a key we can compare."""
    kinds = {key.kind for key in known if not key.marker}
    algorithms = kinds | (set(_RSA) if "ssh-rsa" in kinds else set())
    return sorted(offered, key=lambda algorithm: algorithm not in algorithms)


def check_key(name: str, endpoint: Endpoint, key: paramiko.PKey, trust: bool = False) -> None:
    """Return only if this is the server's key; with `trust` the person may say that it is.

    Raises:
        HostKeyError: it is revoked, has changed, or is unknown and stays so; with what to do.
    """
    known, blob = known_keys(endpoint), key.asbytes()
    if any(entry.marker == "@revoked" and entry.blob == blob for entry in known):
        raise HostKeyError(
            f"the host key of {endpoint.known_as} ({_shown(key)}) is REVOKED in known_hosts: the "
            "connection may be intercepted. Give the board a new key, or ask whoever wrote that line",
            board=name,
        )
    plain = [entry for entry in known if not entry.marker]
    if any(entry.blob == blob for entry in plain):
        return
    if plain:
        raise HostKeyError(_changed(name, endpoint, key, plain), board=name)
    if not trust:
        raise HostKeyError(_unknown(name, endpoint, key, known), board=name)
    _ask_to_trust(name, endpoint, key)


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _shown(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {fingerprint(key.asbytes())}"


def _changed(name: str, endpoint: Endpoint, key: paramiko.PKey, expected: list[KnownKey]) -> str:
    wanted = [entry for entry in expected if entry.kind == key.get_name()] or expected
    return (
        f"the host key of {endpoint.known_as} has CHANGED: it is now {_shown(key)}, expected "
        f"{' or '.join(f'{entry.kind} {fingerprint(entry.blob)}' for entry in wanted)}. The connection may be "
        f"intercepted, or the board was reinstalled. If you are sure: ssh-keygen -R '{endpoint.known_as}', then "
        f"tonearm board trust {name}"
    )


def _unknown(name: str, endpoint: Endpoint, key: paramiko.PKey, known: list[KnownKey]) -> str:
    by_hand = f"ssh -p {endpoint.port} {endpoint.user}@{endpoint.host} true"
    certified = any(entry.marker == "@cert-authority" for entry in known)
    return (
        f"the host key of {endpoint.known_as} is not known ({_shown(key)})"
        f"{'; Tonearm does not read host certificates' if certified else ''}. "
        f"To compare it and trust it: tonearm board trust {name} (or connect once by hand: {by_hand})"
    )


def _ask_to_trust(name: str, endpoint: Endpoint, key: paramiko.PKey) -> None:
    """Have the person compare the fingerprint; `HostKeyError` unless the answer is yes, and then it is kept."""
    kind = key.get_name().removeprefix("ssh-").split("-")[0]
    answer = ask(
        f"{endpoint.known_as} shows the host key\n  {_shown(key)}\nand is not known yet. On the board itself,\n"
        f"  ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub\nmust print the same. Trust it from now on? [y/N] "
    )
    if answer is None:
        raise HostKeyError(
            f"the host key of {endpoint.known_as} is not known ({_shown(key)}), and there is no terminal to "
            f"ask on; compare it and run tonearm board trust {name} on one",
            board=name,
        )
    if answer.strip().lower() not in ("y", "yes"):
        raise HostKeyError(f"the host key of {endpoint.known_as} is not trusted; nothing was changed", board=name)
    remember(endpoint, key)


def remember(endpoint: Endpoint, key: paramiko.PKey) -> Path:
    """Append the key to the person's first file of known hosts, made with its folder when missing: which file."""
    way = endpoint.way or Way()
    if not way.known_hosts:
        raise HostKeyError(f"~/.ssh/config keeps no host keys of {endpoint.known_as} (UserKnownHostsFile none)")
    path = way.known_hosts[0].expanduser()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    known_as = endpoint.known_as
    name = paramiko.HostKeys.hash_host(known_as) if way.hash_names else known_as
    line = f"{name} {key.get_name()} {key.get_base64()}\n"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "rb+") as file:
        text = file.read()
        file.write(("\n" if text and not text.endswith(b"\n") else "").encode() + line.encode())
    return path
