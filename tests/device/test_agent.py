"""The agent on the board: whole or not at all, whatever is cut, full, wrong, killed or hanging."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cable import Cable
from tonearm.device.errors import AgentError, NoSpaceError, UnreachableError
from tonearm.device.loopback import serve
from tonearm.device.releases import Release, install, release_path, switch
from tonearm.device.runtimes.provision import Site, push_tree
from tonearm.device.ssh.connection import Connection, Upload
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.ssh.program import BOOTSTRAP, agent_source
from tonearm.runtime.bundle import Bundle, read_bundle
from tonearm.runtime.progress import unwatched

OLD = "releases/old/0"
SITE = Site({}, "runtimes/none", "runners/none")
HANG = "import os, pathlib, time\npathlib.Path('../../pid').write_text(str(os.getpid()))\ntime.sleep(60)\n"
CHATTER = "while True: print('1 2', flush=True); time.sleep(0.01)\n"
OUTSIDE = ["../stolen", "objects/../../stolen", "/tmp/stolen", "", "."]  # noqa: S108


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def within(seconds: float, fact: Callable[[], bool]) -> bool:
    """Whether `fact` comes true before the bound."""
    deadline = time.monotonic() + seconds
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.02)
    return fact()


def gone(process: int) -> bool:
    """Whether the process has ended; nobody may have asked for its exit status yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The loopback fixture's `~/.tonearm`."""
    return tmp_path / "loopback" / "home" / ".tonearm"


@dataclass(frozen=True)
class Claimed(Upload):
    """An upload that says it is something else."""

    sha256: str = "0" * 64

    @functools.cached_property
    def entry(self) -> dict[str, Any]:
        return {**super().entry, "sha256": self.sha256}


def test_files_are_stored_under_their_hash(loopback: Connection, root: Path) -> None:
    contents = [b"", b"a", bytes(range(256)) * 1000]
    loopback.ask("put", [Upload(str(index), content) for index, content in enumerate(contents)])
    wanted = {hashlib.sha256(content).hexdigest(): content for content in contents}
    assert {path.name: path.read_bytes() for path in (root / "objects").iterdir()} == wanted


def test_a_file_with_another_hash_is_refused_and_leaves_nothing(loopback: Connection, root: Path) -> None:
    with pytest.raises(AgentError, match="arrived damaged") as refused:
        loopback.ask("put", [Claimed("x", b"spoilt on the way")])
    assert refused.value.kind == "hash"
    assert files_below(root) == []


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    "request_with",
    [
        lambda name: ("tree", {"path": name, "contents": {}}),
        lambda name: ("tree", {"path": "trees/a", "contents": {name: "0"}}),
        lambda name: ("switch", {"release": name, "parity": None, "proof": "x"}),
        lambda name: ("missing", {"objects": [f"../{name}"]}),
        lambda name: ("verify", {"path": name, "contents": {}}),
        lambda name: ("proof", {"path": name, "parity": []}),
        lambda name: ("runtime", {"path": name, "wheels": []}),
    ],
    ids=["tree", "contents", "switch", "missing", "verify", "proof", "runtime"],
)
def test_a_name_that_leads_out_of_the_root_is_refused(
    loopback: Connection, root: Path, name: str, request_with: Callable[[str], tuple[str, dict[str, Any]]]
) -> None:
    command, arguments = request_with(name)
    with pytest.raises(AgentError) as refused:
        loopback.ask(command, **arguments)
    assert refused.value.kind == "path"
    assert files_below(root.parent) == []


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_file_of_a_run_can_not_leave_its_job_folder(loopback: Connection, root: Path, name: str) -> None:
    runs = {"runtime": "a", "runner": "b", "fetch": [], "request": {}, "deadline": 10}
    with pytest.raises(AgentError) as refused:
        loopback.ask("run", [Upload(name, b"x")], **runs)
    assert refused.value.kind == "path"
    assert files_below(root.parent) == []


