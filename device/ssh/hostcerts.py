"""Certificates of servers: what one must be before it vouches for a host key.

paramiko proves that a server has the key that its certificate is about, and looks at nothing else in it. Whether the
authority has signed it, for this host and this day, is proven here, with `cryptography`.
"""

from __future__ import annotations

import base64
import time
from typing import NamedTuple

import paramiko
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

from .patterns import fits

INVALID = (ValueError, TypeError, AssertionError, OverflowError, UnsupportedAlgorithm, InvalidSignature)
_SUFFIX = "-cert-v01@openssh.com"
_SHA2 = (b"rsa-sha2-256", b"rsa-sha2-512")


class HostCertificate(NamedTuple):
    """A certificate that a server shows: who signed it, and why it does not count, if it does not."""

    authority: bytes
    """The public key that it is signed with, empty where the certificate can't be read."""
    fault: str


def shown_certificate(key: paramiko.PKey, host: str, now: float | None = None) -> HostCertificate | None:
    """The certificate that a server shows with its key, judged for `host` at the time `now`; None where it shows none.

    Whether the authority is one to believe is not asked here.
    """
    blob = getattr(key, "public_blob", None)
    if blob is None:
        return None
    try:
        certificate = read_certificate(blob.key_blob)
        authority = key_blob(certificate.signature_key())
        if key_blob(certificate.public_key()) != key.asbytes():
            return HostCertificate(authority, "is about another key")
        certificate.verify_cert_signature()
        return HostCertificate(authority, _fault(certificate, blob.key_blob, host, now or time.time()))
    except INVALID:
        return HostCertificate(b"", "is damaged, forged, or signed in a way that Tonearm can't check")


def read_certificate(blob: bytes) -> SSHCertificate:
    """A certificate, of which nothing is proven yet; raises one of `INVALID` where the bytes are none."""
    found = load_ssh_public_identity(kind_of(blob).encode() + b" " + base64.b64encode(blob))
    if not isinstance(found, SSHCertificate):
        raise ValueError("no certificate")
    return found


def plain_key(blob: bytes) -> bytes:
    """A public key as SSH sends it, of a certificate the key that it is about; `ValueError` where it can't be read."""
    if not kind_of(blob).endswith(_SUFFIX):
        _check_whole(blob)
        return blob
    try:
        return key_blob(read_certificate(blob).public_key())
    except INVALID as error:
        raise ValueError("a certificate is damaged") from error


def _check_whole(blob: bytes) -> None:
    """`ValueError` unless it consists of two fields or more: a length of four bytes, then so many, as in all keys."""
    at = count = 0
    while at < len(blob):
        at += 4 + int.from_bytes(blob[at : at + 4], "big")
        count += 1
    if at != len(blob) or count < 2:
        raise ValueError("a key is cut short, or damaged")


def kind_of(blob: bytes) -> str:
    """Which type a key or certificate itself says that it is of."""
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode(errors="replace")


def key_blob(key: object) -> bytes:
    """A public key as SSH sends it."""
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)  # type: ignore[attr-defined]
    return base64.b64decode(line.split()[1])


def _fault(certificate: SSHCertificate, blob: bytes, host: str, now: float) -> str:
    """Why a certificate whose signature is right does not count for `host` all the same; nothing where it does."""
    names = [name.decode(errors="replace") for name in certificate.valid_principals]
    if certificate.type != SSHCertificateType.HOST:
        return "is one for users, not for hosts"
    if now < certificate.valid_after:
        return f"is valid only from {_day(certificate.valid_after)} on; is the clock right?"
    if now >= certificate.valid_before:
        return f"has expired, on {_day(certificate.valid_before)}"
    if not any(fits(host, name) for name in names):
        return f"is not for {host}, but for {', '.join(names) or 'no host at all'}"
    if certificate.critical_options:
        return "has conditions that a host's can't have"
    return "" if _is_signed_well(certificate, blob) else "is signed with SHA-1"


def _is_signed_well(certificate: SSHCertificate, blob: bytes) -> bool:
    """Whether the signature is of a kind that ssh accepts: of RSA those with SHA-2, whose name stands before it."""
    authority = certificate.signature_key()
    if not isinstance(authority, RSAPublicKey):
        return True
    return blob[: -(4 + (authority.key_size + 7) // 8)].endswith(_SHA2)


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(min(seconds, 1 << 36)))
