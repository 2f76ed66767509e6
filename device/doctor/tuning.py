"""Tune a board for measurements, and put back what was."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import AgentError
from ..ssh.connection import Connection
from ..text import printable


@dataclass(frozen=True)
class Setting:
    """A setting on the board, by its path there: what it was, what it is now, and why it was refused, if it was."""

    path: str
    before: str
    now: str
    refusal: str


@dataclass(frozen=True)
class Tuned:
    """What became of each setting; `stale` says that what had been kept was of an earlier boot, which undid it all."""

    settings: list[Setting]
    stale: bool


def tune(connection: Connection, restore: bool = False, system: str = "/", temporary: bool = False) -> Tuned:
    """Set all governors to `performance`, or with `restore` to what they were before the first `tune`.

    What was before is kept on the board, in `tuned.json` below its root, before anything is changed. Nothing asks for
    a password: what this login may not do, by itself or by `sudo -n`, is refused and said.

    Args:
        connection: the board.
        restore: put back instead; what somebody else has changed since is left alone.
        system: the folder there which has its /sys.
        temporary: only as long as the turn lasts in which it is asked: the board itself puts back what was, however
            that ends, and `restore` leaves alone what is there to stay.

    Raises:
        AgentError: nothing can be kept there (a read-only home), or its answer makes no sense.
    """
    said, _ = connection.ask("tune", system=system, restore=restore, temporary=temporary)
    try:
        settings = [
            Setting(*(printable(row[key]) for key in ("path", "before", "now", "refusal"))) for row in said["settings"]
        ]
        return Tuned(settings, bool(said["stale"]))
    except (KeyError, TypeError, IndexError) as error:
        raise AgentError(f"it sent an invalid answer: {printable(repr(error))[:300]}", board=connection.name) from error
