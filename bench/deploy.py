"""Deploy a bundle: push, prove on the board, switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..device.boards import board
from ..device.descriptor import descriptor
from ..device.releases import TASK_SECONDS, switch
from ..device.session import session
from ..device.ssh.connection import Connection
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from ..runtime.progress import Progress


@dataclass(frozen=True)
class Deployed:
    """A release that is current on a board; `parity` as `prove` gives it, None when it had been proven before."""

    path: str
    pushed: int
    parity: list[dict[str, Any]] | None


def deploy(name: str, bundle: Bundle, progress: Progress) -> Deployed:
    """Make the bundle the board's current release; until the last step the board is as it was.

    Raises:
        BundleError: the bundle is not whole, or not to be trusted; nothing reaches the board.
        DeviceError: whatever keeps the board from taking it, or its stream from equalling the golden vectors.
    """
    check_bundle(bundle)
    with board(name, progress) as connection:
        return deploy_over(connection, bundle, progress)


def deploy_over(connection: Connection, bundle: Bundle, progress: Progress, deadline: float = TASK_SECONDS) -> Deployed:
    """As `deploy`, over a connection that is there; the proof has `deadline` seconds."""
    with session(connection, f"deploy {bundle.name}", progress, bundles=[bundle]) as there:
        there.install([bundle], progress)
        release = there.releases[bundle.digest]
        parity = there.prove(bundle, progress, deadline)
        there.held.check()
        switch(connection, release, there.tools)
    return Deployed(release.path, release.pushed, parity)


def describe(name: str, bundle: Bundle, deployed: Deployed) -> str:
    """A line about a deploy."""
    pushed = f"{deployed.pushed / 1e6:.2f} MB uploaded" if deployed.pushed else "nothing to upload"
    return f"{bundle.name} is current on {name} ({deployed.path}): {pushed}; {_proof(name, bundle, deployed.parity)}"


def _proof(name: str, bundle: Bundle, parity: list[dict[str, Any]] | None) -> str:
    if parity is None:
        return "already proven on this board"
    error = max(entry["error"] for entry in parity)
    smoke = ", ".join(_smoke(name, bundle, entry) for entry in parity)
    unit = "M instructions" if descriptor(name).counts_instructions else "% of the block's length"
    return f"differs from its golden vectors by at most {error:.1e} of full scale; per step, in {unit}: {smoke}"


def _smoke(name: str, bundle: Bundle, entry: dict[str, Any]) -> str:
    """How long a step took while it was proven: enough to see whether it is worth measuring."""
    step_ns, block = entry["step_ns"], entry["block"]
    figure = step_ns / 1e6 if descriptor(name).counts_instructions else step_ns * 1e-7 * bundle.sample_rate / block
    return f"{figure:.3g} at block {block}"
