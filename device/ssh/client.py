"""An authenticated connection whose host key is known, over jump hosts where there are some, or what to do about it.

paramiko's exceptions are translated here and in `ssh`, nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import subprocess
import tempfile
import time
from typing import Any

import paramiko
from paramiko.auth_strategy import AuthStrategy, SourceResult
from paramiko.common import OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
from paramiko.ssh_exception import IncompatiblePeer

from ..errors import BoardError, UnreachableError
from ..text import shortened
from .endpoint import CONNECT_SECONDS, Endpoint
from .hostkeys import check_key
from .login import Login
from .transport import BROKEN, expecting

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # what goes wrong is raised, and said once

AGAIN_SECONDS = (0.5, 1, 2, 4)  # between tries
DEAD_PEER_SECONDS = 60
_LONGEST_SECONDS = 86400  # a socket waits for no more than 24 days
END_SECONDS = 5  # for a ProxyCommand that is told to end


class _Client(paramiko.SSHClient):
    """A client that takes along, when it is closed, what it came through: the hop before it, or a ProxyCommand."""

    def __init__(self, before: _Client | None) -> None:
        super().__init__()
        self.before = before
        self.process: subprocess.Popen[bytes] | None = None
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115  # of the ProxyCommand; closed with the client

    def close(self) -> None:
        """Hang up, from the far end to the near one; on a connection that is broken already no error either."""
        with contextlib.suppress(*BROKEN):
            super().close()
        self.complaints.close()
        if self.process:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
            self.process.kill()
            self.process.wait()
        if self.before:
            self.before.close()


def open_client(name: str, endpoint: Endpoint) -> paramiko.SSHClient:
    """An authenticated client; closing it closes the whole way there.

    Args:
        name: what people call the board.
        endpoint: where it is; its jump hosts are gone through one by one, each with its own keys and host key.

    Raises:
        HostKeyError: a host key on the way is unknown, revoked or has changed; with what to do.
        UnreachableError: nothing answers, or nobody is let in; with what to do.
    """
    return _open(name, endpoint, _open_hops(name, endpoint, False), _Check(name, endpoint, False), Login(endpoint))


def trust_host(name: str, endpoint: Endpoint) -> None:
    """Have the person look at each host key on the way that is not known; at the board itself nobody logs in.

    Raises:
        HostKeyError: one of them is not trusted.
        UnreachableError: as from `open_client`.
    """
    _open(name, endpoint, _open_hops(name, endpoint, True), _Check(name, endpoint, True), _NoLogin()).close()


def _open_hops(name: str, endpoint: Endpoint, trust: bool) -> _Client | None:
    """The last of the jump hosts, reached through those before it; None where there are none."""
    before: _Client | None = None
    hops = endpoint.route.hops
    for number, hop in enumerate(hops):
        before = _open(f"{name} (jump host)", hop, before, _Check(name, hop, trust), Login(hop, hops[:number]))
    return before


def _seconds(endpoint: Endpoint) -> float:
    """How long to wait for a server."""
    return min(endpoint.route.seconds, _LONGEST_SECONDS)


class _NoLogin(AuthStrategy):
    """The handshake is all we want."""

    def __init__(self) -> None:
        super().__init__(paramiko.SSHConfig())

    def authenticate(self, transport: paramiko.Transport) -> list[SourceResult]:
        """Leave it at that."""
        return []


class _Check(paramiko.MissingHostKeyPolicy):
    """paramiko is told of no host keys: it leaves every decision to this policy."""

    def __init__(self, name: str, endpoint: Endpoint, trust: bool) -> None:
        self.name, self.endpoint, self.trust = name, endpoint, trust

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Return only if the key is the server's."""
        check_key(self.name, self.endpoint, key, self.trust)


def _open(name: str, endpoint: Endpoint, before: _Client | None, check: _Check, login: AuthStrategy) -> _Client:
    """One leg of the way, tried again where the server hangs up at once: of many that log in, some are turned away."""
    for wait in AGAIN_SECONDS if before is None else ():
        try:
            return _open_once(name, endpoint, before, check, login)
        except UnreachableError as error:
            if endpoint.route.command or not _hung_up(error.__cause__):
                raise
        time.sleep(wait)
    return _open_once(name, endpoint, before, check, login)


def _hung_up(error: BaseException | None) -> bool:
    """Whether the server has ended the connection instead of greeting."""
    greeting = isinstance(error, paramiko.SSHException) and "protocol banner" in str(error)
    return error is not None and greeting and isinstance(error.__context__, (EOFError, ConnectionResetError))


