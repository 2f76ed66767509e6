"""Deploy a bundle: push, prove on the board, switch."""

from __future__ import annotations

from dataclasses import dataclass

from ..device.boards import board, is_virtual
from ..device.provision import Site, prepare
from ..device.releases import Release, install, is_proven, keep_proof, prove, switch
from ..device.ssh import Connection
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from .console import Report

VIRTUAL_FRAMES = 64  # a quarter of a second, or two blocks: the virtual board is slow


@dataclass(frozen=True)
class Deployed:
    """A release that is current on a board; `error` is None when it had been proven before."""

    path: str
    pushed: int
    error: float | None


def deploy(name: str, bundle: Bundle, report: Report) -> Deployed:
    """Make the bundle the board's current release; until the last step the board is as it was.

    Raises:
        BundleError: the bundle is not whole, or not to be trusted; nothing reaches the board.
        DeviceError: whatever keeps the board from taking it, or its stream from equalling the golden vectors.
    """
    check_bundle(bundle)
    with board(name, report) as connection:
        site = prepare(connection, report)
        release = install(connection, bundle, report)
        error = ensure_proven(connection, site, bundle, release, report)
        switch(connection, release)
    return Deployed(release.path, release.pushed, error)


def ensure_proven(connection: Connection, site: Site, bundle: Bundle, release: Release, report: Report) -> float | None:
    """Prove a release where it has not been proven yet: its greatest error, of full scale, or None."""
    if is_proven(connection, site, release):
        return None
    frames = VIRTUAL_FRAMES if is_virtual(connection.name) else None
    about = f"prove that {bundle.name} streams there as trained"
    parity = prove(connection, site, bundle, release, frames, lambda done, total: report(about, done, total))
    keep_proof(connection, site, release, parity)
    return max(entry["error"] for entry in parity)


def describe(name: str, bundle: Bundle, deployed: Deployed) -> str:
    """A line about a deploy."""
    proof = (
        "proven before"
        if deployed.error is None
        else f"differs from its golden vectors by at most {deployed.error:.1e} of full scale"
    )
    pushed = f"{deployed.pushed / 1e6:.2f} MB pushed" if deployed.pushed else "0 bytes pushed, all there already"
    return f"{bundle.name} is current on {name} ({deployed.path}): {pushed}; {proof}"
