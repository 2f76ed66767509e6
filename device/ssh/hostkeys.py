"""Host keys: who a server must be, as known_hosts says, and how a person comes to trust a new one.

A line of known_hosts is `[@marker] names type base64 [comment]`; names are patterns (`*.local,!lab.local`) or one
hashed name (`|1|salt|hash`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import paramiko

from ..errors import HostKeyError
from ..prompts import ask
from ..text import printable
from .endpoint import SSH_PORT, Endpoint
from .hostcerts import HostCertificate, plain_key, shown_certificate
from .patterns import is_host_listed
from .revocations import check_not_revoked

AUTHORITY, _REVOKED = "@cert-authority", "@revoked"


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
    return _named(endpoint, endpoint.known_as)


def keys_without_port(endpoint: Endpoint) -> list[KnownKey]:
    """What is known of a server by its name alone, which ssh, too, looks at where its port is not the usual one."""
    is_usual = endpoint.port == SSH_PORT or endpoint.host_key or endpoint.route.alias
    return [] if is_usual else _named(endpoint, endpoint.host.lower())


def _named(endpoint: Endpoint, name: str) -> list[KnownKey]:
    way = endpoint.route
    return [key for path in (*way.known_hosts, *way.global_known_hosts) for key in _read(path, name)]


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
            blob = base64.b64decode(words[2], validate=True)
            yield KnownKey(marker, words[1], plain_key(blob) if marker == _REVOKED else blob)
        except ValueError as error:
            raise HostKeyError(f"a line of {path} can't be read: {line}") from error


def _is_named(name: str, names: str) -> bool:
    """Whether the first field of a line is about `name`."""
    if names.startswith("|1|"):
        try:
            return paramiko.HostKeys.hash_host(name, names) == names
        except (AssertionError, IndexError, binascii.Error):
            return False
    return is_host_listed(name, names)


def check_key(name: str, endpoint: Endpoint, key: paramiko.PKey, trust: bool = False) -> None:
    """Return only if this is the server's key; with `trust` the person may say that it is.

    It is if known_hosts has the key, or an authority of it has signed the certificate that comes with the key.

    Raises:
        HostKeyError: it is revoked, has changed, or is unknown and stays so; with what to do.
    """
    known, bare = known_keys(endpoint), keys_without_port(endpoint)
    certificate = shown_certificate(key, endpoint.route.alias or endpoint.host.lower())
    _check_not_revoked(name, endpoint, key, certificate, [*known, *bare])
    if _is_vouched_for(key, certificate, known):
        return
    plain = [entry for entry in known if not entry.marker]
    if plain:
        raise HostKeyError(_changed(name, endpoint, key, plain), board=name)
    if _is_vouched_for(key, certificate, bare):
        return
    if not trust:
        raise HostKeyError(_unknown(name, endpoint, key, certificate, [*known, *bare]), board=name)
    _ask_to_trust(name, endpoint, key)


def _is_vouched_for(key: paramiko.PKey, certificate: HostCertificate | None, known: Sequence[KnownKey]) -> bool:
    """Whether the key is known itself, or by a certificate of an authority that is."""
    if any(not entry.marker and entry.blob == key.asbytes() for entry in known):
        return True
    if not certificate or certificate.fault or not certificate.authority:
        return False
    return any(entry.marker == AUTHORITY and entry.blob == certificate.authority for entry in known)


def _check_not_revoked(
    name: str, endpoint: Endpoint, key: paramiko.PKey, certificate: HostCertificate | None, known: Sequence[KnownKey]
) -> None:
    """`HostKeyError` where the key, or the authority of its certificate, is one that must not be believed any more."""
    blobs = [key.asbytes(), *([certificate.authority] if certificate else [])]
    if any(entry.marker == _REVOKED and entry.blob in blobs for entry in known):
        raise HostKeyError(
            f"the host key of {endpoint.known_as} ({_shown(key)}) is REVOKED in known_hosts: the "
            "connection may be intercepted. Give the board a new key, or ask whoever wrote that line",
            board=name,
        )
    public = key.public_blob if certificate else None  # pyright: ignore[reportAttributeAccessIssue]
    kind, blob = (public.key_type, public.key_blob) if public else (key.get_name(), key.asbytes())
    for path in endpoint.route.revoked:
        check_not_revoked(path, f"{kind} {base64.b64encode(blob).decode()}", blobs, name)


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


def _unknown(
    name: str, endpoint: Endpoint, key: paramiko.PKey, certificate: HostCertificate | None, known: Sequence[KnownKey]
) -> str:
    by_hand = f"ssh -p {endpoint.port} {endpoint.user}@{endpoint.host} true"
    return (
        f"the host key of {endpoint.known_as} is not known ({_shown(key)})"
        f"{_about_certificates(certificate, known)}. "
        f"To compare it and trust it: tonearm board trust {name} (or connect once by hand: {by_hand})"
    )


def _about_certificates(certificate: HostCertificate | None, known: Sequence[KnownKey]) -> str:
    """Why a certificate does not help, where one was to be expected, or is there."""
    authorities = {entry.blob for entry in known if entry.marker == AUTHORITY}
    if certificate and (certificate.fault and (not certificate.authority or certificate.authority in authorities)):
        return f"; its certificate {printable(certificate.fault)}"
    if certificate:
        return f"; known_hosts does not name the authority of its certificate ({fingerprint(certificate.authority)})"
    return "; it shows no certificate, though known_hosts names an authority for it" if authorities else ""


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
    way = endpoint.route
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
