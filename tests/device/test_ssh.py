"""An SSH connection: whom it trusts, what it says when it can't, and what a board may print before its answer."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from tonearm.device.errors import AgentError, BoardError, HostKeyError, UnreachableError
from tonearm.device.loopback import serve
from tonearm.device.ssh.connection import Connection
from tonearm.device.ssh.endpoint import Endpoint, Way
from tonearm.device.ssh.keys import ensure_key

REAL = shlex.quote(sys.executable)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """A real SSH server on 127.0.0.1, and the key it must have."""
    with serve(tmp_path / "server") as endpoint:
        yield endpoint


def fingerprint(line: str) -> str:
    """As `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def trust(endpoint: Endpoint, host_key: str | None) -> None:
    """Write ~/.ssh/known_hosts as a person's first connection by hand would."""
    known = Path("~/.ssh/known_hosts").expanduser()
    known.parent.mkdir()
    known.write_text(f"[{endpoint.host}]:{endpoint.port} {host_key}\n")


def hang_up(listener: socket.socket) -> None:
    """A server that ends after its first words, as one does that is just going down."""
    listener.settimeout(10)
    client, _ = listener.accept()
    with client:
        client.sendall(b"SSH-2.0-going-down\r\n")
        client.shutdown(socket.SHUT_WR)
        while client.recv(1 << 16):
            pass


def ask_python(folder: Path, script: str) -> str:
    """What a board says whose `python3` is the shell script `script`: its hostname, or the error raised."""
    wrapper = folder / "bin" / "python3"
    wrapper.parent.mkdir()
    wrapper.write_text(f"#!/bin/sh\n{script}\n")
    wrapper.chmod(0o755)
    with serve(folder / "server", f"{wrapper.parent}:/usr/bin:/bin") as endpoint, Connection("pi", endpoint) as board:
        return board.ask("facts")[0]["hostname"]


def test_a_client_that_hangs_up_ends_the_command_without_a_word(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    for _ in range(20):
        with socket.create_connection((endpoint.host, endpoint.port)) as wire, paramiko.Transport(wire) as client:
            client.connect(
                username=endpoint.user, pkey=paramiko.Ed25519Key.from_private_key_file(str(endpoint.key_file))
            )
            channel = client.open_session()
            channel.exec_command("exec yes")
            channel.recv(1 << 20)
            wire.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(EOFError):  # to give it room to go on, or not: this client has hung up
                while channel.recv(1 << 20):
                    pass
    assert not told


def test_the_expected_host_key_is_let_in(endpoint: Endpoint) -> None:
    with Connection("pi", endpoint) as board:
        assert board.ask("facts")[0]["hostname"] == socket.gethostname()


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_the_command_that_trusts_it(endpoint: Endpoint) -> None:
    with pytest.raises(HostKeyError) as refused:
        Connection("pi", replace(endpoint, host_key=None))
    assert fingerprint(endpoint.host_key or "") in str(refused.value)
    assert f"ssh -p {endpoint.port} {endpoint.user}@{endpoint.host} true" in str(refused.value)


def test_a_host_key_in_known_hosts_is_let_in(endpoint: Endpoint) -> None:
    trust(endpoint, endpoint.host_key)
    with Connection("pi", replace(endpoint, host_key=None)) as board:
        assert board.ask("facts")[0]["hostname"] == socket.gethostname()


@pytest.mark.parametrize("from_known_hosts", [False, True])
def test_a_changed_host_key_is_refused_with_both_fingerprints(
    endpoint: Endpoint, tmp_path: Path, from_known_hosts: bool
) -> None:
    other = ensure_key(tmp_path / "other")
    trust(endpoint, other)
    with pytest.raises(HostKeyError, match="CHANGED") as refused:
        Connection("pi", replace(endpoint, host_key=None if from_known_hosts else other))
    for key in (endpoint.host_key or "", other):
        assert fingerprint(key) in str(refused.value)
    assert f"ssh-keygen -R '[127.0.0.1]:{endpoint.port}'" in str(refused.value)


def test_a_key_that_the_board_does_not_know_is_told_apart_from_a_dead_board(endpoint: Endpoint, tmp_path: Path) -> None:
    ensure_key(tmp_path / "other")
    with pytest.raises(UnreachableError, match=rf"login as .* failed .*ssh-copy-id -i .*-p {endpoint.port}"):
        Connection("pi", replace(endpoint, key_file=tmp_path / "other"))


def test_a_key_file_that_is_not_there_is_named(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"pi: .*nowhere") as refused:
        Connection("pi", replace(endpoint, key_file=tmp_path / "nowhere"))
    assert "nothing answers" not in str(refused.value)


def test_a_board_that_is_off_is_named_with_host_and_port(endpoint: Endpoint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match=f"pi: nothing answers at 127.0.0.1:{port}"):
        Connection("pi", replace(endpoint, port=port))


def test_a_server_that_accepts_and_never_speaks_is_given_up(endpoint: Endpoint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}"):
            Connection("pi", replace(endpoint, port=port, way=Way(seconds=0.5)))


def test_a_server_that_hangs_up_while_greeting_is_named(endpoint: Endpoint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}"):
            Connection("pi", replace(endpoint, port=port))
        thread.join()


def test_what_the_login_shell_prints_before_the_answer_is_ignored(tmp_path: Path) -> None:
    banner = "echo 'Welcome to the board!'; echo; echo 'TONEARM is a fine name'"
    assert ask_python(tmp_path, f'{banner}\nexec {REAL} "$@"') == socket.gethostname()


def test_an_old_python_is_told_by_its_version(tmp_path: Path) -> None:
    prelude = tmp_path / "old.py"
    prelude.write_text(
        "import sys\nsys.version_info = (3, 7, 3)\nsource, sys.argv = sys.argv[4], sys.argv[3::2]\nexec(source)\n"
    )
    with pytest.raises(AgentError, match=r"^pi: Python 3\.7 is too old: 3\.9 or newer is needed$"):
        ask_python(tmp_path, f'exec {REAL} {shlex.quote(str(prelude))} "$@"')


def test_a_board_without_python_says_how_to_install_it(tmp_path: Path) -> None:
    missing = pytest.raises(AgentError, match=r"^pi: python3 is not installed; install it .*apt install python3")
    with serve(tmp_path, "/nonexistent") as endpoint, Connection("pi", endpoint) as board, missing:
        board.ask("facts")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "ended with status 0: no output"),
        ("echo almost; echo 'no encodings' >&2; exit 3", "ended with status 3: almost / no encodings"),
        ("kill -KILL $$", "ended with status 137"),
        ("""printf 'TONEARM-1 {"files"'""", "cut short|it sent an invalid answer"),
        ("""printf 'TONEARM-1 {"files": [{"name": "a", "size": 9}]}\\n1234'""", "file 'a' that was not asked for"),
    ],
)
def test_a_python_that_dies_before_its_answer_is_whole_is_an_error(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(BoardError, match=said):
        ask_python(tmp_path, script)


def test_a_shell_that_is_killed_ends_with_the_status_shells_give(endpoint: Endpoint) -> None:
    kind, data = (endpoint.host_key or "").split()
    with paramiko.SSHClient() as client:
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(data))
        client.get_host_keys().add(f"[{endpoint.host}]:{endpoint.port}", kind, key)
        client.connect(endpoint.host, endpoint.port, endpoint.user, key_filename=str(endpoint.key_file))
        _, output, _ = client.exec_command("kill -KILL $$", timeout=10)
        assert output.channel.status_event.wait(10)
        assert output.channel.recv_exit_status() == 137


def test_an_agent_that_is_killed_ends_the_wait(tmp_path: Path) -> None:
    killed = "import os, signal, sys; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(BoardError, match="status 137"):
        ask_python(tmp_path, f'exec {REAL} -c "{killed}"')
