"""Watch the board while a stream is measured, ten times a second, from a process of its own.

A thread would hold Python's lock while the measured one wants it. `python telemetry.py PID SYSTEM FILE` writes a line
of numbers for each look, until its standard input ends: with the process that started it, at the latest.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PERIOD = 0.1  # seconds
UNKNOWN = "nan"
PRESSURES = ("cpu", "memory", "io")
COLUMNS = (
    *("t_ns", "core", "frequency_khz", "temperature_mc", "throttled"),
    *(f"pressure_{name}_us" for name in PRESSURES),
    *("involuntary", "minor_faults", "major_faults"),
)
# Of /proc/PID/stat, counted from behind the name, which may contain anything.
MINOR_FAULTS, MAJOR_FAULTS, CORE = 7, 9, 36


@contextlib.contextmanager
def watched(system: str, file: Path) -> Iterator[None]:
    """This process is watched during the block; then `file` holds what was seen."""
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), system, str(file)]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        watcher.stdout.readline()  # type: ignore[union-attr]  # it has begun
        yield
    finally:
        watcher.communicate()


def read(file: Path, origin_ns: int) -> list[list[float]]:
    """The rows that were written, their first column counted from `origin_ns`."""
    rows = [line.split() for line in file.read_text().splitlines()]
    return [[int(row[0]) - origin_ns, *map(float, row[1:])] for row in rows if len(row) == len(COLUMNS)]


def sample(pid: str, system: Path) -> list[str]:
    """What there is to see now, by `COLUMNS`."""
    stat = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    core = stat[CORE] if len(stat) > CORE else UNKNOWN
    frequency = _read(system / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq")
    throttled = _first(system.glob("sys/devices/platform/soc*/soc*firmware/get_throttled"))
    return [
        str(time.perf_counter_ns()),
        core,
        _number(frequency),
        _hottest(system),
        str(int(throttled, 16)) if throttled else UNKNOWN,
        *(_pressure(_read(system / f"proc/pressure/{name}")) for name in PRESSURES),
        _field(_read(Path(f"/proc/{pid}/status")), "nonvoluntary_ctxt_switches:"),
        *(stat[index] if len(stat) > index else UNKNOWN for index in (MINOR_FAULTS, MAJOR_FAULTS)),
    ]


def _hottest(system: Path) -> str:
    values = [_read(path).strip() for path in system.glob("sys/class/thermal/thermal_zone*/temp")]
    known = [int(value) for value in values if value.lstrip("-").isdigit()]
    return str(max(known)) if known else UNKNOWN


def _pressure(text: str) -> str:
    """Microseconds in which some task had to wait; growing."""
    some = next((line for line in text.splitlines() if line.startswith("some")), "")
    return some.rpartition("total=")[2] or UNKNOWN


def _field(text: str, name: str) -> str:
    return next((line.split()[1] for line in text.splitlines() if line.startswith(name)), UNKNOWN)


def _number(text: str) -> str:
    return text.strip() if text.strip().isdigit() else UNKNOWN


def _first(paths: Iterator[Path]) -> str:
    return next((text for text in map(_read, paths) if text.strip()), "").strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # a sensor that is there may still not answer
        return ""


def main() -> None:
    """Watch the process named on the command line."""
    pid, system, file = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with file.open("w") as stream:
        then = time.monotonic()
        print(flush=True)
        while not select.select([0], [], [], max(0, then - time.monotonic()))[0]:
            stream.write(" ".join(sample(pid, system)) + "\n")
            then += PERIOD


if __name__ == "__main__":
    main()
