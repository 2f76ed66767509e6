"""Small and hardened SSH servers, login shells of every kind, and boards that talk without an end."""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import tonearm
from openssh import openssh
from places import ROOT
from servers import SHELLS, can_have, dropbear, openssh_with
from tonearm.bench.sweep.plan import Plan
from tonearm.bench.sweep.run import sweep
from tonearm.device.errors import AgentError, BoardError, UnreachableError
from tonearm.device.releases import Release, run_task
from tonearm.device.runtimes.provision import Site, push_tree
from tonearm.device.ssh.connection import Connection, Upload
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.turn import turn
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.progress import unwatched

Server = Callable[[Path], contextlib.AbstractContextManager[Endpoint]]
SERVERS: dict[str, Server] = {
    "MaxSessions 1": lambda folder: openssh(folder, "MaxSessions 1"),
    "MaxSessions 2": lambda folder: openssh(folder, "MaxSessions 2", "AllowTcpForwarding no"),
}
if can_have():
    SERVERS["Dropbear"] = dropbear
AS_ROOT = pytest.mark.skipif(not can_have(), reason="only root may have another login shell for a test")
HERE = socket.gethostname()
ANSWERING = '/bin/sh -c "$SSH_ORIGINAL_COMMAND"'


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """A server with few sessions, whom the person knows as `pi`."""
    with SERVERS[request.param](tmp_path / "board") as there:
        make_known(there)
        yield there


def make_known(there: Endpoint) -> None:
    """The person can reach it as `pi`."""
    ssh = Path("~/.ssh").expanduser()
    ssh.mkdir(exist_ok=True)
    (ssh / "known_hosts").write_text(f"[{there.host}]:{there.port} {there.host_key}\n")
    lines = f"Host pi\n  HostName {there.host}\n  Port {there.port}\n  User {there.user}\n"
    (ssh / "config").write_text(f'{lines}  IdentityFile "{there.key_file}"\n')


@pytest.mark.slow
def test_all_commands_work_where_a_server_has_few_sessions(
    server: Endpoint, golden_bundle: Bundle, tmp_path: Path
) -> None:
    folder = golden_bundle.folder
    assert f"{golden_bundle.name} is current on pi" in tonearm("deploy", folder, "--board", "pi").stdout
    assert golden_bundle.name in tonearm("board", "releases", "pi").stdout
    tonearm("render", folder, "--board", "pi", "--input", ROOT / "bench/phrase.csv", "-o", tmp_path / "sound.wav")
    assert "not checked" in tonearm("board", "doctor", "pi", "--tune", status=None).stdout
    plan = Plan(threads=(1,), modes=("burst",), repeats=1, steps=20, output=tmp_path / "results")
    swept = sweep("pi", [golden_bundle], plan, unwatched, lambda name, progress: Connection(name, server))
    assert (swept.measured, swept.failed) == (2, ()), swept
    tonearm("board", "doctor", "pi", "--restore")


def test_a_held_board_takes_one_request_after_another_in_one_session(server: Endpoint) -> None:
    with Connection("pi", server) as connection:
        for _ in range(3):
            with turn(connection, "deploy", unwatched) as held:
                for _ in range(5):
                    assert connection.ask("facts")[0]["hostname"] == HERE
                connection.ask("put", [Upload("a", bytes(300_000))], headroom=0)
                with pytest.raises(AgentError, match="are free"):
                    connection.ask("put", [Upload("b", b"x" * 3_000_000)], headroom=10**15)
                with pytest.raises(AgentError, match="is not a path inside"):
                    connection.ask("verify", path="..", contents={})
                held.check()
            assert connection.ask("facts")[0]["hostname"] == HERE


def test_what_is_interrupted_leaves_the_held_board_ready_for_the_next_request(server: Endpoint) -> None:
    def interrupted(sent: int, total: int) -> None:
        raise KeyboardInterrupt

    with Connection("pi", server) as connection, turn(connection, "deploy", unwatched) as held:
        with pytest.raises(KeyboardInterrupt):
            connection.ask("put", [Upload("a", bytes(3_000_000))], on_sent=interrupted, headroom=0)
        assert connection.ask("facts")[0]["hostname"] == HERE
        held.check()


def test_a_server_without_sessions_is_named_with_its_setting(tmp_path: Path) -> None:
    with (
        openssh(tmp_path, "MaxSessions 0") as there,
        Connection("pi", there) as connection,
        pytest.raises(UnreachableError, match=r"^pi: its SSH server opens no session.* MaxSessions in"),
    ):
        connection.ask("facts")


def knock(there: Endpoint) -> socket.socket:
    """The one that a server with MaxStartups 1 lets begin to log in."""
    while True:
        caller = socket.create_connection((there.host, there.port))
        if caller.recv(4) == b"SSH-":
            return caller
        caller.close()


