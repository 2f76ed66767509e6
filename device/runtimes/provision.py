"""Give a board its runtime: wheels chosen and fetched here, installed there, no internet needed on the board."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from ...runtime.bundle import Bundle
from ...runtime.progress import Progress, unwatched
from ..errors import AgentError, DeviceError, NoWheelError
from ..ssh.connection import Connection, Upload
from .survey import Survey, advice, platform_of, read_survey, system_runtime
from .takes import check, tell_older, version_in
from .wheelhouse import Wheelhouse
from .wheels import PINS, Pin, pins_for, runtime_name

RUNTIME = Path(str(resources.files("tonearm.runtime")))
Fits = Callable[[str], None]
"""Called with a version of ONNX Runtime before it is used: raises where it can't run what is to run."""

HEADROOM = 4  # unpacked wheels are about four times their size


@dataclass(frozen=True)
class Site:
    """A board made ready: its facts, and where its runtime and runner lie below its root."""

    facts: dict[str, Any]
    runtime: str
    runner: str


def runner_files(folder: Path = RUNTIME) -> dict[str, bytes]:
    """Our runner as it lies on a board: path -> content, sub-packages too."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.py"))
    return {f"tonearm/runtime/{name}": (folder / name).read_bytes() for name in names}


def runner_name(files: dict[str, bytes]) -> str:
    """The runner's folder below a board's root: named after its content."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    return f"runners/{digest.hexdigest()[:16]}"


def prepare(
    connection: Connection,
    progress: Progress = unwatched,
    pins: Sequence[Pin] = PINS,
    wheelhouse: Wheelhouse | None = None,
    bundles: Sequence[Bundle] = (),
) -> Site:
    """Make sure that the board has a runtime that runs there, and the runner; pushes nothing that is there.

    Args:
        connection: to the board.
        progress: called with what is being done.
        pins: the versions to try, the best first.
        wheelhouse: where wheels come from; default: the person's cache and the package index.
        bundles: what is to run there; a version that can't take one of them is never pushed.

    Raises:
        WheelError: wheels for the board can't be had.
        NoWheelError: there are none for it, and it has no ONNX Runtime of its own.
        AgentError: none runs there; it says what was tried, how each ended and what to do.
        NoSpaceError, UnreachableError: see `Connection.ask`.
    """
    survey = read_survey(connection)
    files = runner_files()
    fits = partial(check, connection.name, bundles=bundles, progress=progress)
    runtime = _choose(connection, survey, pins, wheelhouse or Wheelhouse(), fits, progress)
    site = Site(survey.facts, f"runtimes/{runtime}", runner_name(files))
    if site.runner.split("/")[1] not in survey.runners:
        push_tree(connection, site.runner, files, progress)
    return site


def _choose(
    connection: Connection, survey: Survey, pins: Sequence[Pin], wheelhouse: Wheelhouse, fits: Fits, progress: Progress
) -> str:
    """The name of a runtime that runs on the board: of the best wheels, else of the system's own packages."""
    tried: list[str] = []
    try:
        platform = platform_of(connection.name, survey)
    except NoWheelError as error:
        return _system(connection, survey, [error.reason], fits, progress)
    for pin in pins_for(platform, pins):
        name = survey.installed(pin, platform)
        reason = survey.failure(pin)
        if not reason:
            fits(pin.onnxruntime)
        if name:
            return name
        if not reason:
            try:
                return _install(connection, survey, wheelhouse.fetch(pin, platform, progress), progress)
            except (NoWheelError, AgentError) as error:
                reason = _why_another(error)
        tried.append(f"{pin}: {reason}")
        progress(f"{tried[-1]}; trying the next version", 0, 0)
    return _system(connection, survey, tried or [f"no version of ONNX Runtime is known for {platform}"], fits, progress)


def _why_another(error: DeviceError) -> str:
    """Why older wheels are tried; what no other version would change is raised again."""
    if isinstance(error, AgentError) and error.kind != "import":
        raise error
    return error.reason


def _install(connection: Connection, survey: Survey, wheels: list[Path], progress: Progress) -> str:
    """Push and install wheels, and try them; the runtime's name."""
    if survey.noexec:
        mount = survey.noexec
        raise AgentError(
            f"{mount} is mounted noexec, so no library can be loaded from "
            f"{survey.facts['root']}: sudo mount -o remount,exec {mount} there, and take noexec out of /etc/fstab",
            "noexec",
            board=connection.name,
        )
    path = runtime_name(wheels)
    name = path.split("/")[1]
    if name in survey.runtimes and name not in survey.failed:
        return name
    tell_older(connection.name, version_in(wheels[0].name), progress)
    uploads = [Upload(wheel.name, wheel.read_bytes()) for wheel in wheels]
    push_objects(connection, uploads, progress, "upload the runtime", headroom=HEADROOM)
    progress("install the runtime", 0, 1)
    connection.ask("runtime", path=path, wheels=[upload.entry["sha256"] for upload in uploads])
    progress("install the runtime", 1, 1)
    return name


def _system(connection: Connection, survey: Survey, tried: list[str], fits: Fits, progress: Progress) -> str:
    """The name of a runtime made of the system's own packages, or what was tried and what to do."""
    name, why = survey.system, ""
    if name in survey.failed:
        why = survey.failed[name][1]
    elif name in survey.runtimes:
        fits(version_in(name))
        return name
    else:
        progress("look for ONNX Runtime in the system's packages", 0, 0)
        tell_older(connection.name, version_in(name), progress)
        try:
            name = system_runtime(connection)
        except AgentError as error:
            why = _why_another(error)
    if name and not why:
        fits(version_in(name))
        return name
    own = f"the system's package: {why}" if why else advice(survey)
    again = (
        "; to try all versions again, remove ~/.tonearm/runtimes/*.failed.json on the board" if survey.failed else ""
    )
    said = f"no version of ONNX Runtime runs on this board. {'; '.join([*tried, own])}{again}"
    name = connection.name
    raise AgentError(said, "import", board=name) if why or len(tried) > 1 else NoWheelError(said, board=name)


def push_tree(connection: Connection, path: str, files: dict[str, bytes], progress: Progress) -> int:
    """Make the folder `path` on the board of `files`; the number of bytes that had to be pushed."""
    uploads = [Upload(name, content) for name, content in files.items()]
    pushed = push_objects(connection, uploads, progress, f"upload {path.split('/')[1]}")
    connection.ask("tree", path=path, contents={upload.name: upload.entry["sha256"] for upload in uploads})
    return pushed


def push_objects(
    connection: Connection, uploads: list[Upload], progress: Progress, text: str, headroom: int = 0
) -> int:
    """Push what of `uploads` the board does not hold yet, by hash; the number of bytes."""
    by_hash = {upload.entry["sha256"]: upload for upload in uploads}
    state, _ = connection.ask("missing", objects=list(by_hash))
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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise AgentError(f"it sent an invalid list of installed files: {error!r}", board=connection.name) from error
    return {sha256: min(max(told[sha256], 0), len(wanted[sha256].content)) for sha256 in wanted if sha256 in told}
