"""The built-in ARM64 board: a machine of QEMU's that counts instructions instead of time.

Under `-icount shift=0` one instruction lasts one virtual nanosecond, so that block times repeat on any host;
they say how much work a step is, never how fast a real board does it.

A machine outlives the command that started it. Its folder holds its disk (an overlay on the shared image),
the process id and the endpoint; a lock there keeps two commands from starting it twice. Nothing listens but
SSH, on the loopback.
"""

import json
import re
import signal
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path

import platformdirs

from ...runtime.progress import Progress, Remark
from ..errors import BoardError
from ..locks import exclusive
from ..ssh.client import BROKEN, open_client
from ..ssh.endpoint import Endpoint
from . import disk, rootfs
from .process import PID_FILE, is_running, processes, send

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
    A machine on another image is stopped first; a disk that is of another image, or damaged, is made anew, and
    `progress` is told. Raises BoardError, with the console's last lines, when SSH does not answer within
    BOOT_TIMEOUT_S; a machine that was started here and is not up, for that or another reason, is ended.
    """
    folder, image = _folder(name), image.absolute()
    where = Endpoint("127.0.0.1", 0, "root", key_file.absolute(), host_key)
    with exclusive(folder / "lock", _LOCK_TIMEOUT_S, BoardError):
        progress(f"start {name}", 1, 2)
        if _is_good(folder, image, progress):
            progress(f"wait for SSH on {name}", 2, 2)
            return _wait_for_ssh(folder)
        try:
            return _boot(folder, image, where, progress)
        except BoardError:
            if not disk.is_blamed(_log(folder)):
                raise
        _make_disk(folder, image, "it does not start from it", progress)
        return _boot(folder, image, where, progress)


def _is_good(folder: Path, image: Path, progress: Progress) -> bool:
    """Whether the machine runs as it should; else it is down, and its disk can be started from."""
    if is_running(folder):
        why = disk.misfit(folder, image) or ("" if _recorded(folder) else "where it answers is not known any more")
        if not why:
            return True
        progress(Remark(f"{folder.name} is stopped and started again: {why}"), 1, 2)
        _stop(folder)
    flaw = disk.misfit(folder, image) or disk.damage(folder)
    if flaw:
        _make_disk(folder, image, flaw, progress)
    return False


def _make_disk(folder: Path, image: Path, why: str, progress: Progress) -> None:
    if (folder / disk.DISK).exists():
        progress(Remark(f"the disk of {folder.name} is made anew ({why}): deploy again what was on it"), 1, 2)
    disk.make(folder, image)


def _boot(folder: Path, image: Path, where: Endpoint, progress: Progress) -> Endpoint:
    try:
        _start(folder, image, where)
        progress(f"wait for SSH on {folder.name}", 2, 2)
        return _wait_for_ssh(folder)
    except BaseException:
        _end(folder)  # also when we are interrupted: nobody has worked on it yet
        raise


def _end(folder: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        send(folder, number)
        if _ends_within(folder, 0.5):
            return


def endpoint(name: str) -> Endpoint | None:
    """Say where the machine `name` answers; None when it does not run."""
    folder = _folder(name)
    return _recorded(folder) if is_running(folder) else None


def names() -> list[str]:
    """Name the machines that were ever started, sorted."""
    return sorted(path.parent.name for path in _folder("virtual").parent.glob("*/endpoint.json"))


def down(name: str) -> bool:
    """Power the machine `name` off, its disk in order, or end it after a bounded wait; say whether it ran."""
    folder = _folder(name)
    if not folder.exists() and not is_running(folder):
        return False
    with exclusive(folder / "lock", _LOCK_TIMEOUT_S, BoardError):
        return _stop(folder)


def _folder(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BoardError(f"{name!r} can't name a board: use letters, digits, '.', '_' and '-'")
    return platformdirs.user_state_path("tonearm").absolute() / "boards" / name


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
    file = str(folder / disk.DISK).replace(",", ",,")
    return [
        *["qemu-system-aarch64", *_BOARD, *_CLOCK, "-nodefaults", "-display", "none", "-no-reboot"],
        *["-kernel", image / "vmlinuz", "-initrd", image / "initrd.gz", "-append", _KERNEL_OPTIONS],
        *["-drive", f"if=none,id=disk,format=qcow2,file={file}", "-device", "virtio-blk-pci,drive=disk"],
        # restrict: the board sees no network but this port
        *["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"],
        *["-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"],
        *["-serial", f"file:{folder / 'console.log'}", "-daemonize", "-pidfile", folder / PID_FILE],
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _recorded(folder: Path) -> Endpoint | None:
    """Where the machine was told to answer; None where that is not known, or damaged."""
    try:
        record = json.loads((folder / "endpoint.json").read_text())
        found = Endpoint(**record | {"key_file": Path(record["key_file"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if type(found.port) is int and 0 < found.port < 1 << 16 else None


def _wait_for_ssh(folder: Path) -> Endpoint:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while time.monotonic() < deadline:
        if not is_running(folder):
            raise BoardError(f"the virtual machine stopped while starting; {_console(folder)}", board=folder.name)
        where = _recorded(folder)
        if where and answers(where):
            return where
        time.sleep(0.1)
    _stop(folder)
    raise BoardError(
        f"no answer over SSH after {BOOT_TIMEOUT_S:g} s; the virtual machine was stopped; {_console(folder)}",
        board=folder.name,
    )


def answers(where: Endpoint) -> bool:
    """Read the banner: QEMU itself accepts connections long before the board's server is there."""
    try:
        with socket.create_connection((where.host, where.port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _log(folder: Path) -> str:
    log = folder / "console.log"
    return log.read_text(errors="replace") if log.exists() else ""


def _console(folder: Path) -> str:
    lines = _log(folder).splitlines()[-15:]
    return "the console's last lines:\n" + ("\n".join(lines) or "(none)")


def _stop(folder: Path) -> bool:
    if not is_running(folder):
        return False
    attempts = [
        (_ask_to_power_off, _POWER_OFF_TIMEOUT_S),
        (lambda folder: send(folder, signal.SIGTERM), 5.0),
        (lambda folder: send(folder, signal.SIGKILL), 5.0),
    ]
    for attempt, timeout_s in attempts:
        attempt(folder)
        if _ends_within(folder, timeout_s):
            return True
    left = ", ".join(map(str, processes(folder)))
    raise BoardError(f"the virtual machine (process {left}) does not stop; end it by hand (kill -9)", board=folder.name)


def _ends_within(folder: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_running(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _ask_to_power_off(folder: Path) -> None:
    """Tell the board's first process to sync and power off; a board that can't be asked is ended anyway."""
    where = _recorded(folder)
    if where is None or not answers(where):
        send(folder, signal.SIGTERM)
        return
    try:
        with open_client(folder.name, where) as client:
            client.exec_command("echo >/run/power", timeout=5)[1].read()
    except (BoardError, ValueError, *BROKEN):
        return