def test_a_server_that_turns_some_away_for_a_moment_is_called_again(tmp_path: Path) -> None:
    with openssh(tmp_path, "MaxStartups 1") as there, knock(there) as other:
        threading.Timer(2, other.shutdown, [socket.SHUT_RDWR]).start()
        with Connection("pi", there) as connection:
            assert connection.ask("facts")[0]["hostname"] == HERE


def test_a_server_that_turns_everybody_away_is_named_with_its_setting(tmp_path: Path) -> None:
    with (
        openssh(tmp_path, "MaxStartups 1") as there,
        knock(there),
        pytest.raises(UnreachableError, match=r"hangs up .*MaxStartups"),
    ):
        Connection("pi", there)


@pytest.mark.parametrize("command", ["internal-sftp", "echo 'This account is for transfers only.'", "/bin/false"])
def test_a_command_that_is_forced_is_told_with_where_to_look(tmp_path: Path, command: str) -> None:
    with (
        openssh(tmp_path, f"ForceCommand {command}") as there,
        Connection("pi", there, silence=3) as connection,
        pytest.raises(AgentError, match=r"ForceCommand \(sshd_config"),
    ):
        connection.ask("facts")


@AS_ROOT
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", [dropbear, openssh_with])
def test_every_login_shell_runs_the_agent(tmp_path: Path, shell: str, kind: Callable[..., object]) -> None:
    serving: contextlib.AbstractContextManager[Endpoint] = kind(tmp_path, shell)  # type: ignore[assignment]
    with serving as there, Connection("pi", there) as connection, turn(connection, "deploy", unwatched):
        assert connection.ask("facts")[0]["root"] == f"{tmp_path}/home/.tonearm"


