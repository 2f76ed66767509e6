"""The built-in ARM64 board: a machine of QEMU's that counts instructions instead of time.

Under `-icount shift=0` one instruction lasts one virtual nanosecond, so that block times repeat on any host;
they say how much work a step is, never how fast a real board does it.

A machine outlives the command that started it. Its folder holds its disk (an overlay on the shared image),
the process id and the endpoint; a lock there keeps two commands from starting it twice. Nothing listens but
SSH, on the loopback.
"""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import platformdirs

from ...runtime.progress import Progress
from ..errors import BoardError
from ..locks import exclusive
from ..ssh.client import BROKEN, open_client
from ..ssh.endpoint import Endpoint
from . import rootfs

BOOT_TIMEOUT_S = 120.0
_POWER_OFF_TIMEOUT_S = 20.0
_LOCK_TIMEOUT_S = 2 * BOOT_TIMEOUT_S
_BOARD = ["-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "1", "-m", "512M"]
_CLOCK = ["-icount", "shift=0", "-accel", "tcg,thread=single"]
# Addresses are laid out alike at each boot and in each process, so that instruction counts repeat.
_KERNEL_OPTIONS = "console=ttyAMA0 quiet panic=-1 net.ifnames=0 mitigations=off nokaslr norandmaps"
_PROGRAMS = {  # host program -> Debian package
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "tar": "tar",
    "unshare": "util-linux",
    "cpio": "cpio",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "qemu-system-aarch64": "qemu-system-arm",
}


def missing_programs() -> list[str]:
    """Name the Debian packages that the virtual board needs and this host lacks, sorted."""
    packages = {package for program, package in _PROGRAMS.items() if not rootfs.has_program(program)}
    keyring = set() if rootfs.has_keyring() else {"debian-archive-keyring"}
    return sorted(packages | keyring)


def up(name: str, image: Path, key_file: Path, host_key: str, progress: Progress) -> Endpoint:
    """Start the machine `name` from the folder `image` unless it runs, and return once SSH answers.

    `key_file` is the private key that the image lets in; `host_key` the public key line that its server has.
    A machine on another image is stopped first and its disk made anew. Raises BoardError, with the console's
    last lines, when SSH does not answer within BOOT_TIMEOUT_S.
    """
    folder, image = _folder(name), image.absolute()
    if not (image / "root.qcow2").exists():
        raise BoardError(f"{image} holds no disk for {name}: build the image first")
    with exclusive(folder / "lock", _LOCK_TIMEOUT_S, BoardError):
        progress(f"start {name}", 1, 2)
        if not _disk_is_of(folder, image):
            _stop(folder)
            _make_disk(folder, image)
        if _process(folder) is None:
            _start(folder, image, Endpoint("127.0.0.1", 0, "root", key_file.absolute(), host_key))
        progress(f"wait for SSH on {name}", 2, 2)
        return _wait_for_ssh(folder)


def endpoint(name: str) -> Endpoint | None:
    """Say where the machine `name` answers; None when it does not run."""
    folder = _folder(name)
    return None if _process(folder) is None else _read_endpoint(folder)


def names() -> list[str]:
    """Name the machines that were ever started, sorted."""
    return sorted(path.parent.name for path in _folder("virtual").parent.glob("*/endpoint.json"))


def down(name: str) -> bool:
    """Power the machine `name` off, its disk in order, or end it after a bounded wait; say whether it ran."""
    folder = _folder(name)
    if not folder.exists():
        return False
    with exclusive(folder / "lock", _LOCK_TIMEOUT_S, BoardError):
        return _stop(folder)


def _folder(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BoardError(f"{name!r} can't name a board: use letters, digits, '.', '_' and '-'")
    return platformdirs.user_state_path("tonearm").absolute() / "boards" / name


def _image_mark(image: Path) -> str:
    """Tell this very image from a later one of the same name: an overlay fits only the file below it."""
    disk = (image / "root.qcow2").stat()
    return f"{image} {disk.st_size} {disk.st_mtime_ns}"


def _disk_is_of(folder: Path, image: Path) -> bool:
    mark = folder / "image"
    return mark.exists() and (folder / "disk.qcow2").exists() and mark.read_text() == _image_mark(image)


def _make_disk(folder: Path, image: Path) -> None:
    (folder / "image").unlink(missing_ok=True)
    shared = ["-F", "qcow2", "-b", image / "root.qcow2"]
    create = ["qemu-img", "create", "-q", "-f", "qcow2", *shared, folder / "disk.qcow2"]
    rootfs.run_program(create, 60, BoardError)
    (folder / "image").write_text(_image_mark(image))


def _start(folder: Path, image: Path, where: Endpoint, tries: int = 3) -> None:
    """Start QEMU in the background; its own checks (ports, files) are over when this returns."""
    where = replace(where, port=_free_port())
    record = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(where).items()}
    (folder / "endpoint.json").write_text(json.dumps(record))
    try:
        rootfs.run_program(_command_line(folder, image, where.port), 60, BoardError)
    except BoardError as exc:
        if tries == 1 or "host forwarding" not in str(exc):
            raise
        _start(folder, image, where, tries - 1)  # another process took the port in between


def _command_line(folder: Path, image: Path, port: int) -> list[str | Path]:
    disk = str(folder / "disk.qcow2").replace(",", ",,")
    return [
        *["qemu-system-aarch64", *_BOARD, *_CLOCK, "-nodefaults", "-display", "none", "-no-reboot"],
        *["-kernel", image / "vmlinuz", "-initrd", image / "initrd.gz", "-append", _KERNEL_OPTIONS],
        *["-drive", f"if=none,id=disk,format=qcow2,file={disk}", "-device", "virtio-blk-pci,drive=disk"],
        # restrict: the board sees no network but this port
        *["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"],
        *["-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"],
        *["-serial", f"file:{folder / 'console.log'}", "-daemonize", "-pidfile", folder / "pid"],
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _read_endpoint(folder: Path) -> Endpoint:
    record = json.loads((folder / "endpoint.json").read_text())
    return Endpoint(**record | {"key_file": Path(record["key_file"])})


def _process(folder: Path) -> int | None:
    """Give the machine's process id; a number that now belongs to another program does not count."""
    try:
        number = int((folder / "pid").read_text())
        words = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return number if str(folder / "disk.qcow2").replace(",", ",,").encode() in words else None


def _wait_for_ssh(folder: Path) -> Endpoint:
    where = _read_endpoint(folder)
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while time.monotonic() < deadline:
        if _process(folder) is None:
            raise BoardError(f"the virtual machine stopped while starting; {_console(folder)}")
        if _answers(where):
            return where
        time.sleep(0.1)
    _stop(folder)
    raise BoardError(
        f"no answer over SSH after {BOOT_TIMEOUT_S:g} s; the virtual machine was stopped; {_console(folder)}"
    )


def _answers(where: Endpoint) -> bool:
    """Read the banner: QEMU itself accepts connections long before the board's server is there."""
    try:
        with socket.create_connection((where.host, where.port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _console(folder: Path) -> str:
    log = folder / "console.log"
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    return "the console's last lines:\n" + ("\n".join(lines) or "(none)")


def _stop(folder: Path) -> bool:
    if _process(folder) is None:
        return False
    attempts = [
        (_ask_to_power_off, _POWER_OFF_TIMEOUT_S),
        (_signaller(signal.SIGTERM), 5.0),
        (_signaller(signal.SIGKILL), 5.0),
    ]
    for attempt, timeout_s in attempts:
        attempt(folder)
        if _ends_within(folder, timeout_s):
            return True
    raise BoardError(f"the virtual machine (process {_process(folder)}) does not stop; end it by hand (kill -9)")


def _signaller(number: signal.Signals) -> Callable[[Path], None]:
    def send(folder: Path) -> None:
        process = _process(folder)
        if process is not None:
            os.kill(process, number)

    return send


def _ends_within(folder: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while _process(folder) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _ask_to_power_off(folder: Path) -> None:
    """Tell the board's first process to sync and power off; a board that can't be asked is ended anyway."""
    try:
        with open_client(folder.name, _read_endpoint(folder)) as client:
            client.exec_command("echo >/run/power", timeout=5)[1].read()
    except (BoardError, ValueError, *BROKEN):
        return
