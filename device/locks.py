"""One process of this machine at a time: locks on files."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import DeviceError


@contextmanager
def exclusive(lock: Path, timeout_s: float, error: type[DeviceError]) -> Iterator[None]:
    """Hold the lock file `lock`, which the kernel gives back however this process ends.

    Raises `error` where another process has had it for `timeout_s` seconds.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise error(
                    f"another tonearm process has held {lock} for {timeout_s:g} s; wait until it is done, or stop it"
                )
            time.sleep(0.1)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
