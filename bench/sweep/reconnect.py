"""Go on with a board that went away and comes back: rebooted, unplugged, out of reach for a while."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from ...device.errors import UnreachableError
from ...device.ssh.connection import Connection
from ...runtime.progress import Progress
from ..output.console import one_line, say
from ..parallel import Reach

PATIENCE = 120.0  # seconds
LONGEST_PAUSE = 15.0
LOSSES = 3  # in a row, with nothing achieved in between: the work itself may bring the board down


def with_patience(
    name: str,
    reach: Reach,
    work: Callable[[Connection], None],
    achieved: Callable[[], int],
    progress: Progress,
    patience: float = PATIENCE,
) -> None:
    """Do `work(connection)`; when the board goes away, again over a new connection as soon as there is one.

    Args:
        name: the board's. One that can't be reached at the start is not waited for.
        reach: gives a connection.
        work: goes on where it was when it is called again.
        achieved: how much of the work is done; a board that goes away again and again and achieves nothing has failed.
        progress: called with what is being done and how far it is.
        patience: how long a board is waited for, seconds.

    Raises:
        UnreachableError: it can't be reached, or did not come back in time.
    """
    losses, before = 0, achieved()
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(reach(name, progress))
        while True:
            try:
                return work(connection)
            except UnreachableError as error:
                losses = losses + 1 if achieved() == before else 1
                before = achieved()
                if losses == LOSSES:
                    raise UnreachableError(
                        f"{error.reason} (it went away {LOSSES} times in a row)", board=name
                    ) from error
                progress(f"{name} went away", 0, 0)
                say(f"{name} went away: waiting up to {patience:g} s for it ({one_line(error.reason)})")
                stack.close()
                connection = _reach_again(stack, name, reach, progress, patience)
                say(f"{name} is back")


def _reach_again(
    stack: contextlib.ExitStack, name: str, reach: Reach, progress: Progress, patience: float
) -> Connection:
    end, last = time.monotonic() + patience, "no time to try"
    for pause in _pauses():
        if time.monotonic() + pause > end:
            break
        _wait(pause, f"{name} went away", progress)
        try:
            return stack.enter_context(reach(name, progress))
        except UnreachableError as error:
            last = error.reason
    told = f"it went away and was not back within {patience:g} s ({last})"
    raise UnreachableError(f"{told}; finished cases are kept: run the same command again to go on", board=name)


def _pauses() -> Iterator[float]:
    pause = 1.0
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def _wait(seconds: float, text: str, progress: Progress) -> None:
    """Sleep, and say so; `report` may end it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        progress(f"{text}, next try in {left:.0f} s", 0, 0)
        time.sleep(min(left, 0.5))
