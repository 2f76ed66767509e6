"""Give a board its runtime: wheels chosen and fetched here, installed there, no internet needed on the board."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from .errors import AgentError, WheelError
from .facts import read_facts
from .image import Progress
from .ssh import Connection, Upload

# Pinned, so that two boards, and the same board next year, run the same code. The newest ONNX Runtime that has
# wheels for that Python; 1.21.0 dies of an illegal instruction on a Raspberry Pi 4 and is none of them.
PINNED = {
    (3, 9): ("onnxruntime==1.19.2", "numpy==2.0.2"),
    (3, 10): ("onnxruntime==1.23.2", "numpy==2.2.6"),
}
PINNED_NEWER = ("onnxruntime==1.31.1", "numpy==2.4.6")

OLDEST_GLIBC = 17  # 2.17: manylinux2014
HEADROOM = 4  # unpacked wheels are about four times their size
DOWNLOAD_SECONDS = 900


@dataclass(frozen=True)
class Site:
    """A board made ready: its facts, and where its runtime and runner lie below its root."""

    facts: dict[str, Any]
    runtime: str
    runner: str


def requirements(python: tuple[int, int]) -> tuple[str, ...]:
    """The pinned packages for a board's Python."""
    return PINNED.get(python, PINNED_NEWER)


def fetch_wheels(machine: str, python: tuple[int, int], glibc_minor: int) -> list[Path]:
    """Wheels for a board, from the cache or the package index; `WheelError` when there are none."""
    packages = requirements(python)
    folder = platformdirs.user_cache_path("tonearm") / "wheels" / f"{machine}-cp{python[0]}{python[1]}-{glibc_minor}"
    found = _cached(folder, packages)
    if found is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _download(Path(temporary), packages, machine, python, glibc_minor)
            _keep(Path(temporary), folder)
        found = _cached(folder, packages)
    if found is None:
        raise WheelError(f"the package index gave no wheels of {' and '.join(packages)} for {machine}")
    return found


def _cached(folder: Path, packages: tuple[str, ...]) -> list[Path] | None:
    matches = [sorted(folder.glob(package.replace("==", "-") + "-*.whl")) for package in packages]
    return [wheels[0] for wheels in matches] if all(matches) else None


def _keep(downloaded: Path, folder: Path) -> None:
    """Move whole wheels into the cache, one rename each: a broken download leaves none there."""
    folder.mkdir(exist_ok=True)
    for wheel in downloaded.glob("*.whl"):
        wheel.replace(folder / wheel.name)


def _download(folder: Path, packages: tuple[str, ...], machine: str, python: tuple[int, int], glibc_minor: int) -> None:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(glibc_minor, OLDEST_GLIBC - 1, -1)]
    platforms += [f"manylinux2014_{machine}"]
    tags = [word for platform in platforms for word in ("--platform", platform)]
    version = f"{python[0]}.{python[1]}"
    options = ["--no-deps", "--only-binary=:all:", "--python-version", version, "--implementation", "cp"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "download",
        *options,
        *tags,
        "--dest",
        str(folder),
        *packages,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise WheelError(
            f"no wheels of {' and '.join(packages)} for {machine}, Python {version}, glibc 2.{glibc_minor}: {reason[0]}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise WheelError(f"the package index did not deliver within {DOWNLOAD_SECONDS} s; try again") from error


def runtime_name(wheels: list[Path]) -> str:
    """The runtime's folder below a board's root: named after the wheels' content."""
    digests = sorted(hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels)
    return f"runtimes/{hashlib.sha256(' '.join(digests).encode()).hexdigest()[:16]}"


def runner_files() -> dict[str, bytes]:
    """Our runner as it lies on a board: path -> content."""
    folder = resources.files("tonearm.runtime")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".py"))
    return {f"tonearm/runtime/{name}": folder.joinpath(name).read_bytes() for name in names}


