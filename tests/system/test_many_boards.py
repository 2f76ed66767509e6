"""Several boards at once, over real OpenSSH: one that fails stops no other, and a sweep goes on whatever happens."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import process, program, tonearm
from openssh import SSHD, endpoint_of, free_port, power_off, start
from tonearm.bench.results.store import read_cases
from tonearm.bench.sweep.plan import Plan
from tonearm.bench.sweep.run import sweep
from tonearm.device.boards import boards_file
from tonearm.device.errors import UnreachableError
from tonearm.device.runtimes.provision import prepare
from tonearm.device.ssh.connection import Connection
from tonearm.device.ssh.keys import ensure_key
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.progress import unwatched

pytestmark = pytest.mark.skipif(SSHD is None, reason="needs OpenSSH's server (apt install openssh-server)")

SECONDS = 120  # in which anything here happens, or never does
NAMES = ("pi", "bela")
ENDLESS = 10**7  # steps
ONCE = ("--modes", "burst", "--repeats", "1")


@dataclass
class Board:
    """A machine with an OpenSSH server; what it has on its disk outlives the server."""

    folder: Path
    port: int
    server: subprocess.Popen[bytes]

    @property
    def root(self) -> Path:
        """Where Tonearm keeps its things there."""
        return self.folder / "home" / ".tonearm"

    def runners(self, *requested: str) -> list[int]:
        """Processes that measure there now, of a request with all of these words."""
        found = []
        for there in Path("/proc").glob("[0-9]*"):
            try:
                here = (there / "cwd").readlink().is_relative_to(self.root / "jobs")
                request = (there / "cwd" / "request.json").read_text() if here else ""
            except OSError:
                continue
            if here and '"measure"' in request and all(words in request for words in requested):
                found.append(int(there.name))
        return found


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two homes with the runtime in them, installed once."""
    folders = {name: tmp_path_factory.mktemp(name) for name in NAMES}
    (first, second), port = folders.values(), free_port()
    server = start(first, port)
    try:
        with Connection("pi", endpoint_of(first, port)) as connection:
            prepare(connection)
    finally:
        power_off(server)
    shutil.copytree(first / "home", second / "home", copy_function=os.link)
    return folders


@pytest.fixture
def boards(disks: dict[str, Path]) -> Iterator[dict[str, Board]]:
    """Two boards without releases, which this person knows by name."""
    there: dict[str, Board] = {}
    try:
        for name, folder in disks.items():
            for part in ("releases", "objects"):
                shutil.rmtree(folder / "home" / ".tonearm" / part, ignore_errors=True)
            (folder / "home" / ".tonearm" / "current").unlink(missing_ok=True)
            port = free_port()
            there[name] = Board(folder, port, start(folder, port))
        introduce(there)
        yield there
    finally:
        for board in there.values():
            power_off(board.server)


def introduce(boards: dict[str, Board]) -> None:
    """Write boards.toml and known_hosts as a person does."""
    entries, known = [], []
    for name, board in boards.items():
        there = endpoint_of(board.folder, board.port)
        entries.append(f'[{name}]\nhost = "127.0.0.1"\nport = {there.port}\nkey = "{there.key_file}"\n')
        known.append(f"[127.0.0.1]:{there.port} {there.host_key}\n")
    boards_file().parent.mkdir(parents=True, exist_ok=True)
    boards_file().write_text("".join(entries))
    known_hosts().parent.mkdir(exist_ok=True)
    known_hosts().write_text("".join(known))


def known_hosts() -> Path:
    return Path("~/.ssh/known_hosts").expanduser()


def restart(board: Board, *lines: str) -> None:
    """The same board after a power cut; its configuration begins with `lines`."""
    power_off(board.server)
    board.server = start(board.folder, board.port, *lines)


