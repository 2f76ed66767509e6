"""A real OpenSSH server on the loopback, with a home of its own, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tonearm.device.endpoint import Endpoint
from tonearm.device.keys import ensure_key

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
PRIVILEGES = Path("/run/sshd")  # where Debian's sshd, started as root, locks itself in
START_SECONDS = 20


@contextlib.contextmanager
def openssh(folder: Path, *lines: str, home: str = "home", inside: Sequence[str] = ()) -> Iterator[Endpoint]:
    """OpenSSH on a free port, who may come in and which key it has; its configuration begins with `lines`.

    It is started by the command `inside`, if one is given. Commands find this Python first, and their home is
    `folder / home`.
    """
    port = free_port()
    (folder / home).mkdir(parents=True, exist_ok=True)
    at_home = str(folder / home).replace('"', '\\"')
    host_key, user_key = ensure_key(folder / "host_key"), ensure_key(folder / "user_key")
    (folder / "authorized").write_text(user_key + "\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    (folder / "sshd_config").write_text(
        "\n".join(lines)
        + f"""
ListenAddress 127.0.0.1
Port {port}
HostKey "{folder}/host_key"
PidFile none
AuthorizedKeysFile "{folder}/authorized"
StrictModes no
UsePAM no
KbdInteractiveAuthentication no
SetEnv "HOME={at_home}" "PATH={path}"
"""
    )
    if os.getuid() == 0:
        PRIVILEGES.mkdir(exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        command = [*inside, str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
        server = subprocess.Popen(command, stderr=log)
    try:
        _wait(port, server, folder / "sshd.log")
        yield Endpoint("127.0.0.1", port, getpass.getuser(), folder / "user_key", host_key)
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"sshd does not start: {log.read_text()}")
