"""The wheels kept on this machine: fetched from the package index once, whole or not at all, checked when used."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from ...runtime.progress import Progress
from ..errors import NoWheelError, WheelError
from ..locks import exclusive
from .download import download
from .wheels import Pin, Platform, file_digest

WAIT_SECONDS = 1800


def quiet(text: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class Wheelhouse:
    """A folder of wheels, and where new ones come from.

    Wheels that a person copies there count too, in subfolders of one level as well. Beside each lies its sha256.
    """

    def __init__(self, folder: Path | None = None, index: Sequence[str] = ()) -> None:
        """Default: the person's cache folder. `index`: options of pip that say where wheels come from."""
        self.folder = folder or platformdirs.user_cache_path("tonearm") / "wheels"
        self.index = index

    def fetch(self, pin: Pin, platform: Platform, progress: Progress = quiet) -> list[Path]:
        """Whole wheels of the pinned versions that fit; downloads only what is not there.

        Raises:
            NoWheelError: the index has none that fits.
            WheelError: the index can't be reached, or did not deliver.
        """
        found = self._look(pin, platform)
        if None in found:
            self.folder.mkdir(parents=True, exist_ok=True)
            with exclusive(self.folder.with_name(".wheels.lock"), WAIT_SECONDS, WheelError):
                found = self._look(pin, platform)  # another process may have fetched them meanwhile
                missing = [package for package, wheel in zip(pin.packages, found, strict=True) if not wheel]
                if missing:
                    self._download(missing, platform, progress)
                    found = self._look(pin, platform)
        if None in found:
            raise NoWheelError(f"the package index has no wheels of {pin} for {platform}")
        return [wheel for wheel in found if wheel]

    def _look(self, pin: Pin, platform: Platform) -> list[Path | None]:
        return [self._find(package, platform) for package in pin.packages]

    def _find(self, package: str, platform: Platform) -> Path | None:
        """The best wheel of a package; damaged ones are taken away."""
        ranked = []
        for wheel in sorted([*self.folder.glob("*.whl"), *self.folder.glob("*/*.whl")]):
            rank = platform.rank(wheel, package)
            if rank is not None:
                ranked.append((rank, wheel))
        return next((wheel for _, wheel in sorted(ranked) if _is_whole(wheel)), None)

    def _download(self, packages: Sequence[str], platform: Platform, progress: Progress) -> None:
        temporary = self.folder.with_name(".wheels.part")  # nobody else downloads now: what is there was left behind
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            download(packages, platform, temporary, self.index, self.folder, progress)
            for wheel in temporary.glob("*.whl"):
                _record(self.folder / wheel.name).write_text(file_digest(wheel))
                wheel.replace(self.folder / wheel.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _record(wheel: Path) -> Path:
    return wheel.with_name(f"{wheel.name}.sha256")


def _is_whole(wheel: Path) -> bool:
    """Whether a wheel is as it was downloaded; one that a person put there is what it is, if it can be unpacked."""
    record = _record(wheel)
    with contextlib.suppress(OSError):
        if record.is_file() and record.read_text().strip() == file_digest(wheel):
            return True
        if _can_be_unpacked(wheel) and wheel.stat().st_mtime > _changed(record):
            record.write_text(file_digest(wheel))
            return True
        record.unlink(missing_ok=True)
        wheel.unlink(missing_ok=True)
    return False


def _changed(record: Path) -> float:
    """When a record was made; a wheel that is newer was put there by a person."""
    return record.stat().st_mtime if record.is_file() else 0.0


def _can_be_unpacked(wheel: Path) -> bool:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error):
        return False
