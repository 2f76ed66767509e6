"""One SSH connection as paramiko makes it, stricter: which host keys it asks for, and what ends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import paramiko

from ..text import shortened
from .endpoint import Endpoint
from .hostkeys import AUTHORITY, KnownKey, keys_without_port, known_keys

BROKEN = (paramiko.SSHException, OSError, EOFError)  # what is raised when a connection breaks
_CERTIFICATE = "-cert-v01@"
_RSA = ("rsa-sha2-512", "rsa-sha2-256")  # what a key of type ssh-rsa signs with


class Transport(paramiko.Transport):
    """A connection that asks first for what we can compare; paramiko itself would ask for certificates last."""

    known: Sequence[KnownKey] = ()
    host_key: paramiko.PKey | None

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms of host keys, in the order to ask for them in."""
        return tuple(preferred(super().preferred_keys, self.known))

    def get_exception(self) -> Exception | None:
        """What has ended the connection, always one of `BROKEN`: packets that make no sense raise almost anything."""
        error = super().get_exception()
        if error is None or isinstance(error, BROKEN):
            return error
        return paramiko.SSHException(f"it sent an invalid packet: {shortened(repr(error), 200)}")

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        """Have the server prove that it has its key; in a later exchange it must be the one that was checked."""
        before = self.host_key
        super()._verify_key(host_key, sig)  # pyright: ignore[reportAttributeAccessIssue]
        if before is not None and _shown(before) != _shown(self.host_key):
            raise paramiko.SSHException("it shows another host key than before; the connection may be intercepted")


def expecting(endpoint: Endpoint, sock: Any, **options: Any) -> Transport:
    """A connection to the server that `endpoint` means."""
    transport = Transport(sock, **options)
    transport.known = [*known_keys(endpoint), *keys_without_port(endpoint)]
    return transport


def preferred(offered: Iterable[str], known: Sequence[KnownKey]) -> list[str]:
    """The algorithms of `offered`, those first whose keys are known: the server then shows a key we can compare.

    Certificates come before all where an authority is known, and before the plain key of their kind where that is.
    """
    kinds = {key.kind for key in known if not key.marker}
    algorithms = kinds | (set(_RSA) if "ssh-rsa" in kinds else set())
    certified = any(key.marker == AUTHORITY for key in known)

    def rank(algorithm: str) -> int:
        kind, certificate, _ = algorithm.partition(_CERTIFICATE)
        return 0 if certificate and (certified or kind in algorithms) else 1 if kind in algorithms else 2

    return sorted(offered, key=rank)


def _shown(key: paramiko.PKey | None) -> tuple[bytes, bytes] | None:
    """A key and its certificate, if it comes with one."""
    blob = getattr(key, "public_blob", None)
    return (key.asbytes(), blob.key_blob if blob else b"") if key else None
