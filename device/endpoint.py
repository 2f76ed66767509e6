"""Where a board answers, and who it must be."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Endpoint:
    """An SSH server and the identity that is expected there."""

    host: str
    port: int
    user: str
    key_file: Path | None
    host_key: str | None
    """The server's public key as one OpenSSH line, "ssh-ed25519 AAAA..."; None: ask known_hosts."""
