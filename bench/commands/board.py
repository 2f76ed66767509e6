"""Commands about the boards themselves: which there are, adding and removing one, whom to trust, up and down."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from ...device import boardsfile
from ...device.answers import checked, count, list_of, text
from ...device.boards import board, check_startable, endpoint_of, find_endpoint
from ...device.descriptor import BUILT_IN, descriptor
from ...device.errors import BoardError, HostKeyError
from ...device.facts import read_facts
from ...device.prompts import ask
from ...device.ssh.client import trust_host
from ...device.ssh.config import ssh_hosts
from ...device.ssh.connection import Connection
from ...device.ssh.endpoint import parse_target
from ...device.text import printable
from ...device.turn import turn
from ...device.virtual import qemu
from ..errors import BenchError
from ..output.console import out, say, stage


def add(options: argparse.Namespace) -> None:
    """Add a board to boards.toml."""
    boardsfile.check_new(options.name)
    target = parse_target(options.target)
    key = str(Path(options.key).expanduser().absolute()) if options.key else None
    said = {"host": target.host, "user": target.user, "port": target.port, "key": key, "jump": options.jump}
    entry = {key: value for key, value in said.items() if value is not None}
    boardsfile.check_entry(f"board add {options.name}", options.name, entry)
    found = _look(options.name, entry, options.trust)
    boardsfile.add_entry(options.name, entry)
    out.print(f"{options.name} is added to {boardsfile.boards_file()}", soft_wrap=True)
    say(found)


def _look(name: str, entry: dict[str, Any], trust: bool) -> str:
    """What the board says of itself, or why it can't be asked; raises only if it is not to be trusted."""
    endpoint = endpoint_of(entry)
    try:
        with stage(f"look at {name}"):
            if trust:
                trust_host(name, endpoint)
            with Connection(name, endpoint) as connection:
                facts = read_facts(connection)
    except BoardError as error:
        if trust and isinstance(error, HostKeyError):
            raise
        return printable(f"not reached yet: {error}")
    model = facts["model"] or facts["hostname"]
    cpu, python = f"{facts['cores']} x {facts['cpu']}", ".".join(map(str, facts["python"]))
    return f"{name}: {model}, {cpu}, Linux {facts['kernel']} ({facts['machine']}), Python {python}"


def trust(options: argparse.Namespace) -> None:
    """Trust a board's host key."""
    _check_real(options.name)
    endpoint = find_endpoint(options.name)
    with stage(f"look at the host key of {options.name}"):
        trust_host(options.name, endpoint)
    out.print(f"{options.name}: the host key of {endpoint.known_as} is trusted", soft_wrap=True)


def _check_real(name: str) -> None:
    if descriptor(name).is_built_in:
        raise BoardError(f"{name} is a built-in board: Tonearm makes and checks its host key itself")


def remove(options: argparse.Namespace) -> None:
    """Remove all of Tonearm from a board."""
    name = options.name
    listed = name in boardsfile.read_boards()
    if listed:
        boardsfile.without_entry(name)  # refuses before anything is gone
    if options.entry:
        _remove_entry(name, listed)
        return
    try:
        with stage(f"look at {name}") as progress, board(name, progress) as connection:
            there = _usage(connection)
            entry = f" and its entry in {boardsfile.boards_file()}" if listed else ""
            _confirm(f"Remove {there} on {name}{entry}? [y/N] ", options.yes)
            with turn(connection, "remove all", progress):
                said, _ = connection.ask("remove")
    except BoardError as error:
        only = f"; to take only its entry out: tonearm board remove {name} --entry"
        raise BoardError(f"{error}{only if listed else ''}") from error
    if listed:
        boardsfile.remove_entry(name)
    out.print(f"{name}: {there} removed{', and its entry' if listed else ''}", soft_wrap=True)
    if left := checked(name, "an invalid list of files", said, {"left": list_of(text)})["left"]:
        say(f"files that are not Tonearm's were left there: {', '.join(left)}")


def _remove_entry(name: str, listed: bool) -> None:
    if not listed:
        raise BoardError(f"{name} has no entry in {boardsfile.boards_file()}")
    boardsfile.remove_entry(name)
    out.print(f"{name}: its entry is removed; what is on the board stays there", soft_wrap=True)


def _usage(connection: Connection) -> str:
    """What there is to remove, in words."""
    said, _ = connection.ask("usage")
    found = checked(connection.name, "an invalid list of files", said, {"root": text, "count": count, "bytes": count})
    files = "1 file" if found["count"] == 1 else f"{found['count']} files"
    return f"{found['root']} ({files}, {found['bytes'] / 1e6:.1f} MB)"


def _confirm(question: str, yes: bool) -> None:
    """Go on only if the person says so."""
    answer = "y" if yes else ask(question)
    if answer is None:
        raise BenchError("there is no terminal to ask on; add --yes to remove without being asked")
    if answer.strip().lower() not in ("y", "yes"):
        raise BenchError("nothing was removed")


def list_boards(options: argparse.Namespace) -> None:
    """Print all boards."""
    table = Table.grid(padding=(0, 3, 0, 0))
    running = [name for name in sorted(qemu.names()) if descriptor(name).is_startable and name not in BUILT_IN]
    for name in (*BUILT_IN, *running):
        state = ("up" if qemu.endpoint(name) else "down") if descriptor(name).is_startable else ""
        table.add_row(name, descriptor(name).about, state)
    mine = boardsfile.read_boards()
    for name, entry in mine.items():
        table.add_row(name, _where(entry), boardsfile.boards_file().name)
    for name in ssh_hosts():
        if name not in mine:
            table.add_row(name, _where({"host": name}), "~/.ssh/config")
    out.print(table, soft_wrap=True)


def _where(entry: dict[str, Any]) -> str:
    """Where the board of an entry is, or why that can't be said, which must not keep the others from being listed."""
    try:
        endpoint = endpoint_of(entry, names=False)
    except BoardError as error:
        return printable(error)
    hops = endpoint.route.hops
    through = f" through {', '.join(hop.place for hop in hops)}" if hops else ""
    return f"{endpoint.user}@{endpoint.place}{through}"


def up(options: argparse.Namespace) -> None:
    """Start a virtual board."""
    check_startable(options.name)
    with stage(f"start {options.name}") as progress, board(options.name, progress) as connection:
        read_facts(connection)


def down(options: argparse.Namespace) -> None:
    """Stop a virtual board."""
    check_startable(options.name)
    with stage(f"stop {options.name}"):
        ran = qemu.down(options.name)
    out.print(f"{options.name} is down" if ran else f"{options.name} was not up")
