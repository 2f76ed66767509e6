"""`RevokedHostKeys`: lists of keys that no server may have, as text or as OpenSSH's key revocation lists (KRLs)."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import HostKeyError
from .hostcerts import kind_of, plain_key

_KRL = b"SSHKRL\n\0"
_SECONDS = 20


def check_not_revoked(path: Path, line: str, blobs: Sequence[bytes], who: str) -> None:
    """Return only if a list has none of the keys, and no rule about the one that `line` shows.

    Args:
        path: the list.
        line: the server's key or certificate, as OpenSSH writes it to a file.
        blobs: the keys that it is made of: itself, and the authority's.
        who: the board, for the error.

    Raises:
        HostKeyError: it has, or it can't be read, which counts for every server, as with ssh.
    """
    try:
        content = path.read_bytes()
        revoked = _is_in_krl(path, line) if content.startswith(_KRL) else bool(set(blobs) & _listed(content))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise HostKeyError(
            f"no server is trusted, as RevokedHostKeys {path} can't be read ({error})", board=who
        ) from error
    if revoked:
        raise HostKeyError(f"the host key is REVOKED, by {path}: the connection may be intercepted", board=who)


def _listed(content: bytes) -> set[bytes]:
    """The keys of a list, those of certificates too; `ValueError` where a line is none."""
    lines = [line.split() for line in content.decode(errors="replace").split("\n")]
    return {_key(words) for words in lines if words and not words[0].startswith("#")}


def _key(words: Sequence[str]) -> bytes:
    """The key that a line begins with: a type and its data."""
    blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
    if kind_of(blob) != words[0]:
        raise ValueError("a line is no key, or not of the type that it says")
    return plain_key(blob)


def _is_in_krl(path: Path, line: str) -> bool:
    """Whether ssh-keygen, without which it can't be read, finds it there; whatever else that says counts as yes."""
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write(line + "\n")
        file.flush()
        command = ["ssh-keygen", "-Q", "-f", str(path), file.name]
        return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).returncode != 0
