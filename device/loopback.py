"""The loopback board: this machine, reached through a real SSH server inside our own process.

It needs no system packages and no rights: a key of its own, a home in a folder of its own, 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import paramiko
import platformdirs
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)

from .agent.protocol import CHUNK
from .ssh.client import BROKEN
from .ssh.endpoint import Endpoint
from .ssh.keys import ensure_key

USER = "tonearm"
POLL_SECONDS = 0.2


def loopback_folder() -> Path:
    """Where the loopback board keeps its keys and its home."""
    return platformdirs.user_state_path("tonearm") / "boards" / "loopback"


@contextlib.contextmanager
def serve(folder: Path, path: str | None = None) -> Iterator[Endpoint]:
    """An SSH server on a free loopback port for as long as the block lasts.

    Args:
        folder: where its keys and its home are (made when missing).
        path: the PATH its commands see; default: this Python first, so that board and host have the same one.
    """
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    host_key = ensure_key(folder / "host_key")
    user_key = ensure_key(folder / "user_key")
    search = path or f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "HOME": str(home), "PATH": search}
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(POLL_SECONDS)
        arguments = (listener, folder / "host_key", user_key, environment, home, stopping)
        thread = threading.Thread(target=_accept, args=arguments, daemon=True)
        thread.start()
        try:
            yield Endpoint("127.0.0.1", listener.getsockname()[1], USER, folder / "user_key", host_key)
        finally:
            stopping.set()
            thread.join()


def _accept(
    listener: socket.socket,
    host_key: Path,
    user_key: str,
    environment: dict[str, str],
    home: Path,
    stopping: threading.Event,
) -> None:
    transports: list[paramiko.Transport] = []
    while not stopping.is_set():
        with contextlib.suppress(*BROKEN):  # among them: nobody has come for a while
            client, _ = listener.accept()
            transport = paramiko.Transport(client)
            transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(host_key)))
            transports.append(transport)
            transport.start_server(threading.Event(), _Session(user_key, environment, home))
    for transport in transports:
        with contextlib.suppress(*BROKEN):
            transport.close()


class _Session(paramiko.ServerInterface):
    """One client: our key only, commands only."""

    def __init__(self, user_key: str, environment: dict[str, str], home: Path) -> None:
        self.user_key, self.environment, self.home = user_key, environment, home

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        same = f"{key.get_name()} {key.get_base64()}" == self.user_key and username == USER
        return AUTH_SUCCESSFUL if same else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._execute, args=(channel, command), daemon=True).start()
        return True

    def _execute(self, channel: paramiko.Channel, command: bytes) -> None:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C on this machine's terminal is none on a board
        )
        threading.Thread(target=_pump_in, args=(channel, process.stdin), daemon=True).start()
        pairs = ((process.stdout, channel.sendall), (process.stderr, channel.sendall_stderr))
        outwards = [threading.Thread(target=_pump_out, args=pair, daemon=True) for pair in pairs]
        for thread in outwards:
            thread.start()
        for thread in outwards:
            thread.join()
        with contextlib.suppress(*BROKEN):
            status = process.wait()
            channel.send_exit_status(status if status >= 0 else 128 - status)  # as a shell says it
            channel.close()


def _pump_in(channel: paramiko.Channel, pipe: IO[bytes]) -> None:
    """What the client sends, into the command; its input ends when the client goes away."""
    with contextlib.suppress(OSError):
        while chunk := channel.recv(CHUNK):
            pipe.write(chunk)
            pipe.flush()
    with contextlib.suppress(OSError):
        pipe.close()


def _pump_out(pipe: IO[bytes], send: Callable[[bytes], None]) -> None:
    with contextlib.suppress(*BROKEN):
        while chunk := os.read(pipe.fileno(), CHUNK):
            send(chunk)