@AS_ROOT
@pytest.mark.parametrize("shell", ["sh", *SHELLS])
def test_a_board_without_python_is_told_so_by_every_shell(tmp_path: Path, shell: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with (
        openssh_with(tmp_path / "board", shell, f'SetEnv "PATH={empty}"') as there,
        Connection("pi", there) as board,
        pytest.raises(AgentError, match="python3 is not installed"),
    ):
        board.ask("facts")


def talking(folder: Path, script: str) -> str:
    """The line of sshd_config that has a shell script run instead of every command: ANSWERING runs that."""
    shell = folder / "shell"
    shell.write_text(f"#!/bin/sh\n{script}\n")
    shell.chmod(0o755)
    return f"ForceCommand {shell}"


@pytest.mark.parametrize(
    "words",
    [
        "printf 'no newline at its end'",
        "printf 'TONEARM-1'",
        "printf 'TONEARM-1 '",
        "echo 'TONEARM-1 '",
        "echo 'TONEARM-1 7'",
        "echo 'TONEARM-1 {}'",
        """printf 'TONEARM-1 {"files"'""",
        """echo '{"files": []}'""",
        "printf 'TONEARM-1-PROGRESS '",
        "echo 'TONEARM-1-PROGRESS one two'",
        "printf 'TONEARM-1-END 0 0\\nTONEARM-1-END 1 0\\n'",
        "printf '\\000\\001\\377\\000'",
        "head -c 500000 /dev/urandom",
        "yes | head -c 500000",
        "echo a warning >&2",
        "head -c 500000 /dev/zero >&2",
        "printf '\\r\\n\\033[2J\\r'",
    ],
)
def test_whatever_a_login_shell_prints_before_the_answer_does_no_harm(tmp_path: Path, words: str) -> None:
    script = f"{words}\n{ANSWERING}\necho 'Good bye!'"
    with openssh(tmp_path, talking(tmp_path, script)) as there, Connection("pi", there) as connection:
        assert connection.ask("facts")[0]["hostname"] == HERE
        with turn(connection, "deploy", unwatched):
            assert connection.ask("facts")[0]["hostname"] == HERE
        assert connection.ask("facts")[0]["hostname"] == HERE


@pytest.mark.parametrize(
    "words",
    [
        "head -c 30000000 /dev/zero",
        "yes '{\"a\": 1}' | head -c 30000000",
        "yes",
        "yes >&2",
        "cat /dev/zero",
        "cat /dev/zero >&2",
        "tr '\\000' x < /dev/zero",
    ],
)
def test_a_board_that_prints_without_an_end_is_told_in_a_few_words(tmp_path: Path, words: str) -> None:
    line = talking(tmp_path, f"{words}\n{ANSWERING}")
    with (
        openssh(tmp_path, line) as there,
        Connection("pi", there, silence=5) as connection,
        pytest.raises(BoardError) as refused,
    ):
        connection.ask("facts")
    said = str(refused.value)
    assert "more than 1 MiB" in said
    assert len(said) < 1000 and said.isprintable()


def test_a_board_that_says_progress_for_ever_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    script = "while :; do echo 'TONEARM-1-PROGRESS 1 2'; sleep 0.1; done"
    site = Site({"root": "/root"}, "runtimes/a", "runners/a")
    with (
        openssh(tmp_path, talking(tmp_path, script)) as there,
        Connection("pi", there, silence=2) as connection,
        pytest.raises(AgentError, match="gave no answer in 3 s and was given up"),
    ):
        run_task(connection, site, Release("releases/a", 0), {}, deadline=1)


def test_a_runner_that_says_progress_for_ever_leaves_the_held_board_ready(tmp_path: Path) -> None:
    def tell(done: int, total: int) -> None:
        told.append((done, total))

    told: list[tuple[int, int]] = []
    with (
        openssh(tmp_path) as there,
        Connection("pi", there, silence=5) as connection,
        turn(connection, "deploy", unwatched),
    ):
        source = b"import time\nwhile True: print('1 2', flush=True); time.sleep(0.05)\n"
        push_tree(connection, "runners/a", {"tonearm/runtime/runner.py": source}, unwatched)
        site = Site({"root": "/root"}, "runtimes/a", "runners/a")
        with pytest.raises(AgentError, match="took longer than 1 s"):
            run_task(connection, site, Release("releases/a", 0), {}, deadline=1, on_progress=tell)
        assert connection.ask("facts")[0]["hostname"] == HERE
    assert told


def test_one_invalid_answer_leaves_the_held_board_ready(tmp_path: Path) -> None:
    script = f"""{ANSWERING} | sed -u '/"hostname"/s/"files"/"fils"/'"""
    with (
        openssh(tmp_path, talking(tmp_path, script)) as there,
        Connection("pi", there, silence=5) as connection,
        turn(connection, "deploy", unwatched),
    ):
        with pytest.raises(AgentError, match="it sent an invalid answer: TONEARM-1"):
            connection.ask("facts")
        assert connection.ask("usage")[0]["root"] == f"{tmp_path}/home/.tonearm"


@pytest.mark.parametrize("size", ["10**12", "-1", "1e3", '"7"', "null", "[]", "17", "true"])
def test_a_file_that_is_larger_than_what_was_asked_for_is_refused(tmp_path: Path, size: str) -> None:
    number = "1" + "0" * 12 if size == "10**12" else size
    line = f'TONEARM-1 {{"files": [{{"name": "a", "size": {number}}}]}}'
    script = f"printf '%s\\n' {shlex.quote(line)}\nexec cat >/dev/null"
    with (
        openssh(tmp_path, talking(tmp_path, script)) as there,
        Connection("pi", there, silence=5) as connection,
        pytest.raises(AgentError, match=r"it sent an invalid answer: a of .* bytes, where 16 are the most"),
    ):
        connection.ask("run", most={"a": 16})


def test_an_answer_that_ends_in_the_middle_of_a_file_was_cut_short(tmp_path: Path) -> None:
    line = 'TONEARM-1 {"files": [{"name": "a", "size": 9}]}'
    script = f"printf '%s\\n1234' {shlex.quote(line)}"
    with (
        openssh(tmp_path, talking(tmp_path, script)) as there,
        Connection("pi", there, silence=5) as connection,
        pytest.raises(UnreachableError, match="cut short"),
    ):
        connection.ask("run", most={"a": 16})


ODD = ["7", "[]", '"text"', "null", '{"files": [], "current": [], "previous": 1, "releases": {}}']
ODD += ['{"files": [], "whole": 1, "pruned": 5, "objects": 3, "left": 3, "count": "x", "root": [], "held_by": []}']
ODD += ['{"error": {"a": []}, "kind": []}', '{"files": {}}', '{"files": [[]]}', '{"files": [{"name": [], "size": 1}]}']


@pytest.mark.parametrize("answer", ODD)
@pytest.mark.parametrize(
    "words",
    [
        ("deploy", "BUNDLE", "--board", "pi"),
        ("board", "info", "pi"),
        ("board", "releases", "pi"),
        ("board", "rollback", "pi"),
        ("board", "doctor", "pi", "--tune"),
        ("board", "remove", "pi", "--yes"),
    ],
    ids=lambda words: words[1],
)
def test_an_answer_of_another_kind_is_an_error_in_one_line(
    tmp_path: Path, answer: str, words: tuple[str, ...], golden_bundle: Bundle
) -> None:
    said = f"printf '%s\\n' {shlex.quote('TONEARM-1 ' + answer)}"
    with openssh(tmp_path, talking(tmp_path, f"{said}\n")) as there:
        make_known(there)
        arguments = [golden_bundle.folder if word == "BUNDLE" else word for word in words]
        done = tonearm(*arguments, status=1)
    assert done.stderr.splitlines()[-1].startswith("tonearm: pi: ")
