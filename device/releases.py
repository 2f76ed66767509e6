"""Put a bundle on a board as a release: push what is missing, prove it there, then switch `current`.

Until the last step the board runs what it ran before; a cut cable at any moment leaves it whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..runtime.bundle import MANIFEST, Bundle
from ..runtime.progress import Progress, unwatched
from ..runtime.runner import FORMAT
from .answers import checked, count, flag, list_of, mapping, record, text
from .errors import AgentError, NoSpaceError
from .proof import Parity, judged
from .runtimes.provision import Site, push_tree
from .ssh.connection import NO_FILES, Connection, Sent, Upload

TASK_SECONDS = 900
KEEP = 8  # releases on a board, those used last
FEWEST = 1  # where the disk is full


@dataclass(frozen=True)
class Release:
    """A bundle on a board: its folder below the root, how many bytes had to be pushed for it, its proofs by path."""

    path: str
    pushed: int
    proofs: dict[str, Any] = field(default_factory=dict)


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
    state = checked(connection.name, "an invalid answer", state, {"whole": flag, "proofs": mapping})
    if state["whole"]:
        return Release(path, 0, state["proofs"])
    files = {name: (bundle.folder / name).read_bytes() for name in contents}
    try:
        return Release(path, push_tree(connection, path, files, progress))
    except NoSpaceError:
        freed, _ = connection.ask("prune", keep=FEWEST, needed=[path, *needed])
        if not _pruned(connection, freed):
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
) -> Parity:
    """Play the golden controls through every graph on the board: `proof.judged` of what it says.

    Raises:
        AgentError: naming the first block and output that differ from PyTorch; or what it says is no proof.
    """
    request = {"task": "parity", "blocks": sorted(bundle.graphs), "frames": frames}
    record, _ = run_task(connection, site, release, request, on_progress=on_progress, deadline=deadline)
    return judged(connection.name, bundle, record.get("parity"), frames)


def switch(connection: Connection, release: Release, needed: Sequence[str] = ()) -> list[str]:
    """Make the release current, by one rename, and remove old ones but those `needed`; their paths."""
    said, _ = connection.ask("switch", release=release.path, keep=KEEP, needed=list(needed))
    return _pruned(connection, said)


def _pruned(connection: Connection, said: dict[str, Any]) -> list[str]:
    return checked(connection.name, "an invalid list of old releases", said, {"pruned": list_of(text)})["pruned"]


def releases(connection: Connection) -> dict[str, Any]:
    """What is there: `current`, `previous`, and `releases` as `{"path", "bytes", "proven"}`, the newest first.

    Raises:
        AgentError: when what the board says makes no sense.
    """
    said, _ = connection.ask("releases")
    release = record({"path": text, "bytes": count, "proven": flag}, {})
    fields = {"current": text, "previous": text, "releases": list_of(release)}
    return checked(connection.name, "an invalid list of releases", said, fields)


def rollback(connection: Connection, to: str = "") -> str:
    """Go back to the release that was current before, or to the one that `to` names; its path.

    Raises:
        AgentError: there is none, or it is damaged; `current` is as it was.
    """
    said, _ = connection.ask("rollback", to=to)
    return checked(connection.name, "an invalid answer", said, {"current": text})["current"]


def run_task(
    connection: Connection,
    site: Site,
    release: Release,
    request: dict[str, Any],
    uploads: list[Upload] | None = None,
    fetch: Mapping[str, int] = NO_FILES,
    deadline: float = TASK_SECONDS,
    on_progress: Sent = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the runner in a fresh process on the board: its record, and the files it wrote, by name.

    `fetch` names those that are wanted, each with the bytes that it can have at most.

    Raises:
        AgentError: what the runner could not do, in its own words; or it died, or missed the deadline (seconds).
    """
    bundle = f"{site.facts['root']}/{release.path}"
    record, files = connection.ask(
        "run",
        uploads or [],
        runtime=site.runtime,
        runner=site.runner,
        fetch=list(fetch),
        most=fetch,
        on_progress=on_progress,
        seconds=deadline,
        deadline=deadline,
        request={"format": FORMAT, "bundle": bundle, **request},
    )
    if any(name not in files for name in fetch):
        raise AgentError(f"the runner wrote no {', '.join(fetch)}", board=connection.name)
    return record, files