@pytest.mark.parametrize("size", [10, 8_000_000])
def test_a_file_that_will_not_fit_is_refused_with_numbers_before_anything_is_written(
    loopback: Connection, root: Path, size: int
) -> None:
    with pytest.raises(NoSpaceError, match=r"1000000\d+\.\d MB are needed below .*, \d+\.\d MB are free; .*df -h"):
        loopback.ask("put", [Upload("large", bytes(size))], headroom=10**15)
    assert files_below(root) == []


@contextlib.contextmanager
def small_files(folder: Path) -> Iterator[Connection]:
    """A board whose processes may write half a megabyte into a file."""
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nulimit -f 1024\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    search = f"{python.parent}:/usr/bin:/bin"
    with serve(folder / "board", search) as endpoint, Connection("loopback", endpoint) as connection:
        yield connection


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Connection]:
    """A board whose home is a file system of one megabyte."""
    home = folder / "board"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", home], check=True, capture_output=True)
    try:
        with serve(home) as endpoint, Connection("loopback", endpoint) as connection:
            yield connection
    finally:
        subprocess.run(["umount", "--lazy", home], check=True, capture_output=True)


def limits() -> list[Any]:
    """The ways to run out of room that can be had here: only root mounts a small disk."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError, subprocess.CalledProcessError):
        with small_disk(Path(folder)):
            pass
        return [(small_files, "system", "File too large"), (small_disk, "space", "No space left .*`df -h`")]
    return [(small_files, "system", "File too large")]


@pytest.mark.parametrize(("board", "kind", "said"), limits())
def test_a_disk_that_fills_up_in_the_middle_of_a_file_is_told_and_leaves_nothing(
    tmp_path: Path, board: Callable[[Path], contextlib.AbstractContextManager[Connection]], kind: str, said: str
) -> None:
    runs = {"runtime": "a", "runner": "b", "fetch": [], "request": {}, "deadline": 10}
    with board(tmp_path) as connection:
        with pytest.raises(AgentError, match=said) as refused:
            connection.ask("run", [Upload("large", bytes(4_000_000))], **runs)
        assert refused.value.kind == kind
        assert files_below(tmp_path / "board" / "home") == []


def start(connection: Connection, source: str, deadline: float = 60) -> None:
    """Run a runner of our own on the board."""
    push_tree(connection, "runners/own", {"tonearm/runtime/runner.py": source.encode()}, unwatched)
    runs = {"runtime": "runtimes/none", "runner": "runners/own", "fetch": [], "request": {}}
    connection.ask("run", deadline=deadline, **runs)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"the runner crashed \(killed by SIGKILL\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", r"the runner crashed \(killed by SIGILL\)"),
        ("import sys; sys.exit('no such instruction')", r"the runner crashed \(exit status 1\): no such instruction"),
        ("print('x' * 1_000_000); import sys; sys.exit('y' * 1_000_000)", r"exit status 1\): y{4,4000}"),
    ],
    ids=["SIGKILL", "SIGILL", "exit", "much output"],
)
def test_a_runner_that_dies_is_reported_with_how_and_its_last_words(
    loopback: Connection, root: Path, source: str, said: str
) -> None:
    with pytest.raises(AgentError, match=said) as refused:
        start(loopback, source)
    assert refused.value.kind == "runner"
    assert list((root / "jobs").iterdir()) == []


def test_a_runner_that_hangs_is_ended_at_its_deadline(loopback: Connection, root: Path) -> None:
    with pytest.raises(AgentError, match="took longer than 1 s and was stopped") as refused:
        start(loopback, HANG, deadline=1)
    assert refused.value.kind == "deadline"
    assert gone(int((root / "pid").read_text()))
    assert list((root / "jobs").iterdir()) == []


def wait_for_an_answer(connection: Connection, source: str, errors: list[Exception]) -> None:
    try:
        start(connection, source)
    except UnreachableError as error:
        errors.append(error)


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_host_that_goes_away_ends_the_runner_and_the_agent(loopback: Connection, root: Path) -> None:
    errors: list[Exception] = []
    waiting = threading.Thread(target=wait_for_an_answer, args=(loopback, HANG, errors))
    waiting.start()
    pid = root / "pid"
    assert within(20, lambda: pid.is_file() and pid.read_text() != "")
    runner = int(pid.read_text())
    agent = parent(runner)
    loopback.__exit__()
    waiting.join(20)
    assert len(errors) == 1
    assert within(10, lambda: gone(runner) and gone(agent))
    assert within(10, lambda: list((root / "jobs").iterdir()) == [])


@contextlib.contextmanager
def agent_with(root: Path, source: str) -> Iterator[subprocess.Popen[bytes]]:
    """The agent without SSH, its pipes in our hands, told to run a runner of our own."""
    runner = root / "runners" / "own" / "tonearm" / "runtime" / "runner.py"
    runner.parent.mkdir(parents=True)
    runner.write_text(source)
    request = {"command": "run", "root": str(root), "files": [], "fetch": [], "deadline": 60, "request": {}}
    line = json.dumps({**request, "runtime": "runtimes/none", "runner": "runners/own"}).encode() + b"\n"
    command = [sys.executable, "-I", "-S", "-c", BOOTSTRAP, str(len(agent_source()))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as agent:
        assert agent.stdin
        agent.stdin.write(agent_source() + line)
        try:
            yield agent
        finally:
            agent.kill()


def test_the_agent_ends_well_while_the_host_still_listens(tmp_path: Path) -> None:
    with agent_with(tmp_path, "import pathlib; pathlib.Path('record.json').write_text('{}')") as agent:
        assert agent.wait(20) == 0
        assert agent.stdout and agent.stdout.read() == b'TONEARM-1 {"files": []}\n'
        assert agent.stderr and agent.stderr.read() == b""


def test_a_host_that_reads_no_more_ends_the_runner_and_the_agent(tmp_path: Path) -> None:
    with agent_with(tmp_path, HANG.replace("time.sleep(60)\n", CHATTER)) as agent:
        assert agent.stdout and agent.stdout.readline() == b"TONEARM-1-PROGRESS 1 2\n"
        agent.stdout.close()
        agent.wait(20)
        assert within(10, lambda: gone(int((tmp_path / "pid").read_text())))


def put_and_switch(connection: Connection, bundle: Bundle) -> None:
    switch(connection, install(connection, bundle))


def cut_at(endpoint: Endpoint, limit: float, bundle: Bundle) -> int:
    """Install through a cable that breaks after `limit` bytes; how many it carried."""
    with Cable(endpoint.port, limit) as cable:
        with Connection("loopback", replace(endpoint, port=cable.port)) as connection:
            put_and_switch(connection, bundle)
        return cable.carried


@pytest.fixture(scope="module")
def length(golden_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Bytes that a whole install takes, the handshake and the agent's source included."""
    with serve(tmp_path_factory.mktemp("whole")) as endpoint:
        return cut_at(endpoint, math.inf, golden_bundle)


