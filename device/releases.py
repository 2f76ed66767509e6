"""Put a bundle on a board as a release: push what is missing, prove it there, then switch `current`.

Until the last step the board runs what it ran before; a cut cable at any moment leaves it whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..runtime.bundle import MANIFEST, Bundle
from ..runtime.progress import Progress, unwatched
from ..runtime.runner import FORMAT
from .errors import AgentError, NoSpaceError
from .runtimes.provision import Site, push_tree
from .ssh.connection import Connection, Sent, Upload
from .text import printable

TASK_SECONDS = 900
KEEP = 8  # releases on a board, those used last
FEWEST = 1  # where the disk is full


@dataclass(frozen=True)
class Release:
    """A bundle on a board: its folder below the root, how many bytes had to be pushed for it, its proofs' paths."""

    path: str
    pushed: int
    proofs: frozenset[str] = frozenset()


def release_path(bundle: Bundle) -> str:
    """Where a bundle lies below a board's root: named after its content."""
    return f"releases/{bundle.name}/{bundle.digest[:16]}"


def install(
    connection: Connection,
    bundle: Bundle,
    progress: Progress = unwatched,
    needed: Sequence[str] = (),
) -> Release:
    """Make sure that the bundle is on the board, whole; `current` stays as it is.

    Where the disk is full, old releases are removed; not what `needed` names, paths below the board's root.

    Raises:
        BundleError: a file here is not what the manifest says; nothing is pushed.
        NoSpaceError, AgentError, UnreachableError: see `Connection.ask`.
    """
    bundle.check_files()
    path = release_path(bundle)
    contents = {MANIFEST: bundle.digest, **{name: file.sha256 for name, file in bundle.files.items()}}
    state, _ = connection.ask("verify", path=path, contents=contents)
    if state.get("whole") is True:
        return Release(path, 0, frozenset(map(str, state.get("proofs") or [])))
    files = {name: (bundle.folder / name).read_bytes() for name in contents}
    try:
        return Release(path, push_tree(connection, path, files, progress))
    except NoSpaceError:
        freed, _ = connection.ask("prune", keep=FEWEST, needed=[path, *needed])
        if not freed.get("pruned"):
            raise
        return Release(path, push_tree(connection, path, files, progress))


def prove(
    connection: Connection,
    site: Site,
    bundle: Bundle,
    release: Release,
    frames: int | None = None,
    on_progress: Sent = lambda done, total: None,
    deadline: float = TASK_SECONDS,
) -> list[dict[str, Any]]:
    """Play the golden controls through every graph on the board: `{"block", "frames", "error", "step_ns"}` each.

    Raises:
        AgentError: naming the first block and output that differ from PyTorch.
    """
    request = {"task": "parity", "blocks": sorted(bundle.graphs), "frames": frames}
    record, _ = run_task(connection, site, release, request, on_progress=on_progress, deadline=deadline)
    try:
        return [
            {"error": float(e["error"]), **{key: int(e[key]) for key in ("block", "frames", "step_ns")}}
            for e in record["parity"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise AgentError(f"it sent an invalid parity record: {error!r}", board=connection.name) from error


def proof_path(site: Site, release: Release) -> str:
    """Where the proof lies: a release is proven anew when the runtime or the runner changes."""
    return f"{release.path}.{site.runtime.split('/')[1]}.{site.runner.split('/')[1]}.json"


def is_proven(site: Site, release: Release) -> bool:
    """Whether the release has passed on this board with this runtime and runner."""
    return proof_path(site, release) in release.proofs


def keep_proof(connection: Connection, site: Site, release: Release, parity: list[dict[str, Any]]) -> None:
    """Keep on the board that the release has passed there."""
    connection.ask("proof", path=proof_path(site, release), parity=parity)


def switch(connection: Connection, release: Release, needed: Sequence[str] = ()) -> list[str]:
    """Make the release current, by one rename, and remove old ones but those `needed`; their paths."""
    said, _ = connection.ask("switch", release=release.path, keep=KEEP, needed=list(needed))
    return [printable(path) for path in said.get("pruned") or []]


def releases(connection: Connection) -> dict[str, Any]:
    """What is there: `current`, `previous`, and `releases` as `{"path", "bytes", "proven"}`, the newest first.

    Raises:
        AgentError: when what the board says makes no sense.
    """
    said, _ = connection.ask("releases")
    try:
        return {
            "current": printable(said["current"]),
            "previous": printable(said["previous"]),
            "releases": [
                {"path": printable(r["path"]), "bytes": int(r["bytes"]), "proven": bool(r["proven"])}
                for r in said["releases"]
            ],
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise AgentError(f"it sent an invalid list of releases: {error!r}", board=connection.name) from error


def rollback(connection: Connection, to: str = "") -> str:
    """Go back to the release that was current before, or to the one that `to` names; its path.

    Raises:
        AgentError: there is none, or it is damaged; `current` is as it was.
    """
    said, _ = connection.ask("rollback", to=to)
    return printable(said.get("current"))


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
        raise AgentError(f"the runner wrote no {', '.join(fetch or [])}", board=connection.name)
    return record, files
