"""Put a bundle on a board as a release: push what is missing, prove it there, then switch `current`.

Until the last step the board runs what it ran before; a cut cable at any moment leaves it whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..runtime.bundle import MANIFEST, Bundle
from ..runtime.runner import FORMAT
from .errors import AgentError
from .provision import Progress, Site, missing_paths, push_tree
from .ssh import Connection, Sent, Upload

TASK_SECONDS = 900


@dataclass(frozen=True)
class Release:
    """A bundle on a board: its folder below the root, and how many bytes had to be pushed for it."""

    path: str
    pushed: int


def release_path(bundle: Bundle) -> str:
    """Where a bundle lies below a board's root: named after its content."""
    return f"releases/{bundle.name}/{bundle.digest[:16]}"


def install(connection: Connection, bundle: Bundle, progress: Progress = lambda text, done, total: None) -> Release:
    """Make sure that the bundle is on the board, whole; `current` stays as it is.

    Raises:
        BundleError: a file here is not what the manifest says; nothing is pushed.
        NoSpaceError, AgentError, UnreachableError: see `Connection.ask`.
    """
    bundle.check_files()
    path = release_path(bundle)
    contents = {MANIFEST: bundle.digest, **{name: file.sha256 for name, file in bundle.files.items()}}
    state, _ = connection.ask("verify", path=path, contents=contents)
    if state.get("whole") is True:
        return Release(path, 0)
    files = {name: (bundle.folder / name).read_bytes() for name in contents}
    return Release(path, push_tree(connection, path, files, progress))


def prove(
    connection: Connection,
    site: Site,
    bundle: Bundle,
    release: Release,
    frames: int | None = None,
    on_progress: Sent = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Play the golden controls through every graph on the board: `{"block", "frames", "error"}` each.

    Raises:
        AgentError: naming the first block and output that differ from PyTorch.
    """
    request = {"task": "parity", "blocks": sorted(bundle.graphs), "frames": frames}
    record, _ = run_task(connection, site, release, request, on_progress=on_progress)
    try:
        return [
            {"block": int(e["block"]), "frames": int(e["frames"]), "error": float(e["error"])} for e in record["parity"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise AgentError(f"{connection.name}: its record of parity makes no sense: {error!r}") from error


def proof_path(site: Site, release: Release) -> str:
    """Where the proof lies: a release is proven anew when the runtime or the runner changes."""
    return f"{release.path}.{site.runtime.split('/')[1]}.{site.runner.split('/')[1]}.json"


def is_proven(connection: Connection, site: Site, release: Release) -> bool:
    """Whether the release has passed on this board with this runtime and runner."""
    return not missing_paths(connection, [proof_path(site, release)])


def keep_proof(connection: Connection, site: Site, release: Release, parity: list[dict[str, Any]]) -> None:
    """Keep on the board that the release has passed there."""
    connection.ask("proof", path=proof_path(site, release), parity=parity)


def switch(connection: Connection, release: Release) -> None:
    """Make the release current, by one rename."""
    connection.ask("switch", release=release.path)


def run_task(
    connection: Connection,
    site: Site,
    release: Release,
    request: dict[str, Any],
    uploads: list[Upload] | None = None,
    fetch: list[str] | None = None,
    deadline: float = TASK_SECONDS,
    on_progress: Sent = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the runner in a fresh process on the board: its record, and the files it wrote, by name.

    Raises:
        AgentError: what the runner could not do, in its own words; or it died, or missed the deadline (seconds).
    """
    bundle = f"{site.facts['root']}/{release.path}"
    record, files = connection.ask(
        "run",
        uploads or [],
        runtime=site.runtime,
        runner=site.runner,
        fetch=fetch or [],
        on_progress=on_progress,
        seconds=deadline,
        deadline=deadline,
        request={"format": FORMAT, "bundle": bundle, **request},
    )
    if any(name not in files for name in fetch or []):
        raise AgentError(f"{connection.name}: the runner wrote no {', '.join(fetch or [])}")
    return record, files
