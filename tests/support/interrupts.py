"""What commands survive on this machine: Ctrl-C, SIGTERM and a closed terminal, each at random moments.

    python tests/support/interrupts.py                          the table: 25 tries of each signal for each command
    python tests/support/interrupts.py export --tries 5 --seed 3   one command, other moments

Every try is a process on a terminal of its own. Afterwards nothing of it may run, its temporary folder must be empty,
what it wrote must be whole or absent; after the last try of a signal the command must run to its end.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import random
import signal
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from commands import program
from made_results import made_arrays, measured, packed
from tonearm.bench.output.console import err, out
from tonearm.bench.output.tables import Table
from tonearm.bench.results.store import append, finished, read_cases
from tonearm.device.virtual import qemu
from tonearm.runtime.bundle import read_bundle
from tonearm.runtime.errors import BundleError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TRIES = 25
ENDLESS = 60.0  # seconds after the signal: then it hangs
MARK = "TONEARM_TRY"  # in the environment of all that a try starts
MODEL = "hpn-reduced-flute"
STEPS = np.arange(10_000) % 997


@dataclass
class Stage:
    """Where the command `name` is tried: a folder that it works in, and a person's folders of its own."""

    name: str
    folder: Path
    bundle: Path
    seconds: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        """Where its temporary files go."""
        return self.folder / "tmp"


@dataclass
class Try:
    """What came of one: its status, seconds from signal to end, what it said; whether it came too early."""

    status: int
    seconds: float
    said: str
    early: bool


def export(stage: Stage) -> Sequence[object]:
    """A bundle of a model."""
    return "export", MODEL, "--block", 64, "-o", stage.folder / "exported"


def deploy(stage: Stage) -> Sequence[object]:
    """To the loopback board."""
    return "deploy", stage.bundle, "--board", "loopback"


def sweep(stage: Stage) -> Sequence[object]:
    """Three cases on the loopback board."""
    how = ("--blocks", 64, "--repeats", 3, "--steps", 200)
    return "sweep", "--board", "loopback", "--models", stage.bundle, *how, "-o", stage.folder / "results"


def report(stage: Stage) -> Sequence[object]:
    """Made-up results as a page and a table."""
    folder = stage.folder / "results"
    if not folder.exists():
        for index in range(12):
            step = 1_000_000 + random.Random(index).randrange(1000) + (1 + index) * 7 % 13 * STEPS
            append(folder, f"case{index}", measured(repeat=index), packed(made_arrays(step)))
    return "report", folder, "--html", stage.folder / "report.html", "--csv", stage.folder / "cases.csv"


def compare(stage: Stage) -> Sequence[object]:
    """A teacher and a student, by ear."""
    files = ("--html", stage.folder / "compare.html", "--csv", stage.folder / "compare.csv")
    return "compare", "--teacher", "hpn-full-flute", "--student", MODEL, "--phrases", 1, *files


def board_up(stage: Stage) -> Sequence[object]:
    """A virtual machine of its own, which is down when the command starts."""
    with person(stage):
        qemu.down(machine(stage))
    return "board", "up", machine(stage)


def machine(stage: Stage) -> str:
    """The name of the virtual machine of a stage."""
    return f"virtual-interrupts-{os.getpid()}"


COMMANDS = {
    "export": export,
    "deploy": deploy,
    "sweep": sweep,
    "report": report,
    "compare": compare,
    "board up": board_up,
}


