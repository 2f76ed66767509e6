"""SSH keys made by Tonearm itself, so that the built-in boards need no ssh-keygen."""

import os
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)


def ensure_key(path: Path) -> str:
    """Make an Ed25519 private key at `path` (OpenSSH format, mode 0600) unless one is there.

    Returns the public half as one line, "ssh-ed25519 AAAA...", without a comment. Two callers at once end
    up with the same key. A file that is no unencrypted private key is damaged, and takes the name
    NAME.damaged: a new key fits as well, as only built-in boards have these. Raises OSError when the folder
    can't be written.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new_key(path)
    try:
        return _public(path)
    except ValueError:
        path.replace(path.with_name(f"{path.name}.damaged"))
        _write_new_key(path)
        return _public(path)


def _public(path: Path) -> str:
    public = load_ssh_private_key(path.read_bytes(), password=None).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _write_new_key(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as file:  # born with 0600
        file.write(private)
        file.flush()
        os.fsync(file.fileno())
        _link_unless_there(Path(file.name), path)


def _link_unless_there(source: Path, path: Path) -> None:
    """Publish `source` as `path`; a link, unlike a rename, never replaces a key made meanwhile by another."""
    try:
        path.hardlink_to(source)
    except FileExistsError:
        return
