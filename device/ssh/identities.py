"""Keys that prove who we are: those in files and those of an agent, and the certificates that go with them."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentKey, AgentSSH
from paramiko.pkey import PublicBlob, UnknownKeyType

from .hostcerts import INVALID, key_blob, read_certificate

_KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_BAD_KEY = (ValueError, TypeError, AssertionError, OSError, UnsupportedAlgorithm, paramiko.SSHException, UnknownKeyType)


def load_key(path: Path, passphrase: str | None = None) -> paramiko.PKey | None:
    """The private key in that file, without a certificate, if there is one that this passphrase opens."""
    for kind in _KINDS:
        try:
            return kind.from_private_key_file(str(path), passphrase)
        except _BAD_KEY:
            continue
    return None


def is_locked(path: Path) -> bool:
    """Whether the file is a private key that needs a passphrase."""
    try:
        paramiko.PKey.from_path(path)
    except TypeError:  # so says cryptography
        return True
    except _BAD_KEY:
        pass
    return False


def public_half(path: Path) -> bytes:
    """The public half of a key, from the file beside it (or that file itself); nothing when there is none."""
    found = _read(path if path.suffix == ".pub" else path.with_name(path.name + ".pub"))
    return found.key_blob if found else b""


def certificates(named: Iterable[Path], keys: Iterable[Path]) -> dict[bytes, list[tuple[str, PublicBlob]]]:
    """The certificates in the files that are named, or else beside the keys: by the key that they are about.

    Each with the name of its file. Whether one is valid is for the server to say.
    """
    found: dict[bytes, list[tuple[str, PublicBlob]]] = {}
    for path in [*named] or [key.with_name(key.name + "-cert.pub") for key in keys]:
        blob = _read(path)
        about = _certified(blob.key_blob) if blob else None
        if blob and about:
            found.setdefault(about, []).append((str(path), blob))
    return found


def with_certificates(
    label: str, key: paramiko.PKey, found: dict[bytes, list[tuple[str, PublicBlob]]]
) -> Iterator[tuple[str, paramiko.PKey]]:
    """The key with each of its certificates, then alone; each with what to call it, and only until the next."""
    for name, blob in found.get(key.asbytes(), []):
        key.public_blob = blob  # pyright: ignore[reportAttributeAccessIssue]
        yield f"{label} with {name}", key
    key.public_blob = None  # pyright: ignore[reportAttributeAccessIssue]
    yield label, key


def identity(key: paramiko.PKey) -> bytes:
    """What a server sees of a key: its certificate, if it comes with one."""
    blob = getattr(key, "public_blob", None)
    return blob.key_blob if blob else key.asbytes()


def _read(path: Path) -> PublicBlob | None:
    """A public key or a certificate in a file."""
    try:
        words = path.read_text().split()
        return PublicBlob(words[0], base64.b64decode(words[1]))
    except (OSError, ValueError, IndexError):
        return None


def _certified(blob: bytes) -> bytes | None:
    """The key that a certificate is about; None if it is no certificate."""
    try:
        return key_blob(read_certificate(blob).public_key())
    except INVALID:
        return None


class Agent(AgentSSH):
    """The keys of the agent that listens on a socket; none when it does not.

    Args:
        name: the socket's path, "SSH_AUTH_SOCK" for the usual one, "none" for none.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        path = os.environ.get(name, "") if name == "SSH_AUTH_SOCK" else name
        if path in ("", "none"):
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
            self._connect(connection)  # pyright: ignore[reportAttributeAccessIssue]
        except (OSError, paramiko.SSHException):
            connection.close()

    def keys_by_blob(self) -> dict[bytes, AgentKey]:
        """Its keys and certificates by what it calls them; those of kinds that paramiko can't use left out."""
        found: dict[bytes, AgentKey] = {}
        for key in self.get_keys():
            if "-cert-v01@" in key.name:
                setattr(key, "inner_key", None)  # noqa: B010  # the agent may know its private half by no other name
                key.public_blob = PublicBlob(key.name, key.blob)  # pyright: ignore[reportAttributeAccessIssue]
            if key.public_blob or key.inner_key:  # pyright: ignore[reportAttributeAccessIssue]
                found[key.blob] = key  # pyright: ignore[reportAttributeAccessIssue]
        return found

    def close(self) -> None:
        """Hang up."""
        self._close()  # pyright: ignore[reportAttributeAccessIssue]
