"""An authenticated connection whose host key is known, or what to do about it.

paramiko's exceptions are translated here and in `ssh`, nowhere else.
"""

from __future__ import annotations

import base64
import logging

import paramiko
from paramiko.hostkeys import InvalidHostKey

from .endpoint import Endpoint
from .errors import BoardError, HostKeyError, UnreachableError

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # what goes wrong is raised, and said once

CONNECT_SECONDS = 20


def open_client(name: str, endpoint: Endpoint) -> paramiko.SSHClient:
    """An authenticated client; `HostKeyError` or `UnreachableError` say why there is none and what to do."""
    if endpoint.key_file and not endpoint.key_file.is_file():
        raise UnreachableError(f"{name}: its key {endpoint.key_file} is not there")
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_Refuse(name, endpoint))
    try:
        _load_host_keys(client, endpoint)
        client.connect(
            endpoint.host,
            port=endpoint.port,
            username=endpoint.user or None,
            key_filename=str(endpoint.key_file) if endpoint.key_file else None,
            allow_agent=endpoint.host_key is None,
            look_for_keys=endpoint.host_key is None,
            timeout=CONNECT_SECONDS,
            banner_timeout=CONNECT_SECONDS,
            auth_timeout=CONNECT_SECONDS,
        )
    except HostKeyError:
        client.close()
        raise
    except InvalidHostKey as error:
        raise HostKeyError(f"{name}: a line of ~/.ssh/known_hosts makes no sense: {error.line}") from error
    except (paramiko.SSHException, OSError, EOFError, UnicodeError) as error:
        client.close()
        raise _refused(name, endpoint, error) from error
    return client


def _load_host_keys(client: paramiko.SSHClient, endpoint: Endpoint) -> None:
    """The one key a built-in board must have, or the person's known_hosts."""
    if endpoint.host_key is None:
        client.load_system_host_keys()
        return
    kind, data = endpoint.host_key.split()[:2]
    key = paramiko.PKey.from_type_string(kind, base64.b64decode(data))
    client.get_host_keys().add(_address(endpoint), kind, key)


def _refused(name: str, endpoint: Endpoint, error: Exception) -> BoardError:
    """What kept us from connecting, and what to do about it."""
    if isinstance(error, paramiko.BadHostKeyException):
        return HostKeyError(_changed(name, _address(endpoint), error))
    if isinstance(error, paramiko.AuthenticationException) or "No authentication methods" in str(error):
        hint = f"put your public key there: ssh-copy-id -p {endpoint.port} {endpoint.user}@{endpoint.host}"
        return UnreachableError(f"{name}: {endpoint.user}@{endpoint.host} lets nobody in ({error}); {hint}")
    where = f"{endpoint.host}:{endpoint.port}"
    hint = f"is the board on, and is this its address? (ping {endpoint.host})"
    return UnreachableError(f"{name}: nothing answers at {where} ({error}); {hint}")


def _address(endpoint: Endpoint) -> str:
    """As known_hosts writes it."""
    return endpoint.host if endpoint.port == 22 else f"[{endpoint.host}]:{endpoint.port}"


def _changed(name: str, address: str, error: paramiko.BadHostKeyException) -> str:
    return (
        f"{name}: the host key of {address} has CHANGED: it is now {error.key.fingerprint}, "
        f"expected {error.expected_key.fingerprint}. Somebody may be in between, or the board was set up anew. "
        f"If you are sure: ssh-keygen -R '{address}', then connect once by hand"
    )


class _Refuse(paramiko.MissingHostKeyPolicy):
    """Never accept an unknown host key; say how a person can."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self.name, self.endpoint = name, endpoint

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Refuse, with the fingerprint and the command that trusts it."""
        there = f"-p {self.endpoint.port} {self.endpoint.user}@{self.endpoint.host}"
        raise HostKeyError(
            f"{self.name}: the host key of {hostname} is not known ({key.get_name()} {key.fingerprint}). "
            f"To compare it and trust it, connect once by hand: ssh {there} true"
        )
