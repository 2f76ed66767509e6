"""Download wheels for another machine with pip, telling how far it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ...runtime.progress import Progress
from ..errors import NoWheelError, WheelError
from .wheels import Platform

POLL_SECONDS = 0.2
_STARTED = re.compile(r"(?:Downloading|Using cached) (?:.*/)?([^/ ]+\.whl)(?: \(([\d.]+) ([kM])B\))?")
_UNREACHABLE = re.compile(r"connection broken by|Max retries exceeded|Network is unreachable|Read timed out")
_ABSENT = re.compile(r"No matching distribution found|\(from versions: none\)")


def download(
    packages: Sequence[str], platform: Platform, folder: Path, index: Sequence[str], shelf: Path, progress: Progress
) -> None:
    """Wheels of `packages` (`name==version`) into the new folder `folder`; pip compares them with the index's hashes.

    Args:
        packages: what to get.
        platform: what they must fit.
        folder: where they go, and what pip needs meanwhile.
        index: more options for pip.
        shelf: where a person without internet can put wheels; for the error.
        progress: called with the file's name, its bytes so far and all of them.

    Raises:
        NoWheelError: the index has none that fits.
        WheelError: it can't be reached, or did not deliver.
    """
    (folder / "tmp").mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "pip", "download", *options(platform), *index, "--dest", str(folder), *packages]
    pipe = subprocess.PIPE
    progress(f"look for {' and '.join(packages)} in the package index", 0, 0)
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, errors="replace") as pip:
        said: tuple[list[str], list[str]] = ([], [])
        readers = [
            threading.Thread(target=_read, args=pair) for pair in zip((pip.stdout, pip.stderr), said, strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            while any(reader.is_alive() for reader in readers):
                readers[0].join(POLL_SECONDS)
                _tell(said[0], folder / "tmp", progress)
        finally:
            pip.kill()  # on Ctrl-C; it has ended otherwise
            for reader in readers:
                reader.join()
    if pip.returncode:
        raise _failure("".join(said[1]), packages, platform, shelf)


def options(platform: Platform) -> list[str]:
    """What makes pip choose for another machine."""
    python = f"{platform.python[0]}.{platform.python[1]}"
    fixed = ["--disable-pip-version-check", "--progress-bar=off", "--no-deps", "--only-binary=:all:", "--retries=2"]
    target = ["--implementation=cp", f"--python-version={python}", f"--abi={platform.abi}", "--abi=abi3", "--abi=none"]
    return [*fixed, *target, *(f"--platform={name}" for name in platform.platforms)]


def _read(stream: IO[str], lines: list[str]) -> None:
    lines.extend(iter(stream.readline, ""))


def _tell(lines: list[str], folder: Path, progress: Progress) -> None:
    """Pip says what it fetches and how large that is; how much has come is the size of its file."""
    started = [found for found in map(_STARTED.search, lines.copy()) if found]
    if started:
        name, number, unit = started[-1].groups()
        total = int(float(number) * {"k": 1e3, "M": 1e6}[unit]) if number else 0
        sizes = [path.stat().st_size for path in folder.glob(f"*/{name}") if path.is_file()]
        progress(f"download {name}", min(max(sizes, default=0), total), total)


def _failure(said: str, packages: Sequence[str], platform: Platform, shelf: Path) -> WheelError:
    """Why pip ended without wheels, in a line, and what to do."""
    wanted = " and ".join(packages)
    if _UNREACHABLE.search(said):
        files = " and ".join(
            f"{package.replace('==', '-')}-{platform.abi}-*_{platform.machine}.whl" for package in packages
        )
        return WheelError(
            f"the package index can't be reached for {wanted}: connect this machine to the internet once and try "
            f"again, or put {files} from https://pypi.org into {shelf}"
        )
    last = (said.strip().splitlines() or ["pip gave no reason"])[-1]
    kind = NoWheelError if _ABSENT.search(said) else WheelError
    return kind(f"the package index gave no {wanted} for {platform}: {last}")
