"""A real OpenSSH server on the loopback, with a home of its own, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.ssh.keys import ensure_key

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
    server = start(folder, port, *lines, home=home, inside=inside)
    try:
        yield endpoint_of(folder, port)
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def endpoint_of(folder: Path, port: int) -> Endpoint:
    """Where a server that lives in `folder` answers."""
    return Endpoint("127.0.0.1", port, getpass.getuser(), folder / "user_key", ensure_key(folder / "host_key"))


def start(
    folder: Path, port: int, *lines: str, home: str = "home", inside: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """A server that lives in `folder`, once it answers; whoever starts it ends it. Otherwise as `openssh`."""
    (folder / home).mkdir(parents=True, exist_ok=True)
    at_home = str(folder / home).replace('"', '\\"')
    user_key = ensure_key(folder / "user_key")
    ensure_key(folder / "host_key")
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
    wait_until_it_listens("sshd", port, server, folder / "sshd.log")
    return server


def power_off(server: subprocess.Popen[bytes]) -> None:
    """End a server and all that runs in its sessions, at once and without a word, as a power cut does."""
    for process in [server.pid, *descendants(server.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    server.wait(START_SECONDS)


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    children = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if parent(path) == process]
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def parent(stat: Path) -> int:
    """Whose child a process is, of its `/proc/ID/stat`; 0 when it has ended meanwhile."""
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until_it_listens(name: str, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until somebody answers at the port; `AssertionError` with the log where nobody does."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"{name} does not start: {log.read_text()}")
