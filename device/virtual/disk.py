"""A machine's own disk: an overlay on the shared image, made anew where it fits none or is damaged."""

from pathlib import Path

from ..errors import BoardError
from . import rootfs

DISK = "disk.qcow2"
BASE = "root.qcow2"
_MARK = "image"
# What the console shows of a disk that a machine can't live with. "board: up": its server was started, and yet nobody
# could talk to it. A machine that is only slow, or was ended from outside, has shown none of these.
_NOT_TOLD = (" lock", "took longer than", "not installed")  # of a check that says nothing of the disk
_BLAMED = ("Kernel panic", "EXT4-fs error", "board: up")


def misfit(folder: Path, image: Path) -> str:
    """Why the disk of the machine in `folder` can't be used with that image; nothing where it can."""
    if not (folder / DISK).exists():
        return "it has no disk"
    fits = (folder / _MARK).is_file() and (folder / _MARK).read_bytes() == _mark(image)
    return "" if fits else "its disk is not known to be of this image"


def damage(folder: Path) -> str:
    """What is wrong with the disk of a machine that is down, if it is no longer one.

    Raises:
        BoardError: it can't be told now, as somebody else uses the disk, or the check takes too long.
    """
    try:
        rootfs.run_program(["qemu-img", "check", "-q", "-f", "qcow2", "-r", "leaks", folder / DISK], 60, BoardError)
    except BoardError as error:
        if any(words in str(error) for words in _NOT_TOLD):
            raise
        return f"it is damaged: {str(error).splitlines()[-1][-200:]}"
    return ""


def is_blamed(console: str) -> bool:
    """Whether a machine that did not come up was kept from it by what is on its disk."""
    return any(words in console for words in _BLAMED)


def make(folder: Path, image: Path) -> None:
    """Make a new one, as the image has it."""
    (folder / _MARK).unlink(missing_ok=True)
    (folder / DISK).unlink(missing_ok=True)
    shared = ["-F", "qcow2", "-b", image / BASE]
    rootfs.run_program(["qemu-img", "create", "-q", "-f", "qcow2", *shared, folder / DISK], 60, BoardError)
    (folder / _MARK).write_bytes(_mark(image))


def _mark(image: Path) -> bytes:
    """Tell this very image from a later one of the same name: an overlay fits only the file below it."""
    disk = (image / BASE).stat()
    return f"{image} {disk.st_size} {disk.st_mtime_ns}".encode()
