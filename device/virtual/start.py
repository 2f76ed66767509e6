"""The image of the virtual board, built once and kept: keyed by the recipe and by the wheels baked into it."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path

import platformdirs

from ...runtime.progress import Progress, Remark
from ..errors import BoardError, ImageError
from ..runtimes.wheelhouse import Wheelhouse
from ..runtimes.wheels import PINS, Platform, runtime_name
from ..ssh.endpoint import Endpoint
from ..ssh.keys import ensure_key
from . import image, qemu, rootfs

PLATFORM = Platform("aarch64", rootfs.PYTHON_VERSION, 36)  # the suite's


def start(name: str, progress: Progress) -> Endpoint:
    """Start the virtual board `name` unless it runs, building its image first when there is none.

    Raises:
        ImageError: a program or package it needs is missing here, or the build failed.
        BoardError: it does not come up.
    """
    running = qemu.endpoint(name)
    if running and qemu.answers(running):
        return running
    reason = obstacle()
    if reason:
        raise ImageError(f"{reason}; or use --board loopback, which needs nothing")
    keys = platformdirs.user_cache_path("tonearm") / "virtual" / "keys"
    authorized, host_key = ensure_key(keys / "user_key"), ensure_key(keys / "host_key")
    folder = _ensure_image(keys.parent, authorized, host_key, progress)
    try:
        return _up(name, folder, keys / "user_key", host_key, progress)
    except BoardError:
        if image.is_intact(folder):
            raise
    _discard(folder, progress)
    folder = _ensure_image(keys.parent, authorized, host_key, progress)
    return _up(name, folder, keys / "user_key", host_key, progress)


def _up(name: str, folder: Path, key: Path, host_key: str, progress: Progress) -> Endpoint:
    where = qemu.up(name, folder, key, host_key, progress)
    image.note(folder)
    return where


def obstacle() -> str:
    """Why this machine can't run a virtual board and what to do about it, or nothing."""
    missing = qemu.missing_programs()
    if missing:
        return f"the virtual board needs {', '.join(missing)}: sudo apt install {' '.join(missing)}"
    if not image.can_be_root():
        return "to build the virtual board, an ordinary user needs user namespaces, which are denied here: run as root"
    try:
        rootfs.debian_mirror()
    except ImageError as error:
        return str(error)
    return ""


def _discard(folder: Path, progress: Progress) -> None:
    progress(Remark(f"the virtual board's image {folder} is damaged, and made anew"), 0, 0)
    image.discard(folder)


def _ensure_image(parent: Path, authorized: str, host_key: str, progress: Progress) -> Path:
    wheels = Wheelhouse().fetch(PINS[0], PLATFORM, progress)
    parts = [str(image.RECIPE_VERSION), runtime_name(wheels), authorized, host_key]
    folder = parent / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    if image.is_there(folder):
        return folder
    if folder.exists():
        _discard(folder, progress)
    with tempfile.TemporaryDirectory() as unpacked:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        baked = {f"/root/.tonearm/{runtime_name(wheels)}": Path(unpacked)}
        image.build_image(folder, baked, authorized, parent / "keys" / "host_key", progress)
    return folder
