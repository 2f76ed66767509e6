"""What is on a board, and the way back."""

from __future__ import annotations

import argparse

from ...device import releases
from ...device.boards import board
from ...device.turn import turn
from ..output.console import out, stage
from ..output.tables import Table


def list_releases(options: argparse.Namespace) -> None:
    """Print the releases on a board."""
    with stage(f"look at {options.name}") as report, board(options.name, report) as connection:
        state = releases.releases(connection)
    if not state["releases"]:
        out.print(f"nothing has been deployed to {options.name}")
        return
    words = {state["previous"]: "previous", state["current"]: "current"}
    rows = [
        (
            entry["path"].removeprefix("releases/"),
            f"{entry['bytes'] / 1e6:.2f}",
            "yes" if entry["proven"] else "no",
            words.get(entry["path"], ""),
        )
        for entry in state["releases"]
    ]
    out.print(Table("", ("release", "MB", "proven", "state"), rows, texts=("release", "proven", "state")))


def roll_back(options: argparse.Namespace) -> None:
    """Make an earlier release current."""
    with (
        stage(f"roll {options.name} back") as report,
        board(options.name, report) as connection,
        turn(connection, "roll back", report),
    ):
        current = releases.rollback(connection, options.release)
    out.print(f"{current.removeprefix('releases/')} is current on {options.name}")