def wait_for_runner(board: Board, *requested: str) -> int:
    """The process that measures there, as soon as it does."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := board.runners(*requested):
            return found[0]
        time.sleep(0.005)
    raise AssertionError(f"nothing is measured below {board.root}")


def measured(folder: Path) -> list[tuple[str, int]]:
    """Board and block of every line of the results: none of them twice."""
    cases = [(case["board"], case["record"]["request"]["block"]) for case in read_cases(folder)]
    assert len((folder / "cases.jsonl").read_text().splitlines()) == len(cases)
    return sorted(cases)


def plan(folder: Path, steps: int) -> Plan:
    """Both blocks, once."""
    return Plan(modes=("burst",), repeats=1, steps=steps, output=folder)


def test_two_boards_are_deployed_to_at_once_and_told_in_the_order_named(
    boards: dict[str, Board], golden_bundle: Bundle
) -> None:
    done = process("deploy", golden_bundle.folder, "--board", "pi", "bela")
    first, second = done.stdout.splitlines()
    assert first.startswith("hpn-reduced is current on pi (releases/hpn-reduced/")
    assert second.startswith("hpn-reduced is current on bela (releases/hpn-reduced/")
    for board in boards.values():
        assert (board.root / "current").resolve().name == golden_bundle.digest[:16]
    again = tonearm("deploy", golden_bundle.folder, "--board", "bela", "--board", "pi").stdout.splitlines()
    assert [line.split()[4] for line in again] == ["bela", "pi"]
    assert all("nothing to upload; already proven on this board" in line for line in again)


def break_host_key(board: Board, folder: Path) -> str:
    lines = known_hosts().read_text().splitlines()
    known_hosts().write_text(f"{lines[0]}\n[127.0.0.1]:{board.port} {ensure_key(folder / 'another')}\n")
    return "bela: the host key of [127.0.0.1]:"


def break_python(board: Board, folder: Path) -> str:
    restart(board, f'SetEnv "HOME={board.folder}/home" "PATH={folder}"')
    return "bela: python3 is not installed; install it (`sudo apt install python3`)"


def break_disk(board: Board, folder: Path) -> str:
    """A home on a file system of its own that is too small."""
    home = folder / "small"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(home)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can't be mounted here")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    restart(board, f'SetEnv "HOME={home}" "PATH={path}"')
    return "MB are free; free some space there (`df -h`) and try again"


@pytest.mark.parametrize("spoil", [break_host_key, break_python, break_disk])
def test_a_board_that_fails_says_why_and_the_other_gets_its_release(
    boards: dict[str, Board], golden_bundle: Bundle, tmp_path: Path, spoil: Callable[[Board, Path], str]
) -> None:
    why = spoil(boards["bela"], tmp_path)
    try:
        done = tonearm("deploy", golden_bundle.folder, "--board", "bela", "pi", status=1)
    finally:
        subprocess.run(["umount", tmp_path / "small"], capture_output=True)
    assert done.stdout.startswith("hpn-reduced is current on pi (") and done.stdout.count("\n") == 1
    assert (boards["pi"].root / "current").resolve().name == golden_bundle.digest[:16]
    assert not (boards["bela"].root / "current").exists()
    assert [line.startswith("bela: ") and why in line for line in done.stderr.splitlines()].count(True) == 1
    assert done.stderr.splitlines()[-1] == "tonearm: failed on bela; done on pi"


def test_an_unknown_board_is_told_before_anything_is_exported(
    boards: dict[str, Board], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["deploy", "hpn-reduced"], ["sweep", "--models", "hpn-reduced"]):
        done = tonearm(*arguments, "--board", "pi", "pie", status=1)
        assert done.stderr.startswith("tonearm: unknown board 'pie': the boards are loopback, virtual, pi, bela")
    assert not (tmp_path / "bundles").exists()


def test_a_sweep_measures_each_case_on_each_board_once(
    boards: dict[str, Board], golden_bundle: Bundle, tmp_path: Path
) -> None:
    asked = ["sweep", "--board", *boards, *ONCE, "--models", golden_bundle.folder, "--steps", 20]
    asked += ["-o", tmp_path / "results"]
    first, second = tonearm(*asked), tonearm(*asked)
    for name in boards:
        assert f"{name}: 2 cases measured, 0 already in" in first.stderr
        assert f"{name}: 0 cases measured, 2 already in" in second.stderr
        assert f"{name}: " in second.stdout
    assert measured(tmp_path / "results") == [("bela", 64), ("bela", 256), ("pi", 64), ("pi", 256)]


def test_a_sweep_goes_on_when_a_board_was_rebooted(
    boards: dict[str, Board], golden_bundle: Bundle, tmp_path: Path
) -> None:
    asked = program(
        *["sweep", "--board", *boards, *ONCE, "--models", golden_bundle.folder, "--steps", 2000],
        *["-o", tmp_path / "results"],
    )
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_runner(boards["bela"])
        power_off(boards["bela"].server)
        time.sleep(2)  # the first try finds nobody
        restart(boards["bela"])
        _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told
    assert "bela went away: waiting up to 120 s for it" in told and "bela is back" in told
    assert "pi went away" not in told
    assert measured(tmp_path / "results") == [("bela", 64), ("bela", 256), ("pi", 64), ("pi", 256)]


def test_a_board_that_never_comes_back_fails_after_the_patience_and_keeps_what_it_has(
    boards: dict[str, Board], golden_bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    sweep("pi", [golden_bundle], plan(tmp_path / "first", 20), unwatched)
    order = [case["record"]["request"]["block"] for case in read_cases(tmp_path / "first")]

    def cut() -> None:
        wait_for_runner(boards["bela"], f'"block": {order[1]}')
        power_off(boards["bela"].server)

    with ThreadPoolExecutor() as pool:
        pool.submit(cut)
        with pytest.raises(
            UnreachableError,
            match=r"bela: it went away and was not back within 2 s .*run the same command again to go on",
        ):
            sweep("bela", [golden_bundle], plan(folder, 2000), unwatched, patience=2)
    assert measured(folder) == [("bela", order[0])]


def test_a_board_that_goes_down_again_and_again_in_one_case_has_failed_that_case_alone(
    boards: dict[str, Board], golden_bundle: Bundle, tmp_path: Path
) -> None:
    board, over = boards["bela"], threading.Event()

    def brown_out() -> None:
        while not over.wait(0.005):
            if board.runners('"block": 64'):
                restart(board)

    with ThreadPoolExecutor() as pool:
        pool.submit(brown_out)
        try:
            swept = sweep("bela", [golden_bundle], plan(tmp_path / "results", 2000), unwatched)
        finally:
            over.set()
    assert (swept.measured, swept.failed) == (1, ("hpn-reduced, block 64, 1 thread",))
    assert measured(tmp_path / "results") == [("bela", 256)]


def test_a_case_whose_runner_is_killed_fails_alone_and_is_measured_next_time(
    boards: dict[str, Board], golden_bundle: Bundle, tmp_path: Path
) -> None:
    asked = ["sweep", "--board", *boards, *ONCE, "--models", golden_bundle.folder, "--steps", 2000]
    asked += ["-o", tmp_path / "results"]
    with subprocess.Popen(program(*asked), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        os.kill(wait_for_runner(boards["pi"], '"block": 256'), signal.SIGKILL)
        shown, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "hpn-reduced, block 256, 1 thread failed on pi: the runner crashed (killed by SIGKILL)" in told
    last = "tonearm: failed on pi (hpn-reduced, block 256, 1 thread); done on bela; what was measured is kept"
    assert told.splitlines()[-1].startswith(last)
    assert "hpn-reduced" in shown  # the tables
    assert measured(tmp_path / "results") == [("bela", 64), ("bela", 256), ("pi", 64)]
    assert "pi: 1 case measured, 1 already in" in tonearm(*asked).stderr
    assert measured(tmp_path / "results") == [("bela", 64), ("bela", 256), ("pi", 64), ("pi", 256)]


def test_ctrl_c_ends_all_boards_and_each_has_its_line_in_the_terminal(
    boards: dict[str, Board], golden_bundle: Bundle, tmp_path: Path
) -> None:
    asked = ["sweep", "--board", *boards, *ONCE, "--models", golden_bundle.folder, "--steps", ENDLESS]
    asked += ["-o", tmp_path / "r"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    seen: list[bytes] = []
    with subprocess.Popen(program(*asked), stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        reader = threading.Thread(target=lambda: seen.extend(iter(lambda: read(ours), b"")))
        reader.start()
        for board in boards.values():
            wait_for_runner(board)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(SECONDS) == 130
        finally:
            process.kill()
    reader.join()
    os.close(ours)
    text = b"".join(seen).decode()
    for name in boards:
        assert f"\n{name}" in text.replace("\x1b[2K", "").replace("\r", "\n")
    assert text.splitlines()[-1].removeprefix("\x1b[2K\x1b[?25h").startswith("Interrupted. Finished results are kept")
    assert "Traceback" not in text and "went away" not in text and "failed" not in text
    wait_until_idle(boards)


def read(terminal: int) -> bytes:
    """What was written to a terminal, nothing once nobody can any more."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def wait_until_idle(boards: dict[str, Board]) -> None:
    """Until nothing is measured any more, which nobody is there to hear of."""
    end = time.monotonic() + SECONDS
    while any(board.runners() for board in boards.values()):
        assert time.monotonic() < end, "a runner goes on after the host has left"
        time.sleep(0.05)


def test_an_interruption_while_a_password_is_asked_for_leaves_a_terminal_that_shows_what_is_typed() -> None:
    terminal, other_end = pty.openpty()
    script = """
import sys, termios
from tonearm.bench.output.console import terminal_as_it_was
with terminal_as_it_was():
    silent = termios.tcgetattr(sys.stdin)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    raise KeyboardInterrupt
"""
    done = subprocess.run([sys.executable, "-c", script], stdin=other_end, capture_output=True, timeout=SECONDS)
    assert b"KeyboardInterrupt" in done.stderr
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(terminal)
    os.close(other_end)
