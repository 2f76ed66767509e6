"""A board reserved for this host and ready to run bundles: what deploying, playing and measuring share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..runtime.bundle import Bundle
from ..runtime.progress import Progress
from .descriptor import descriptor
from .proof import Parity, is_proof, keep_proof, proof_path
from .releases import TASK_SECONDS, Release, install, prove, release_path, run_task
from .runtimes.provision import Site, prepare
from .ssh.connection import Connection, Sent, Upload
from .turn import Turn, turn


@dataclass(frozen=True)
class Session:
    """A held board with runtime and runner; `releases` are the bundles that were installed, by their digest."""

    connection: Connection
    site: Site
    held: Turn
    releases: dict[str, Release] = field(default_factory=dict)

    @property
    def tools(self) -> tuple[str, str]:
        """What every bundle needs there, paths below the board's root."""
        return self.site.runtime, self.site.runner

    def install(self, bundles: Sequence[Bundle], progress: Progress) -> None:
        """Bring every bundle to the board; none makes room for another. Raises as `releases.install`."""
        needed = [*self.tools, *map(release_path, bundles)]
        for bundle in bundles:
            self.releases[bundle.digest] = install(self.connection, bundle, progress, needed)

    def prove(self, bundle: Bundle, progress: Progress, deadline: float = TASK_SECONDS) -> Parity | None:
        """Prove an installed bundle where it has not been proven yet: what `releases.prove` gives, or None."""
        release = self.releases[bundle.digest]
        if is_proof(self.connection.name, bundle, release.proofs.get(proof_path(self.site, release.path))):
            return None
        frames = descriptor(self.connection.name).proof_frames
        about = f"prove that {bundle.name} streams on the board as trained"

        def tell(done: int, total: int) -> None:
            progress(about, done, total)

        parity = prove(self.connection, self.site, bundle, release, frames, tell, deadline)
        keep_proof(self.connection, self.site, release.path, parity)
        return parity

    def run(
        self,
        bundle: Bundle,
        request: dict[str, Any],
        fetch: Mapping[str, int],
        uploads: Sequence[Upload] = (),
        deadline: float = TASK_SECONDS,
        on_progress: Sent = lambda done, total: None,
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Run the runner on an installed bundle, in a fresh process: its record and files, as `run_task` gives them."""
        release = self.releases[bundle.digest]
        return run_task(self.connection, self.site, release, request, list(uploads), fetch, deadline, on_progress)


@contextlib.contextmanager
def session(
    connection: Connection, what: str, progress: Progress, token: str = "", bundles: Sequence[Bundle] = ()
) -> Iterator[Session]:
    """Hold the board for as long as the block lasts, made ready to run bundles.

    Args:
        connection: to the board.
        what: what it is held for, as others who want it are told.
        progress: called with what is being done and how far it is.
        token: as of `turn`.
        bundles: what is to run there: a board whose ONNX Runtime is too old for it is told apart before a push.

    Raises:
        BusyError, NoSpaceError, UnreachableError, WheelError, AgentError: it can't be had, or made ready.
    """
    with turn(connection, what, progress, token=token) as held:
        yield Session(connection, prepare(connection, progress, bundles=bundles), held)