def _open_once(name: str, endpoint: Endpoint, before: _Client | None, check: _Check, login: AuthStrategy) -> _Client:
    """One leg of the way; when it fails, nothing of the whole way stays open."""
    client, seconds = _Client(before), _seconds(endpoint)
    client.set_missing_host_key_policy(check)
    try:
        if endpoint.key_file and not endpoint.key_file.is_file():
            raise UnreachableError(
                f"there is no key file {endpoint.key_file}: correct `key` in boards.toml", board=name
            )
        client.connect(
            endpoint.host,
            endpoint.port,
            endpoint.user,
            sock=_connect(client, endpoint),
            timeout=seconds,
            banner_timeout=seconds,
            auth_timeout=CONNECT_SECONDS,
            transport_factory=functools.partial(expecting, endpoint),
            auth_strategy=login,
        )
    except (*BROKEN, UnicodeError) as error:
        refusal = _refused(name, endpoint, error, _complaint(client))
        client.close()
        raise refusal from error
    except BaseException:
        client.close()
        raise
    return client


def _connect(client: _Client, endpoint: Endpoint) -> Any:
    """A socket to the server, or what behaves as one: through the hop before, or a command of the person's."""
    way, place = endpoint.route, (endpoint.host, endpoint.port)
    transport = client.before.get_transport() if client.before else None
    if transport:
        return transport.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=_seconds(endpoint))
    if not way.command:
        return _attentive(socket.create_connection(place, timeout=_seconds(endpoint)))
    here, there = socket.socketpair()  # so that timeouts and the end are those of a socket
    with there:
        shell = ["/bin/sh", "-c", f"exec {way.command}"]
        client.process = subprocess.Popen(shell, stdin=there.fileno(), stdout=there.fileno(), stderr=client.complaints)
    return here


def _attentive(sock: socket.socket) -> socket.socket:
    """Have the kernel send at once, and find out by itself that nobody is there: nothing that a measurement feels."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a request's last bytes waited 40 ms
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER_SECONDS // 4)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_PEER_SECONDS // 4)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_SECONDS * 1000)
    return sock


def _complaint(client: _Client) -> str:
    """The last line that a ProxyCommand wrote for people."""
    client.complaints.seek(0)
    lines = client.complaints.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _refused(name: str, endpoint: Endpoint, error: Exception, complaint: str) -> BoardError:
    """What kept us from connecting, and what to do about it."""
    place, who = endpoint.place, f"{endpoint.user}@{endpoint.host}"
    if isinstance(error, paramiko.AuthenticationException):
        key = f"-i {endpoint.key_file}.pub " if endpoint.key_file else ""
        hint = f"install your public key on it: ssh-copy-id {key}-p {endpoint.port} {who}"
        return UnreachableError(f"login as {who} failed ({error}). If the user is right, {hint}", board=name)
    if endpoint.route.command:
        said = shortened(complaint) or _reason(error)
        return UnreachableError(f"its ProxyCommand does not reach {place} ({said}); try it by hand", board=name)
    if isinstance(error, paramiko.ChannelException):
        forbidden = error.code == OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        hint = "AllowTcpForwarding and PermitOpen in the jump host's sshd_config" if forbidden else "is the board on?"
        return UnreachableError(f"the jump host does not reach {place} ({shortened(error.text)}); {hint}", board=name)
    if isinstance(error, IncompatiblePeer):
        return UnreachableError(f"the SSH server at {place} is too old ({shortened(error)}); update it", board=name)
    if _hung_up(error):
        hint = (
            "too many log in there at once (MaxStartups in its sshd_config), or it is blocking this machine; try again"
        )
        return UnreachableError(f"the SSH server at {place} hangs up as soon as one calls: {hint}", board=name)
    if isinstance(error, paramiko.SSHException):
        hint = "is this the right port, and does an SSH server run there?"
        return UnreachableError(f"{place} answers, but not as an SSH server ({shortened(error)}); {hint}", board=name)
    return UnreachableError(f"nothing answers at {place} ({_reason(error)}); {_hint(endpoint, error)}", board=name)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or shortened(error) or "the server closed the connection"


def _hint(endpoint: Endpoint, error: Exception) -> str:
    """What to look at first."""
    if isinstance(error, socket.gaierror):
        local = "; names that end in .local need mDNS on this machine (sudo apt install libnss-mdns)"
        return (
            f"is its name spelt right{local if endpoint.host.endswith('.local') else ''}? Its address will do as well"
        )
    if isinstance(error, ConnectionRefusedError):
        return "the machine is on, but has no SSH server on that port: is SSH switched on there, and the port right?"
    return f"is the board on, and is this its address? (ping {endpoint.host})"
