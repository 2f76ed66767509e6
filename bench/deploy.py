"""Deploy a bundle: push, prove on the board, switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..device.boards import board, is_virtual
from ..device.releases import TASK_SECONDS, Release, install, is_proven, keep_proof, prove, switch
from ..device.runtimes.provision import Site, prepare
from ..device.ssh.connection import Connection
from ..device.turn import turn
from ..runtime.bundle import Bundle
from ..runtime.check import check_bundle
from .output.console import Report

VIRTUAL_FRAMES = 64  # a quarter of a second, or two blocks: the virtual board is slow


@dataclass(frozen=True)
class Deployed:
    """A release that is current on a board; `parity` as `prove` gives it, None when it had been proven before."""

    path: str
    pushed: int
    parity: list[dict[str, Any]] | None


def deploy(name: str, bundle: Bundle, report: Report) -> Deployed:
    """Make the bundle the board's current release; until the last step the board is as it was.

    Raises:
        BundleError: the bundle is not whole, or not to be trusted; nothing reaches the board.
        DeviceError: whatever keeps the board from taking it, or its stream from equalling the golden vectors.
    """
    check_bundle(bundle)
    with board(name, report) as connection:
        return deploy_over(connection, bundle, report)


def deploy_over(connection: Connection, bundle: Bundle, report: Report, deadline: float = TASK_SECONDS) -> Deployed:
    """As `deploy`, over a connection that is there; the proof has `deadline` seconds."""
    with turn(connection, f"deploy {bundle.name}", report) as held:
        site = prepare(connection, report)
        tools = (site.runtime, site.runner)
        release = install(connection, bundle, report, tools)
        parity = ensure_proven(connection, site, bundle, release, report, deadline)
        held.check()
        switch(connection, release, tools)
    return Deployed(release.path, release.pushed, parity)


def ensure_proven(
    connection: Connection,
    site: Site,
    bundle: Bundle,
    release: Release,
    report: Report,
    deadline: float = TASK_SECONDS,
) -> list[dict[str, Any]] | None:
    """Prove a release where it has not been proven yet: what `prove` gives, or None."""
    if is_proven(site, release):
        return None
    frames = VIRTUAL_FRAMES if is_virtual(connection.name) else None
    about = f"prove that {bundle.name} streams there as trained"
    parity = prove(connection, site, bundle, release, frames, lambda done, total: report(about, done, total), deadline)
    keep_proof(connection, site, release, parity)
    return parity


def describe(name: str, bundle: Bundle, deployed: Deployed) -> str:
    """A line about a deploy."""
    pushed = f"{deployed.pushed / 1e6:.2f} MB pushed" if deployed.pushed else "0 bytes pushed, all there already"
    return f"{bundle.name} is current on {name} ({deployed.path}): {pushed}; {_proof(name, bundle, deployed.parity)}"


def _proof(name: str, bundle: Bundle, parity: list[dict[str, Any]] | None) -> str:
    if parity is None:
        return "proven before"
    error = max(entry["error"] for entry in parity)
    smoke = ", ".join(_smoke(name, bundle, entry) for entry in parity)
    unit = "M instructions" if is_virtual(name) else "% of its time"
    return f"differs from its golden vectors by at most {error:.1e} of full scale; a step took, in {unit}: {smoke}"


def _smoke(name: str, bundle: Bundle, entry: dict[str, Any]) -> str:
    """How long a step took while it was proven: enough to see whether it is worth measuring."""
    step_ns, block = entry["step_ns"], entry["block"]
    figure = step_ns / 1e6 if is_virtual(name) else step_ns * 1e-7 * bundle.sample_rate / block
    return f"{figure:.3g} at block {block}"
