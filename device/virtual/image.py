"""The virtual board's disk image: kernel, initramfs and a compressed ext4 disk, made by an ordinary user.

    packages -> root tree + baked folders -> ext4 (mke2fs -d) -> root.qcow2
            \\-> kernel -> vmlinuz; its virtio modules + busybox -> initrd.gz

The finished folder is never written to again: every board's disk is an overlay on it.
"""

import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ...runtime.progress import Progress
from ..errors import ImageError
from ..locks import exclusive
from . import rootfs

# History of the recipe; a board's disk is made anew when it changes.
# 1: Debian bookworm, cloud kernel, OpenSSH, Python 3.11, ext4 with a journal.
RECIPE_VERSION = 1

FILES = ("vmlinuz", "initrd.gz", "root.qcow2")
SUMS = "sums.json"  # size and sha256 of each
IDLE_MINUTES = 30
"""The machine ends itself after this long without an SSH connection."""

_AS_ROOT = ["unshare", "--map-root-user"]
_STAGES = (
    "fetch package lists",
    "download packages",
    "unpack packages",
    "set up the board",
    "make the file system",
    "compress the disk",
)
_FREE_MIB = 1024  # room for releases on the board, on top of what is baked in
_BUILD_TIMEOUT_S = 1800.0
# In the order in which the kernel needs them; all else is built into it.
_VIRTIO = ["virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"]
_MODULES = [*_VIRTIO, "virtio_blk", "failover", "net_failover", "virtio_net", "virtio-rng"]

_FIRST_INIT = """\
#!/bin/sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $b insmod $module; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do $b usleep 50000; tries=$((tries + 1)); done
$b mount -t ext4 -o ro /dev/vda /root
$b umount /proc; $b mount --move /dev /root/dev
exec $b switch_root /root /sbin/board-init
"""

# Process 1 stays in the last loop. Reading a pipe with a time limit and a file by a builtin starts no
# process: the minute's check costs a running measurement less than a timer tick.
_INIT = f"""\
#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /dev/pts /dev/shm /run/sshd
mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /tmp
mount -o remount,rw,noatime /
hostname board
ip link set lo up; ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0
mkfifo -m 600 /run/power
exec 9<>/run/power
/usr/sbin/sshd 9>&-
echo "board: up after $(cut -d' ' -f1 /proc/uptime) s"
connection=':0016 [0-9A-F]{{8}}:[0-9A-F]{{4}} 01 '
idle_minutes=0
while [ $idle_minutes -lt {IDLE_MINUTES} ] && ! read -r -t 60 -u 9; do
    mapfile -t sockets </proc/net/tcp
    idle_minutes=$((idle_minutes + 1))
    if [[ "${{sockets[*]}}" =~ $connection ]]; then idle_minutes=0; fi
done
echo "board: powering off"
kill -TERM -1; sleep 0.3
sync; mount -o remount,ro /
echo o >/proc/sysrq-trigger
while :; do sleep 60; done
"""

_SSHD_CONFIG = """\
Port 22
AddressFamily inet
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxSessions 64
Subsystem sftp internal-sftp
"""


def build_image(
    folder: Path, baked: Mapping[str, Path], authorized_key: str, host_key_file: Path, progress: Progress
) -> None:
    """Make `folder` with vmlinuz, initrd.gz and root.qcow2, unless it is there, whole.

    `baked` maps absolute paths on the board to folders of this host that are copied there with their modes.
    `authorized_key` is the OpenSSH line that may log in as root; `host_key_file` the board's host key.
    Two builds at once make one image; an interrupted one leaves no `folder`. Raises ImageError.
    """
    folder = folder.absolute()
    partial = folder.with_name(".partial")
    with exclusive(folder.with_name(".lock"), _BUILD_TIMEOUT_S, ImageError):
        if is_there(folder):
            return
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)  # left by a build that was killed
        try:
            partial.mkdir(mode=0o700)
            _build(partial, baked, authorized_key, host_key_file, progress)
            (partial / "image").rename(folder)
        except OSError as exc:
            raise ImageError(f"the image could not be written: {exc}") from exc
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def is_there(folder: Path) -> bool:
    """Whether all files of the image are there, as large as they were made."""
    made = _made(folder)
    sizes = {name: (folder / name).stat().st_size if (folder / name).is_file() else 0 for name in FILES}
    return all(sizes.values()) and all(sizes[name] == size for name, (size, _) in made.items())


def is_intact(folder: Path) -> bool:
    """Whether all files of the image are as they were noted to be."""
    return all(_noted(folder / name) == made for name, made in _made(folder).items())


def note(folder: Path) -> None:
    """Note of an image that has just been seen to work what it is, unless that was done when it was made."""
    if not _made(folder):
        (folder / SUMS).write_text(json.dumps({name: _noted(folder / name) for name in FILES}))


def discard(folder: Path) -> None:
    """Take a damaged image away; machines that run on it are not disturbed."""
    with exclusive(folder.with_name(".lock"), _BUILD_TIMEOUT_S, ImageError):
        shutil.rmtree(folder, ignore_errors=True)