@contextlib.contextmanager
def person(stage: Stage) -> Iterator[None]:
    """This process sees the person's folders of a stage."""
    before = {name: os.environ.get(name) for name in stage.environment}
    os.environ.update(stage.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def stage_of(name: str, folder: Path, bundle: Path) -> Stage:
    """A folder for a command, made ready by one whole run, which also tells how long it takes."""
    stage = Stage(name, folder, bundle)
    (folder / "tmp").mkdir(parents=True)
    (folder / "home").mkdir()
    # TORCHINDUCTOR_CACHE_DIR: torch makes that folder in the temporary one when it is imported, and keeps it
    own = {
        "HOME": "home",
        "XDG_CONFIG_HOME": "config",
        "XDG_STATE_HOME": "state",
        "TMPDIR": "tmp",
        "TORCHINDUCTOR_CACHE_DIR": "torch",
    }
    stage.environment = {name: str(folder / place) for name, place in own.items()}
    stage.environment["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    start = time.monotonic()
    goes_to_its_end(stage)
    stage.seconds = time.monotonic() - start
    return stage


def goes_to_its_end(stage: Stage) -> None:
    """Run the command undisturbed."""
    words = COMMANDS[stage.name](stage)
    environment = {**os.environ, **stage.environment}
    done = subprocess.run(program(*words), cwd=stage.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{stage.name}: exit status {done.returncode}: {done.stderr}"


def struck(stage: Stage, number: signal.Signals, moment: float, token: str, shown: bool) -> Try:
    """Start the command on a terminal, interrupt it that many seconds later, and wait for its end.

    `shown`: what it says goes to the terminal, not into a file.
    """
    words = program(*COMMANDS[stage.name](stage))
    ours, theirs = pty.openpty()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            words,
            cwd=stage.folder,
            env={**os.environ, **stage.environment, MARK: token, "TERM": "xterm"},
            stdin=theirs,
            stdout=said,
            stderr=theirs if shown else said,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        seen: list[bytes] = []
        reader = threading.Thread(target=lambda: seen.extend(iter(lambda: from_terminal(ours), b"")), daemon=True)
        if number != signal.SIGHUP:
            reader.start()  # a thread that reads would keep the terminal open
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        early = process.poll() is None and not is_ready(process.pid)
        start = time.monotonic()
        if number == signal.SIGINT:
            os.write(ours, b"\x03")
        elif number == signal.SIGTERM:
            process.terminate()
        else:
            os.close(ours)
        try:
            process.wait(ENDLESS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        seconds = time.monotonic() - start
        if number != signal.SIGHUP:
            reader.join(5)
            os.close(ours)
        said.seek(0)
        return Try(process.returncode, seconds, (said.read() + b"".join(seen)).decode(errors="replace"), early)


def from_terminal(terminal: int) -> bytes:
    """What was written to a terminal; nothing once its other end is closed."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def is_ready(process: int) -> bool:
    """Whether a process of Python's has begun the command, and not only started: it takes notice of SIGHUP."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) & 1 << signal.SIGHUP - 1)
    return True


def marked(token: str) -> list[str]:
    """What still runs of a try: command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={token}\0".encode() in (folder / "environ").read_bytes():
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{folder.name} {words[:200]}")
    return found


def left_over(stage: Stage, token: str) -> list[str]:
    """What a try has left: processes, after a moment in which a board may notice, and files that are not whole."""
    deadline = time.monotonic() + 3
    while (running := marked(token)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if running and stage.name == "board up":
        with person(stage):
            qemu.down(machine(stage))  # one that was up already is no orphan: it can be found and stopped
        running = marked(token)
    files = [*stage.temporary.iterdir(), *stage.folder.rglob("*.part"), *stage.folder.glob(".exported*")]
    return [*running, *map(str, files)]


def lost(stage: Stage, before: int) -> list[str]:
    """What should be there, or whole, and is not."""
    found = []
    for page in stage.folder.glob("*.html"):
        if not page.read_text().rstrip().endswith("</html>"):
            found.append(f"{page} is cut short")
    for table in stage.folder.glob("*.csv"):
        if not table.read_text().endswith("\n"):
            found.append(f"{table} is cut short")
    bundle = stage.folder / "exported"
    with contextlib.suppress(FileNotFoundError):
        try:
            if bundle.exists():
                read_bundle(bundle).check_files()
        except BundleError as error:
            found.append(str(error))
    results = stage.folder / "results"
    if results.exists():
        cases = read_cases(results)
        if len(cases) < before or len(finished(results)) < len(cases):
            found.append(f"{before} cases became {len(cases)}, {len(finished(results))} of them whole")
    return found


@dataclass
class Row:
    """What came of the tries of a signal on a command."""

    tries: int = 0
    early: int = 0
    tracebacks: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """All that must not be, but for how long an end took."""
        return [*self.wrong, *self.leftovers, *self.lost]


def tried(stage: Stage, number: signal.Signals, tries: int, seed: int = 0, started: bool = False) -> Row:
    """Try a signal on a command so often; `started`: only once Python has begun it."""
    name, row, moments = stage.name, Row(), random.Random(f"{stage.name} {number} {seed}")
    while row.tries < tries:
        if name == "sweep" and len(read_cases(stage.folder / "results")) == 3:
            (stage.folder / "results" / "cases.jsonl").unlink()
        kept = len(read_cases(stage.folder / "results"))
        moment, token = moments.uniform(0.15 if started else 0, stage.seconds), f"{os.getpid()}-{time.monotonic_ns()}"
        one = struck(stage, number, moment, token, shown=row.tries % 2 == 1)
        if one.status == 0:  # it was over before
            stage.seconds = min(stage.seconds, moment)
        if one.status == 0 or (started and one.early):
            continue
        row.tries += 1
        row.early += one.early
        about = f"{name}, {number.name} after {moment:.2f} s"
        if "Traceback" in one.said or "Exception ignored" in one.said:
            row.tracebacks += 1
            row.wrong.append(f"{about}{' (early)' if one.early else ''}: {one.said}")
        elif one.status != 128 + number and not (one.early and one.status == -number):
            row.wrong.append(f"{about}: exit status {one.status}: {one.said}")
        elif one.status == 128 + number and number != signal.SIGHUP and "Finished results are kept" not in one.said:
            row.wrong.append(f"{about}: nothing is said: {one.said}")
        row.slowest = max(row.slowest, one.seconds)
        row.leftovers += [f"{about}: {what}" for what in left_over(stage, token)]
        row.lost += [f"{about}: {what}" for what in lost(stage, kept)]
    return row


def main() -> None:
    """Try all commands, or those that are named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", help=f"of {', '.join(COMMANDS)}; default: all")
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="tonearm-") as folder:
        bundle = Path(folder) / "bundle"
        subprocess.run(program("export", MODEL, "--block", "64", "-o", bundle), check=True, capture_output=True)
        for name in options.commands or COMMANDS:
            stage = stage_of(name, Path(folder) / name.replace(" ", "-"), bundle)
            for number in SIGNALS:
                row = tried(stage, number, options.tries, options.seed)
                goes_to_its_end(stage)
                cells = (row.tries, row.tracebacks, row.early, f"{row.slowest:.1f}", len(row.leftovers), len(row.lost))
                rows.append((name, number.name, *map(str, cells)))
                err.print(*rows[-1], *row.problems(), soft_wrap=True)
            if name == "board up":
                board_up(stage)  # down
    headings = ("command", "signal", "tries", "tracebacks", "before it began", "slowest end s", "leftovers", "lost")
    out.print(Table("", headings, rows, texts=("command", "signal")))


if __name__ == "__main__":
    main()
