"""Dropbear on the loopback, and any login shell: only root can have them, in mounts of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from openssh import START_SECONDS, free_port, openssh, wait_until_it_listens
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.ssh.keys import ensure_key

DROPBEAR = shutil.which("dropbear", path="/usr/sbin:/usr/bin")
# The folder stays where it is, and /etc is the copy that lies in it.
PRIVATE = 'mount --make-rprivate / && mount --bind "$0/etc" /etc && exec "$@"'
SHELLS = {"tcsh": "tcsh", "csh": "csh", "fish": "fish", "zsh": "zsh", "busybox sh": "busybox"}


def can_have() -> bool:
    """Whether a process may have mounts of its own here."""
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False) if not os.getuid() else None
    return done is not None and done.returncode == 0


def shell_at(folder: Path, name: str) -> Path:
    """A login shell of `SHELLS` as a path; BusyBox's is a link by the applet's name."""
    program = shutil.which(SHELLS.get(name, name))
    assert program, f"no {name} here: see TEST_PACKAGES of the Makefile"
    if name != "busybox sh":
        return Path(program)
    (folder / "busybox").mkdir(parents=True)
    (folder / "busybox" / "sh").symlink_to(program)
    return folder / "busybox" / "sh"


def private(folder: Path, shell: Path) -> tuple[str, ...]:
    """The command before a server's: root's home is `folder / "home"`, and its login shell is `shell`."""
    (folder / "home").mkdir(parents=True, exist_ok=True)
    shutil.copytree("/etc", folder / "etc", symlinks=True, ignore_dangling_symlinks=True)
    lines = (folder / "etc/passwd").read_text().splitlines()
    ours = f"root:x:0:0:root:{folder / 'home'}:{shell}"
    (folder / "etc/passwd").write_text("\n".join([ours, *(line for line in lines if line[:5] != "root:")]) + "\n")
    (folder / "etc/shells").write_text(f"{shell}\n")
    return "unshare", "--mount", "sh", "-c", PRIVATE, str(folder)


@contextlib.contextmanager
def openssh_with(folder: Path, shell: str, *lines: str) -> Iterator[Endpoint]:
    """OpenSSH, and a login shell of `SHELLS`."""
    with openssh(folder, *lines, inside=private(folder, shell_at(folder, shell))) as endpoint:
        yield endpoint


@contextlib.contextmanager
def dropbear(folder: Path, shell: str = "sh") -> Iterator[Endpoint]:
    """Dropbear on a free port; commands find this Python first."""
    inside, port = private(folder, shell_at(folder, shell)), free_port()
    allowed = folder / "home/.ssh/authorized_keys"
    allowed.parent.mkdir(mode=0o700)
    allowed.write_text(ensure_key(folder / "user_key") + "\n")
    key = folder / "host_key"
    made = subprocess.run(["dropbearkey", "-t", "ed25519", "-f", key], capture_output=True, text=True, check=True)
    with (folder / "server.log").open("wb") as log:
        command = [*inside, str(DROPBEAR), "-F", "-E", "-e", "-s", "-p", f"127.0.0.1:{port}"]
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command += ["-r", str(key), "-P", str(folder / "pid")]
        server = subprocess.Popen(command, stderr=log, env={**os.environ, "PATH": search})
    try:
        wait_until_it_listens("Dropbear", port, server, folder / "server.log")
        public = next(line for line in made.stdout.splitlines() if line.startswith("ssh-"))
        yield Endpoint("127.0.0.1", port, "root", folder / "user_key", " ".join(public.split()[:2]))
    finally:
        server.terminate()
        server.wait(START_SECONDS)