@pytest.mark.parametrize("seed", range(12))
def test_a_cut_cable_leaves_the_old_release_and_the_next_deploy_succeeds(
    tmp_path: Path, golden_bundle: Bundle, length: int, seed: int
) -> None:
    limit = random.Random(seed).randrange(1, length - 4096)
    root = tmp_path / "home" / ".tonearm"
    with serve(tmp_path) as endpoint, Connection("loopback", endpoint) as direct:
        push_tree(direct, OLD, {"manifest.json": b"old"}, unwatched)
        switch(direct, Release(OLD, 0))
        with pytest.raises(UnreachableError):
            cut_at(endpoint, limit, golden_bundle)
        check_whole(root, golden_bundle, f"cut after {limit} of {length} bytes")
        put_and_switch(direct, golden_bundle)
    assert (root / "current").resolve() == (root / release_path(golden_bundle)).resolve()
    assert read_bundle(root / "current").check_files() is None


def check_whole(root: Path, bundle: Bundle, when: str) -> None:
    """Nothing half-done is there, and the board runs what it ran."""
    assert (root / "current" / "manifest.json").read_bytes() == b"old", when
    assert within(10, lambda: not list((root / "releases").rglob("*.part"))), f"{when}: {files_below(root)}"
    for path in set((root / "objects").iterdir()) - set((root / "objects").glob("*.part")):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, when
    release = root / release_path(bundle)
    if release.exists():  # the cut came after the last file
        read_bundle(release).check_files()
