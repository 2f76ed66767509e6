"""One host at a time: who waits for whom, and what ends a turn."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cable import Cable
from openssh import descendants, openssh
from tonearm.device.errors import BusyError, UnreachableError
from tonearm.device.ssh.connection import Connection, Upload
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.ssh.program import BOOTSTRAP, agent_source
from tonearm.device.turn import turn
from tonearm.runtime.progress import unwatched


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """A board behind a real OpenSSH server."""
    with openssh(tmp_path / "board") as endpoint:
        yield endpoint


@contextlib.contextmanager
def holding(root: Path, silence: float, work: str = "tour") -> Iterator[subprocess.Popen[bytes]]:
    """A turn without a host behind it: its process, once it has the board."""
    command = [sys.executable, "-I", "-S", "-c", BOOTSTRAP, str(len(agent_source()))]
    request = {"command": "hold", "root": str(root), "files": [], "who": "anna: tour", "wait": 10, "silence": silence}
    request["token"] = work
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as agent:
        assert agent.stdin and agent.stdout
        agent.stdin.write(agent_source() + json.dumps(request).encode() + b"\n")
        answer = json.loads(agent.stdout.readline().partition(b" ")[2])
        assert answer["held_by"] == ""
        try:
            yield agent
        finally:
            agent.kill()


@contextlib.contextmanager
def breaking(endpoint: Endpoint) -> Iterator[tuple[Connection, Callable[[], None]]]:
    """A connection, and what breaks it so that paramiko learns it only when it sends: a pulled cable, then no way out.

    Where both ends hear of it, whether sending fails depends on which thread is first.
    """
    with (
        Cable(endpoint.port, pulled=True) as cable,
        Connection("pi", replace(endpoint, port=cable.port)) as connection,
    ):

        def break_it() -> None:
            cable.limit = 0
            connection._transport().sock.shutdown(socket.SHUT_WR)

        yield connection, break_it


def test_giving_the_board_back_over_a_broken_connection_leaves_the_error_as_it_is(endpoint: Endpoint) -> None:
    with (
        breaking(endpoint) as (connection, break_it),
        pytest.raises(UnreachableError, match="pi: the connection broke"),
        turn(connection, "deploy flute", unwatched),
    ):
        break_it()
        connection.ask("facts")


def test_ctrl_c_in_a_turn_stays_ctrl_c_over_a_broken_connection(endpoint: Endpoint) -> None:
    with (
        breaking(endpoint) as (connection, break_it),
        pytest.raises(KeyboardInterrupt),
        turn(connection, "deploy flute", unwatched),
    ):
        break_it()
        raise KeyboardInterrupt


def test_a_board_that_can_not_be_given_back_is_out_of_reach(endpoint: Endpoint) -> None:
    with (
        breaking(endpoint) as (connection, break_it),
        pytest.raises(UnreachableError, match="pi: the connection broke"),
        turn(connection, "deploy flute", unwatched),
    ):
        break_it()


def test_ctrl_c_in_a_request_stays_ctrl_c_over_a_broken_connection(endpoint: Endpoint) -> None:
    with breaking(endpoint) as (connection, break_it):

        def interrupted(sent: int, total: int) -> None:
            break_it()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            connection.ask("put", [Upload("a", b"some")], on_sent=interrupted, headroom=0)


def test_a_second_host_waits_for_the_first_and_sees_who_it_is(endpoint: Endpoint) -> None:
    first_is_in, seen = threading.Event(), []
    with Connection("pi", endpoint) as one, Connection("pi", endpoint) as other:

        def work() -> None:
            with turn(one, "deploy flute", unwatched):
                first_is_in.set()
                waited.wait(60)

        waited = threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        assert first_is_in.wait(60)

        def report(text: str, done: int, total: int) -> None:
            seen.append(text)
            waited.set()

        with turn(other, "deploy violin", report):
            assert not thread.is_alive() or thread.join(60) is None
    assert "in use by" in seen[0] and ": deploy flute" in seen[0]


def test_a_host_that_does_not_want_to_wait_any_longer_is_told_who_is_there(endpoint: Endpoint, tmp_path: Path) -> None:
    root = tmp_path / "board" / "home" / ".tonearm"
    root.mkdir()
    busy = pytest.raises(BusyError, match=r"pi: in use by anna: tour \(for \d+ s now\); try again")
    with (
        holding(root, 60),
        Connection("pi", endpoint) as connection,
        busy,
        turn(connection, "deploy flute", unwatched, patience=0),
    ):
        pytest.fail("two at once")


def test_a_turn_ends_with_its_host_however_that_ends(endpoint: Endpoint, tmp_path: Path) -> None:
    root = tmp_path / "board" / "home" / ".tonearm"
    root.mkdir()
    with Connection("pi", endpoint) as connection:
        with holding(root, 60) as agent:
            agent.kill()
            with turn(connection, "deploy flute", unwatched, patience=0):
                pass
        with holding(root, 60) as agent:
            assert agent.stdin
            agent.stdin.close()
            with turn(connection, "deploy flute", unwatched, patience=0):
                pass


def test_a_host_that_falls_silent_loses_its_turn(endpoint: Endpoint, tmp_path: Path) -> None:
    root = tmp_path / "board" / "home" / ".tonearm"
    root.mkdir()
    with Connection("pi", endpoint) as connection, holding(root, 1), turn(connection, "deploy flute", unwatched):
        pass


def test_what_a_command_holds_over_a_lost_connection_it_takes_from_itself(tmp_path: Path) -> None:
    with holding(tmp_path, 600) as lost, holding(tmp_path, 600):
        assert lost.wait(30) == -signal.SIGKILL


def test_each_line_says_how_long_the_host_may_be_silent(tmp_path: Path) -> None:
    with holding(tmp_path, 60) as agent:
        assert agent.stdin
        agent.stdin.write(b"60\n600\n0.2\n")
        assert agent.wait(30) == 0


def test_one_who_has_lost_the_turn_learns_it_before_anything_is_changed(endpoint: Endpoint) -> None:
    with Connection("pi", endpoint) as connection, turn(connection, "deploy flute", unwatched) as held:
        held.check()
        held._agent.say(0)
        held._agent.channel.status_event.wait(30)
        with pytest.raises(UnreachableError, match="was given to another one"):
            held.check()


def test_nothing_is_sent_while_something_is_measured(endpoint: Endpoint) -> None:
    with Connection("pi", endpoint) as connection, turn(connection, "sweep", unwatched) as held:
        with held.quietly(30):
            assert held._speaking.locked()
        assert not held._speaking.locked()
        held.check()


def ask_holder(agent: subprocess.Popen[bytes], command: str, root: Path, **arguments: object) -> None:
    """Send the agent that holds the board its first request."""
    request = json.dumps({"command": command, "root": str(root), "files": [], **arguments}).encode() + b"\n"
    assert agent.stdin
    agent.stdin.write(b"+1 %d\n%b" % (len(request), request))


def waiting_for(root: Path, agent: subprocess.Popen[bytes]) -> int:
    """The process of its request, once that waits for earlier tasks below `root`."""
    while True:
        for process in descendants(agent.pid):
            with contextlib.suppress(OSError):
                if any(root.samefile(file) for file in Path(f"/proc/{process}/fd").iterdir()):
                    return process
        time.sleep(0.01)


def test_the_turn_is_the_last_that_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("objects", "runtimes/a", "releases", "jobs"):
        (root / name).mkdir(parents=True)
    for number in range(2000):
        (root / "runtimes/a" / str(number)).touch()
        (root / "objects" / str(number)).touch()
    with holding(root, 60) as agent:
        ask_holder(agent, "remove", root)
        while (root / "turn").exists():
            pass
        with contextlib.suppress(FileNotFoundError):
            assert os.listdir(root) == []  # noqa: PTH208  # as one step


def test_what_waits_for_a_host_that_has_gone_changes_nothing_once_it_could(tmp_path: Path) -> None:
    (tmp_path / "releases/a/1").mkdir(parents=True)
    task = os.open(tmp_path, os.O_RDONLY)  # as an earlier task has it
    fcntl.flock(task, fcntl.LOCK_EX)
    with holding(tmp_path, 60) as agent:
        ask_holder(agent, "switch", tmp_path, release="releases/a/1", keep=8, needed=[])
        child = waiting_for(tmp_path, agent)
        os.kill(child, signal.SIGSTOP)  # so that it sees both at once
        agent.kill()
        agent.wait()
        fcntl.flock(task, fcntl.LOCK_UN)
        os.kill(child, signal.SIGCONT)
        assert agent.stdout
        agent.stdout.read()  # until that has ended as well
    assert not (tmp_path / "current").is_symlink()
    os.close(task)
