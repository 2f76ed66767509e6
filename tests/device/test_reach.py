"""The way to a board as ssh goes it: jump hosts, agents, host keys, shells, all with real OpenSSH servers."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from openssh import openssh
from tonearm.device.boards import board, endpoint_of, find_endpoint
from tonearm.device.errors import BoardError, HostKeyError, UnreachableError
from tonearm.device.ssh.connection import Connection
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.ssh.keys import ensure_key

SHELL = """#!/bin/sh
echo 'Welcome to the board!'
case "$SSH_ORIGINAL_COMMAND" in
*[!]*|*'\\'*|*'$'*|*'`'*|*'
'*) echo 'Unmatched.' >&2; exit 1 ;;
esac
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A board."""
    with openssh(tmp_path_factory.mktemp("there")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def hop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A jump host with another key and another user's key."""
    with openssh(tmp_path_factory.mktemp("hop")) as endpoint:
        yield endpoint


def ssh_file(name: str, text: str) -> Path:
    path = Path("~/.ssh", name).expanduser()
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def known(*endpoints: Endpoint) -> None:
    ssh_file("known_hosts", "".join(f"[{e.host}]:{e.port} {e.host_key}\n" for e in endpoints))


def block(name: str, endpoint: Endpoint, *lines: str) -> str:
    said = [f"HostName {endpoint.host}", f"Port {endpoint.port}", f'IdentityFile "{endpoint.key_file}"', *lines]
    return "\n  ".join([f"Host {name}", *said]) + "\n"


def reached(name: str) -> bool:
    with board(name) as connection:
        return connection.ask("facts")[0]["hostname"] == socket.gethostname()


def test_a_board_is_reached_through_a_jump_host_each_with_its_own_key(there: Endpoint, hop: Endpoint) -> None:
    ssh_file("config", block("lab", hop) + block("pi", there, "ProxyJump lab"))
    known(there, hop)
    assert reached("pi")


def test_boards_toml_names_a_jump_host_too(there: Endpoint, hop: Endpoint) -> None:
    ssh_file("config", block("lab", hop) + block("inner", there))
    known(there, hop)
    endpoint = endpoint_of({"host": "inner", "jump": "lab"})
    with Connection("pi", endpoint) as connection:
        assert connection.ask("facts")[0]["hostname"] == socket.gethostname()


def cable_of(client: Any) -> socket.socket:
    """The socket to the first server on the way."""
    return client.get_transport().sock if client.before is None else cable_of(client.before)


@pytest.mark.parametrize("jumps", [(), ("ProxyJump lab",), ("ProxyJump lab,lab",)])
def test_a_way_finds_out_by_itself_that_its_cable_is_pulled(
    there: Endpoint, hop: Endpoint, jumps: tuple[str, ...]
) -> None:
    ssh_file("config", block("lab", hop) + block("pi", there, *jumps))
    known(there, hop)
    with board("pi") as connection:
        sock = cable_of(connection._client)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_two_hops_are_gone_in_order(there: Endpoint, hop: Endpoint) -> None:
    ssh_file("config", block("a", hop) + block("b", there) + block("pi", there, "ProxyJump a,b"))
    known(there, hop)
    way = find_endpoint("pi").way
    assert way and [hop.port for hop in way.hops] == [hop.port, there.port]
    assert reached("pi")


@pytest.mark.parametrize("unknown", ["hop", "there"])
def test_every_host_key_on_the_way_is_checked(there: Endpoint, hop: Endpoint, unknown: str) -> None:
    ssh_file("config", block("lab", hop) + block("pi", there, "ProxyJump lab"))
    known(*([there] if unknown == "hop" else [hop]))
    port = hop.port if unknown == "hop" else there.port
    with pytest.raises(HostKeyError, match=rf"\[127.0.0.1\]:{port} is not known .*tonearm board trust pi"):
        reached("pi")


def test_a_board_that_is_off_behind_a_jump_host_is_told_apart_from_the_hop(there: Endpoint, hop: Endpoint) -> None:
    ssh_file("config", block("lab", hop) + "Host pi\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump lab\n")
    known(hop)
    with pytest.raises(UnreachableError, match=r"the jump host does not reach 127.0.0.1:1"):
        reached("pi")