def _made(folder: Path) -> dict[str, tuple[int, str]]:
    """Name -> size and sha256 of the files when they were made, where that was noted."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        noted = json.loads((folder / SUMS).read_text())
        return {name: (int(noted[name][0]), str(noted[name][1])) for name in FILES if name in noted}
    return {}


def _noted(file: Path) -> tuple[int, str]:
    with file.open("rb") as stream:
        return file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()


def can_be_root() -> bool:
    """Whether files can be given to root inside an image: as root, or in a user namespace of our own."""
    return os.geteuid() == 0 or subprocess.run([*_AS_ROOT, "true"], capture_output=True, timeout=60).returncode == 0


def _build(work: Path, baked: Mapping[str, Path], authorized_key: str, host_key_file: Path, progress: Progress) -> None:
    packages, root, boot, image = (work / name for name in ("apt", "root", "boot", "image"))
    image.mkdir()
    stages = iter([(name, number, len(_STAGES)) for number, name in enumerate(_STAGES, 1)])
    progress(*next(stages))
    rootfs.fetch_lists(packages)
    progress(*next(stages))
    rootfs.download_packages(packages)
    progress(*next(stages))
    rootfs.unpack_root(packages, root)
    rootfs.unpack_boot(packages, boot)
    progress(*next(stages))
    _set_up_root(root, authorized_key, host_key_file)
    _bake(root, baked)
    _make_initramfs(boot, work / "initramfs", image / "initrd.gz")
    shutil.move(_only(boot, "boot/vmlinuz-*"), image / "vmlinuz")
    progress(*next(stages))
    _make_file_system(root, work / "root.ext4")
    progress(*next(stages))
    _compress(work / "root.ext4", image / "root.qcow2")
    note(image)


def _set_up_root(root: Path, authorized_key: str, host_key_file: Path) -> None:
    """Do by hand what the packages' own scripts would have done."""
    _set_up_users(root)
    for name in ("proc", "sys", "dev", "run", "tmp", "mnt", "root/.ssh"):
        (root / name).mkdir(exist_ok=True)
    for name, mode in (("root", 0o700), ("root/.ssh", 0o700), ("tmp", 0o1777)):
        (root / name).chmod(mode)
    _write(root / "etc/hostname", "board\n")
    _write(root / "etc/hosts", "127.0.0.1 localhost board\n")
    _write(root / "etc/ssh/sshd_config", _SSHD_CONFIG)
    _write(root / "etc/ssh/ssh_host_ed25519_key", host_key_file.read_text(), 0o600)
    _write(root / "root/.ssh/authorized_keys", authorized_key.strip() + "\n", 0o600)
    _write(root / "sbin/board-init", _INIT, 0o755)
    if not (root / "bin/sh").exists():
        (root / "bin/sh").symlink_to("dash")


def _set_up_users(root: Path) -> None:
    masters = root / "usr/share/base-passwd"
    users = (masters / "passwd.master").read_text().replace("root:*:", "root:x:", 1)
    _write(root / "etc/passwd", users + "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
    _write(root / "etc/group", (masters / "group.master").read_text())
    _write(root / "etc/shadow", "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n", 0o600)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _bake(root: Path, baked: Mapping[str, Path]) -> None:
    """Copy the baked folders in, and compile Python where this Python writes what the board's reads."""
    places = {root / place.lstrip("/"): source for place, source in baked.items()}
    for place, source in places.items():
        shutil.copytree(source, place, symlinks=True)
    if sys.version_info[:2] == rootfs.PYTHON_VERSION:
        library = root / "usr/lib" / "python{}.{}".format(*rootfs.PYTHON_VERSION)
        skipped = re.escape(str(root)) + ".*/tests/"
        compiler = [
            sys.executable,
            "-m",
            "compileall",
            "-qq",
            "-j",
            "0",
            "-s",
            root,
            "-p",
            "/",
            "-x",
            skipped,
        ]
        rootfs.run_program([*compiler, library, *places], 600)


def _make_initramfs(boot: Path, work: Path, archive: Path) -> None:
    """Pack busybox, the virtio modules and the first init as a gzipped newc archive."""
    for name in ("bin", "modules", "proc", "dev", "root"):
        (work / name).mkdir(parents=True)
    shutil.copy2(boot / "bin/busybox", work / "bin")
    (work / "bin/sh").symlink_to("busybox")
    for number, name in enumerate(_MODULES, 10):
        shutil.copy2(_only(boot, f"lib/modules/**/{name}.ko"), work / "modules" / f"{number}-{name}.ko")
    _write(work / "init", _FIRST_INIT, 0o755)
    names = "\0".join(str(path.relative_to(work)) for path in sorted(work.rglob("*")))
    plain = work.with_suffix(".cpio")
    pack = ["cpio", "--create", "--null", "--format=newc", "--owner=0:0", "--quiet", "-F", plain]
    rootfs.run_program(pack, 60, folder=work, given=names)
    archive.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=1, mtime=0))


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise ImageError(f"the kernel package holds {len(found)} files like {pattern}; expected one")
    return found[0]


def _make_file_system(root: Path, disk: Path) -> None:
    """Make an ext4 file system, owned by root, with a journal: the machine may be killed at any time.

    Nothing is left for the board's kernel to initialise in the background: that would disturb measurements.
    """
    used_mib = sum(path.lstat().st_size for path in root.rglob("*")) >> 20
    as_root = [] if os.geteuid() == 0 else _AS_ROOT
    options = "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    make = ["mke2fs", "-q", "-t", "ext4", "-E", options, "-d", root, disk, f"{used_mib + _FREE_MIB}M"]
    try:
        rootfs.run_program([*as_root, *make], 600)
    except ImageError as exc:
        hint = "\n(an ordinary user needs user namespaces: try `unshare --map-root-user true`)" if as_root else ""
        raise ImageError(f"{exc}{hint}") from exc


def _compress(disk: Path, image: Path) -> None:
    options = ["-c", "-W", "-m", "8", "-o", "compression_type=zstd"]
    rootfs.run_program(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, disk, image], 600)