def runner_name(files: dict[str, bytes]) -> str:
    """The runner's folder below a board's root: named after its content."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    return f"runners/{digest.hexdigest()[:16]}"


def prepare(connection: Connection, progress: Progress = lambda text, done, total: None) -> Site:
    """Make sure that the board has the runtime and the runner; pushes nothing that is there.

    Raises:
        WheelError: no ONNX Runtime for this machine and Python.
        NoSpaceError, AgentError, UnreachableError: see `Connection.ask`.
    """
    facts = read_facts(connection)
    wheels = wheels_for(connection.name, facts)
    files = runner_files()
    site = Site(facts, runtime_name(wheels), runner_name(files))
    absent = missing_paths(connection, [site.runtime, site.runner])
    if site.runtime in absent:
        _install_runtime(connection, site, wheels, progress)
    if site.runner in absent:
        push_tree(connection, site.runner, files, progress)
    return site


def missing_paths(connection: Connection, paths: list[str]) -> list[str]:
    """Which of `paths`, below the board's root, are not there."""
    state, _ = connection.ask("missing", objects=[], paths=paths)
    return [path for path in paths if path in state.get("paths", paths)]


def wheels_for(name: str, facts: dict[str, Any]) -> list[Path]:
    """Wheels that fit a board's facts; `WheelError` says why there can be none."""
    libc = facts["libc"]
    if libc != "glibc":
        raise WheelError(
            f"{name}: ONNX Runtime has wheels for glibc only, this board has {libc or 'another C library'}"
        )
    if facts["bits"] != 64:
        raise WheelError(f"{name}: ONNX Runtime has no wheels for 32-bit {facts['machine']}; use a 64-bit system there")
    major, minor, _ = facts["python"]
    return fetch_wheels(facts["machine"], (major, minor), int(re.split(r"\D", facts["libc_version"])[1]))


def _install_runtime(connection: Connection, site: Site, wheels: list[Path], progress: Progress) -> None:
    uploads = [Upload(wheel.name, wheel.read_bytes()) for wheel in wheels]
    push_objects(connection, uploads, progress, "push the runtime", headroom=HEADROOM)
    progress("install the runtime", 0, 1)
    digests = [upload.entry["sha256"] for upload in uploads]
    try:
        connection.ask("runtime", path=site.runtime, wheels=digests)
    except AgentError as error:
        if "libstdc++" in str(error):
            hint = "the C++ library is missing there: sudo apt install libstdc++6"
            raise AgentError(f"{connection.name}: {hint}", error.kind) from error
        raise
    progress("install the runtime", 1, 1)


def push_tree(connection: Connection, path: str, files: dict[str, bytes], progress: Progress) -> int:
    """Make the folder `path` on the board of `files`; the number of bytes that had to be pushed."""
    uploads = [Upload(name, content) for name, content in files.items()]
    pushed = push_objects(connection, uploads, progress, f"push {path.split('/')[1]}")
    connection.ask("tree", path=path, contents={upload.name: upload.entry["sha256"] for upload in uploads})
    return pushed


def push_objects(
    connection: Connection, uploads: list[Upload], progress: Progress, text: str, headroom: int = 1
) -> int:
    """Push what of `uploads` the board does not hold yet, by hash; the number of bytes."""
    by_hash = {upload.entry["sha256"]: upload for upload in uploads}
    state, _ = connection.ask("missing", objects=list(by_hash), paths=[])
    missing = [replace(by_hash[sha256], start=start) for sha256, start in _absent(connection, state, by_hash).items()]
    total = sum(len(upload.content) - upload.start for upload in missing)
    if missing:
        progress(text, 0, total)
        connection.ask(
            "put", missing, on_sent=lambda sent, total: progress(text, sent, total), headroom=headroom * total
        )
    return total


def _absent(connection: Connection, state: dict[str, Any], wanted: dict[str, Upload]) -> dict[str, int]:
    """The hashes that the board says it does not have, and how many bytes of each it has got so far."""
    try:
        told = {str(sha256): int(size) for sha256, size in state["objects"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentError(f"{connection.name}: what it says it has makes no sense: {error!r}") from error
    return {sha256: min(max(told[sha256], 0), len(wanted[sha256].content)) for sha256 in wanted if sha256 in told}