def test_jump_hosts_in_a_circle_are_an_error() -> None:
    ssh_file("config", "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(BoardError, match=r"form a loop"):
        find_endpoint("a")


def test_a_proxy_command_carries_the_connection(there: Endpoint) -> None:
    relay = "import socket,sys,threading,os; s=socket.create_connection(sys.argv[1:]); " + (
        "pump=lambda r,w: [w(b) for b in iter(r,b'')]; "
        "threading.Thread(target=pump,args=(lambda: s.recv(65536),lambda b: os.write(1,b)),daemon=True).start(); "
        "pump(lambda: os.read(0,65536), s.sendall)"
    )
    script = ssh_file("relay.py", relay)
    known(there)
    ssh_file("config", block("pi", there, f"ProxyCommand python3 {script} %h %p 2>/dev/null"))
    assert reached("pi")


def test_what_a_proxy_command_complains_of_is_said(there: Endpoint) -> None:
    ssh_file("config", block("pi", there, "ProxyCommand sh -c 'echo no such gate >&2; exit 1'"))
    with pytest.raises(UnreachableError, match=r"ProxyCommand does not reach .*no such gate"):
        reached("pi")


def test_a_port_of_boards_toml_reaches_the_proxy_command(there: Endpoint) -> None:
    ssh_file("config", "Host pi\n  ProxyCommand nc %h %p %r\n")
    way = endpoint_of({"host": "pi", "port": 2222, "user": "kim"}).way
    assert way and way.command == "nc pi 2222 kim"


@pytest.fixture
def agent(there: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An ssh-agent of our own, which alone holds the key that the board lets in."""
    sock = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            added = subprocess.run(
                ["ssh-add", "-q", str(there.key_file)], env={**os.environ, "SSH_AUTH_SOCK": str(sock)}, check=False
            )
            if added.returncode == 0:
                break
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield sock
    finally:
        process.terminate()
        process.wait()


def test_the_agent_has_the_key(there: Endpoint, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(there)
    ssh_file("config", f"Host pi\n  HostName {there.host}\n  Port {there.port}\n")
    with pytest.raises(UnreachableError, match=r"login as .* failed .*no key to try"):
        reached("pi")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    assert reached("pi")


def test_identities_only_shows_the_agents_key_for_a_public_key_alone(there: Endpoint, agent: Path) -> None:
    known(there)
    lines = f"Host pi\n  HostName {there.host}\n  Port {there.port}\n  IdentityAgent {agent}\n  IdentitiesOnly yes\n"
    ssh_file("config", lines)
    with pytest.raises(UnreachableError, match=r"login as .* failed"):
        reached("pi")
    public = ssh_file("pi.pub", f"{ensure_key(there.key_file or Path())} a comment\n")
    ssh_file("config", f"{lines}  IdentityFile {public}\n")
    assert reached("pi")


def test_all_keys_of_the_configuration_are_tried_in_order(there: Endpoint, tmp_path: Path) -> None:
    known(there)
    ensure_key(tmp_path / "wrong")
    files = f"  IdentityFile {tmp_path}/nowhere\n  IdentityFile {tmp_path}/wrong\n  IdentityFile {there.key_file}\n"
    ssh_file("config", f"Host pi\n  HostName {there.host}\n  Port {there.port}\n{files}")
    assert reached("pi")


def test_a_server_that_bears_few_tries_is_told_with_what_to_do(tmp_path: Path) -> None:
    names = [tmp_path / str(number) for number in range(4)]
    for name in names:
        ensure_key(name)
    with openssh(tmp_path / "server", "MaxAuthTries 2") as there:
        known(there)
        files = "".join(f"  IdentityFile {name}\n" for name in names)
        ssh_file("config", f"Host pi\n  HostName {there.host}\n  Port {there.port}\n{files}")
        with pytest.raises(
            UnreachableError, match=r"closed the connection after several keys.*Name the one key to use"
        ):
            reached("pi")


def rsa_line(path: Path) -> str:
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(path))
    return f"{key.get_name()} {key.get_base64()}"


def test_a_known_key_of_a_kind_that_the_server_would_not_choose_first_is_asked_for(tmp_path: Path) -> None:
    rsa = rsa_line(tmp_path / "rsa")
    with openssh(tmp_path / "server", f'HostKey "{tmp_path}/rsa"') as there:
        name = f"[{there.host}]:{there.port}"
        ssh_file("config", block("pi", there))
        ssh_file("known_hosts", f"{name} {rsa}\n")
        assert reached("pi")
        ssh_file("known_hosts", f"{name} {rsa_line(tmp_path / 'other')}\n")
        with pytest.raises(HostKeyError, match=r"CHANGED"):
            reached("pi")
        ssh_file("known_hosts", f"@revoked * {rsa}\n{name} {rsa}\n")
        with pytest.raises(HostKeyError, match=r"REVOKED"):
            reached("pi")
        ssh_file("known_hosts", f"@revoked * {there.host_key}\n{name} {rsa}\n")
        assert reached("pi")


def test_a_host_key_is_looked_up_under_its_alias_in_the_files_that_the_configuration_names(there: Endpoint) -> None:
    file = ssh_file("my hosts", f"stage {there.host_key}\n")
    ssh_file("config", block("pi", there, "HostKeyAlias stage", f'UserKnownHostsFile /nowhere "{file}"'))
    assert reached("pi")


def test_the_agents_command_line_means_the_same_in_every_shell(tmp_path: Path) -> None:
    shell = tmp_path / "shell"
    shell.write_text(SHELL)
    shell.chmod(0o755)
    with openssh(tmp_path / "server", f"ForceCommand {shell}") as there, Connection("pi", there) as connection:
        assert connection.ask("facts")[0]["hostname"] == socket.gethostname()


def test_a_server_that_is_not_ssh_is_told_apart_from_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        ssh_file("config", f"Host pi\n  HostName 127.0.0.1\n  Port {port}\n  ConnectTimeout 1\n")
        with pytest.raises(UnreachableError, match=rf"127.0.0.1:{port} answers, but not as an SSH server"):
            find_endpoint("pi")
            reached("pi")


def test_a_name_that_nobody_knows_is_told_apart_from_a_board_that_is_off() -> None:
    ssh_file("config", "Host pi\n  HostName board.invalid\n")
    with pytest.raises(UnreachableError, match=r"board.invalid:22 \(.*is its name spelt right"):
        reached("pi")
