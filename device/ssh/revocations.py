"""`RevokedHostKeys`: lists of keys that no server may have, as text or as OpenSSH's key revocation lists (KRLs)."""

from __future__ import annotations

import base64
import binascii
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import HostKeyError

_KRL = b"SSHKRL\n\0"
_SECONDS = 20


def check_not_revoked(path: Path, line: str, blobs: Sequence[bytes], who: str) -> None:
    """Return only if a list has none of the keys, and no rule about the one that `line` shows.

    Args:
        path: the list.
        line: the server's key or certificate, as OpenSSH writes it to a file.
        blobs: the keys that it is made of: itself, and the authority's.
        who: the server, for the error.

    Raises:
        HostKeyError: it has, or it can't be read, which counts for every server, as with ssh.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HostKeyError(
            f"RevokedHostKeys {path} can't be read ({error.strerror}), so no server is trusted"
        ) from error
    revoked = _is_in_krl(path, line) if content.startswith(_KRL) else bool(set(blobs) & _listed(path, content))
    if revoked:
        raise HostKeyError(f"the host key of {who} is REVOKED, by {path}: the connection may be intercepted")


def _listed(path: Path, content: bytes) -> set[bytes]:
    lines = [line.split() for line in content.decode(errors="replace").split("\n")]
    try:
        return {base64.b64decode(words[1], validate=True) for words in lines if words and not words[0].startswith("#")}
    except (IndexError, binascii.Error) as error:
        raise HostKeyError(f"RevokedHostKeys {path} has a line that is no key, so no server is trusted") from error


def _is_in_krl(path: Path, line: str) -> bool:
    """Whether ssh-keygen finds it there; whatever else it says counts as yes."""
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write(line + "\n")
        file.flush()
        try:
            command = ["ssh-keygen", "-Q", "-f", str(path), file.name]
            return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).returncode != 0
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostKeyError(f"RevokedHostKeys {path} takes ssh-keygen to read: install OpenSSH's client") from error
