"""The condition a board is measured in: its governors set and put back, and the heat of the case before gone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from ...device.descriptor import descriptor
from ...device.doctor.tuning import tune
from ...device.errors import DeviceError
from ...device.facts import read_temperature
from ...device.ssh.connection import Connection
from ..output.console import one_line, say

COOL_DOWN = 60.0  # seconds to wait at most, before each case
NEAR = 2.0  # °C: sensors are no better, and the last degree takes longest
PAUSE = 5.0  # seconds from look to look, for a look is a process there, which heats

Tell = Callable[[str], None]


class Conditions:
    """What is done to a board for a sweep's sake, over as many connections as it takes."""

    def __init__(self, name: str, tuning: bool = False, cool_down: float = 0, system: str = "/") -> None:
        """`system` is the folder on the board that has its /sys; with `cool_down` 0 seconds nothing is waited for."""
        self.name, self.tuning, self.system = name, tuning, system
        self._limit = 0 if descriptor(name).counts_instructions else cool_down
        self._start: float | None = None

    def cool(self, connection: Connection, tell: Tell) -> dict[str, Any] | None:
        """Wait until the board is as cool as at the first call, or for the limit; what became of it.

        Returns:
            `{"waited_s", "celsius", "limit_reached"}`; None where it has no sensor, or nothing is waited for.
        """
        if not self._limit:
            return None
        if self._start is None:
            self._start = read_temperature(connection, self.system)
            if self._start is None:
                self._limit = 0
                return None
        return cool_down(connection, self._start + NEAR, self._limit, tell, self.system)

    @contextlib.contextmanager
    def tuned(self, connection: Connection) -> Iterator[None]:
        """The governors are `performance` during the block, if that is wanted; then what we have changed is put back.

        What somebody else had set before stays as it is.
        """
        if not self.tuning:
            yield
            return
        try:
            self._tune(connection)
            yield
        finally:
            with contextlib.suppress(DeviceError):  # then the board does it as it loses the turn
                tune(connection, restore=True, system=self.system, temporary=True)

    def _tune(self, connection: Connection) -> None:
        settings = tune(connection, system=self.system, temporary=True).settings
        refused = sorted({setting.refusal for setting in settings if setting.refusal})
        if refused:
            say(f"{self.name}: not tuned, because the board refused: {one_line('; '.join(refused))}")


def cool_down(connection: Connection, celsius: float, limit: float, tell: Tell, system: str = "/") -> dict[str, Any]:
    """Wait until the hottest sensor is at `celsius` or below, or for `limit` seconds: see `Conditions.cool`."""
    now, begun = read_temperature(connection, system), time.monotonic()
    while now is not None and now > celsius:
        left = begun + limit - time.monotonic()
        if left <= 0:
            break
        tell(f"cooling down: {now:.1f} °C, down to {celsius:.1f} °C")
        time.sleep(min(PAUSE, left))
        now = read_temperature(connection, system)
    waited = round(time.monotonic() - begun, 1)
    return {"waited_s": waited, "celsius": now, "limit_reached": now is not None and now > celsius}
