"""Servers that break the rules of SSH in the middle of a connection: one line says so, and nothing goes on."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import paramiko
import pytest
from doors import Door, server
from openssh import openssh
from paramiko.common import (
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_DISCONNECT,
    MSG_GLOBAL_REQUEST,
    MSG_USERAUTH_FAILURE,
    OPEN_SUCCEEDED,
)
from paramiko.message import Message
from tonearm.device.errors import UnreachableError
from tonearm.device.ssh.connection import Connection
from tonearm.device.ssh.keys import ensure_key

ANSWER = b'TONEARM-1 {"hostname": "after", "files": []}\n'
REASON = "Aufl\N{LATIN SMALL LETTER O WITH DIAERESIS}sung".encode("latin-1")


class Session(Door):
    """Lets everybody in, and would run anything."""

    def __init__(self, ways: str = "none") -> None:
        super().__init__(ways)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return True


def message(kind: int, *parts: int | bytes | bool) -> Message:
    """A message of these fields."""
    made = Message()
    made.add_byte(bytes([kind]))
    for part in parts:
        add = made.add_boolean if isinstance(part, bool) else made.add_int if isinstance(part, int) else made.add_string
        add(part)  # type: ignore[arg-type]
    return made


def saying(said: Message, instead: int) -> type[paramiko.Transport]:
    """A server that says something else instead of messages of one kind."""

    class Saying(paramiko.Transport):
        def _send_message(self, data: Message) -> None:
            wrong = data.asbytes()[:1] == bytes([instead])
            super()._send_message(said if wrong else data)  # type: ignore[misc]

    return Saying


class ShortSignature(paramiko.Transport):
    """A server whose signatures lack a byte."""

    def add_server_key(self, key: Any) -> None:
        sign = key.sign_ssh_data

        def cut(data: bytes, algorithm: str | None = None) -> Message:
            whole = Message(sign(data, algorithm).asbytes())
            short = Message()
            short.add_string(whole.get_string())
            short.add_string(whole.get_string()[:-1])
            return short

        key.sign_ssh_data = cut
        super().add_server_key(key)


BEFORE = {
    "a short signature": ShortSignature,
    "what it accepts, not as text": saying(message(MSG_USERAUTH_FAILURE, REASON, False), MSG_USERAUTH_FAILURE),
}
AFTER = {
    "a refusal, not as text": saying(message(MSG_CHANNEL_OPEN_FAILURE, 0, 1, REASON, b"de"), MSG_CHANNEL_OPEN_SUCCESS),
    "a request, not as text": saying(message(MSG_CHANNEL_REQUEST, 0, REASON, False), MSG_CHANNEL_SUCCESS),
    "a good-bye, not as text": saying(message(MSG_DISCONNECT, 2, REASON, b"de"), MSG_CHANNEL_SUCCESS),
    "a wish, not as text": saying(message(MSG_GLOBAL_REQUEST, REASON, True), MSG_CHANNEL_SUCCESS),
}


@pytest.mark.parametrize("kind", BEFORE.values(), ids=BEFORE.keys())
def test_nonsense_before_one_is_in_is_told_in_one_line(tmp_path: Path, kind: type[paramiko.Transport]) -> None:
    wanted = pytest.raises(UnreachableError, match=r"not as an SSH server \(it sent an invalid packet: ")
    with server(tmp_path, Session("password"), kind=kind) as there, wanted as refused:
        Connection("pi", there)
    assert len(str(refused.value)) < 500 and str(refused.value).isprintable()


@pytest.mark.parametrize("kind", AFTER.values(), ids=AFTER.keys())
def test_nonsense_once_one_is_in_is_told_in_one_line(tmp_path: Path, kind: type[paramiko.Transport]) -> None:
    wanted = pytest.raises(UnreachableError, match=r"the connection broke \(it sent an invalid packet: Unicode")
    with server(tmp_path, Session(), kind=kind) as there, wanted as refused, Connection("pi", there) as connection:
        connection.ask("facts")
    assert len(str(refused.value)) < 500 and str(refused.value).isprintable()


class Renewing(Session):
    """Exchanges keys once more before it answers, with that host key."""

    def __init__(self, host_key: Path) -> None:
        super().__init__()
        self.host_key = host_key

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self.renew, args=(channel,), daemon=True).start()
        return True

    def renew(self, channel: paramiko.Channel) -> None:
        channel.recv(1)  # the command has begun
        transport: Any = channel.get_transport()
        transport.server_key_dict.clear()
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(self.host_key)))
        with contextlib.suppress(EOFError, OSError):  # of one who hangs up
            transport.renegotiate_keys()
            channel.sendall(ANSWER)
            channel.send_exit_status(0)
            channel.close()


def test_a_host_key_that_changes_in_the_middle_ends_the_connection(tmp_path: Path) -> None:
    ensure_key(tmp_path / "other")
    wanted = pytest.raises(UnreachableError, match=r"the connection broke \(it shows another host key than before")
    with server(tmp_path, Renewing(tmp_path / "other")) as there, wanted, Connection("pi", there) as connection:
        connection.ask("facts")


def test_keys_may_be_exchanged_anew_with_the_same_host_key(tmp_path: Path) -> None:
    with server(tmp_path, Renewing(tmp_path / "host_key")) as there, Connection("pi", there) as connection:
        assert connection.ask("facts")[0]["hostname"] == "after"
    with openssh(tmp_path / "real", "RekeyLimit 16K") as there, Connection("pi", there) as connection:
        for _ in range(3):
            connection.ask("facts")
