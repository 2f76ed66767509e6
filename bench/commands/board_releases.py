"""What is on a board, and the way back."""

from __future__ import annotations

import argparse

from ...device import releases
from ...device.boards import board
from ...device.turn import turn
from ..output.console import out, stage
from ..output.tables import Table
from .arguments import Commands, add_command


def add_releases(actions: Commands) -> None:
    """`tonearm board releases`."""
    command = add_command(
        actions,
        "releases",
        "list what has been deployed to a board, what is current and what was before",
        "board releases pi",
    )
    command.add_argument("name", help="the board's name")
    command.set_defaults(run=_releases)


def _releases(options: argparse.Namespace) -> None:
    with stage(f"look at {options.name}") as report, board(options.name, report) as connection:
        state = releases.releases(connection)
    if not state["releases"]:
        out.print(f"nothing has been deployed to {options.name}")
        return
    words = {state["previous"]: "before", state["current"]: "current"}
    rows = [
        (
            entry["path"].removeprefix("releases/"),
            f"{entry['bytes'] / 1e6:.2f}",
            "yes" if entry["proven"] else "no",
            words.get(entry["path"], ""),
        )
        for entry in state["releases"]
    ]
    out.print(Table("", ("release", "MB", "proven there", ""), rows, texts=("release", "proven there", "")))


def add_rollback(actions: Commands) -> None:
    """`tonearm board rollback`."""
    command = add_command(
        actions,
        "rollback",
        "make the release current that was before, or another one that is there; nothing is pushed",
        "board rollback pi\n  tonearm board rollback pi hpn-reduced-flute",
    )
    command.add_argument("name", help="the board's name")
    command.add_argument(
        "release",
        nargs="?",
        default="",
        metavar="RELEASE",
        help="its name, its digest or both, as `board releases` prints them (default: the one that was current before)",
    )
    command.set_defaults(run=_rollback)


def _rollback(options: argparse.Namespace) -> None:
    with (
        stage(f"roll {options.name} back") as report,
        board(options.name, report) as connection,
        turn(connection, "roll back", report),
    ):
        current = releases.rollback(connection, options.release)
    out.print(f"{current.removeprefix('releases/')} is current on {options.name}")
