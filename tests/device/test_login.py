"""Being let in: keys with and without a passphrase, passwords, questions of the server; asked, and never kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)
from doors import PHRASE, Door, Person, enter, server
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL
from paramiko.server import InteractiveQuery
from terminals import on_terminal
from tonearm.device.boardsfile import boards_file
from tonearm.device.errors import UnreachableError
from tonearm.device.prompts import answering, ask
from tonearm.device.ssh import client
from tonearm.device.ssh.client import open_client
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.ssh.keys import ensure_key


class Steps(Door):
    """Wants one way after the other; its questions come in two rounds, of which the second is for a code."""

    def __init__(self, *steps: str, key: str = "", code: str = "123456") -> None:
        super().__init__(steps[0], key)
        self.steps, self.code, self.round = list(steps), code, 0

    def passed(self) -> int:
        self.steps.pop(0)
        self.ways = self.steps[0] if self.steps else ""
        return AUTH_PARTIALLY_SUCCESSFUL if self.steps else AUTH_SUCCESSFUL

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fits = super().check_auth_publickey(username, key) == AUTH_SUCCESSFUL and self.ways == "publickey"
        return self.passed() if fits else AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        return self.passed() if super().check_auth_password(username, password) == AUTH_SUCCESSFUL else AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
        self.round = 1
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> InteractiveQuery | int:  # pyright: ignore
        self.round += 1
        if self.round == 2:
            self.first = responses
            return InteractiveQuery("Two factors", "Look at your device.\n", ("Code: ", True), ("Word: ", False))
        if self.round == 3:
            self.second = responses
            return InteractiveQuery("", "Thank you.")  # no question at all, as PAM does it
        return self.passed() if (self.first, self.second) == ([PHRASE], [self.code, PHRASE]) else AUTH_FAILED


def locked_key(path: Path) -> str:
    """A private key with the secret as its passphrase; its public half as a line."""
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(PHRASE.encode())))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_a_password_is_asked_for_until_it_is_right(tmp_path: Path) -> None:
    with server(tmp_path, Door("publickey,password")) as there:
        person = enter(there, "wrong", PHRASE)
    assert person.asked == [("Password of kim@127.0.0.1: ", True)] * 2


def test_a_password_is_asked_for_three_times_at_most_and_is_in_no_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with server(tmp_path, Door("password")) as there, pytest.raises(UnreachableError, match="ssh-copy-id") as refused:
        enter(there, "wr0ng-a", "wr0ng-b", "wr0ng-c")
    assert "failed (it accepts password" in str(refused.value)
    chain = [refused.value, refused.value.__cause__, refused.value.__context__]
    assert "wr0ng" not in "".join(map(repr, chain)) + caplog.text


def test_where_nobody_can_be_asked_the_error_says_what_to_do(tmp_path: Path) -> None:
    door = Door("publickey,password")
    wanted = pytest.raises(UnreachableError, match=r"no terminal to type it on.*ssh-copy-id -p")
    with server(tmp_path, door) as there, wanted:
        open_client("pi", there)
    assert door.tries == 0


def test_a_server_that_takes_keys_alone_is_given_no_password(tmp_path: Path) -> None:
    with server(tmp_path, Door("publickey")) as there, pytest.raises(UnreachableError, match="it accepts publickey"):
        enter(there)


def test_the_servers_own_questions_are_put_as_it_wants_but_cannot_move_the_cursor(tmp_path: Path) -> None:
    with server(tmp_path, Door("keyboard-interactive")) as there:
        person = enter(there, PHRASE, "blue", PHRASE, "red")
    assert person.asked[:2] == [("kim@127.0.0.1: Word?[2J: ", True), ("kim@127.0.0.1: Colour: ", False)]


def test_a_server_that_wants_nothing_is_entered_without_a_question(tmp_path: Path) -> None:
    with server(tmp_path, Door("none")) as there:
        assert enter(there).asked == []


def test_a_key_and_a_password_are_given_where_both_are_wanted(tmp_path: Path) -> None:
    key = ensure_key(Path("~/.ssh/id_ed25519").expanduser())
    with server(tmp_path, Door("publickey", key, both=True)) as there:
        assert len(enter(there, PHRASE).asked) == 1


KIM = "kim@127.0.0.1: "
ROUNDS = [
    (f"{KIM}Password: ", True),
    (f"{KIM}Two factors\nLook at your device.\nCode: ", False),
    (f"{KIM}Word: ", True),
]


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        (("keyboard-interactive",), ROUNDS),
        (("publickey", "keyboard-interactive"), ROUNDS),
        (("keyboard-interactive", "publickey"), ROUNDS),
        (("publickey", "password"), [("Password of kim@127.0.0.1: ", True)]),
        (("password", "keyboard-interactive"), [("Password of kim@127.0.0.1: ", True), *ROUNDS]),
        (("password", "publickey"), [("Password of kim@127.0.0.1: ", True)]),
    ],
)
def test_several_factors_are_given_one_after_the_other(
    tmp_path: Path, steps: Sequence[str], asked: list[tuple[str, bool]]
) -> None:
    key = ensure_key(Path("~/.ssh/id_ed25519").expanduser())
    answers = [PHRASE if secret else "123456" for _, secret in asked]
    with server(tmp_path, Steps(*steps, key=key)) as there:
        assert enter(there, *answers).asked == asked


def test_a_factor_that_nobody_has_ends_the_login_with_what_is_wanted(tmp_path: Path) -> None:
    with (
        server(tmp_path, Steps("password", "publickey")) as there,
        pytest.raises(UnreachableError, match="it accepts publickey; there was no key to try"),
    ):
        enter(there, PHRASE)


def test_connecting_again_asks_nothing_again_but_for_what_counts_once(tmp_path: Path) -> None:
    person = Person(PHRASE, "123456", PHRASE, PHRASE, "654321", PHRASE)
    doors = [Steps("keyboard-interactive"), Steps("keyboard-interactive"), Steps("keyboard-interactive", code="654321")]
    with server(tmp_path, *doors) as there, answering(person):
        for number in (3, 3, 6):
            open_client("pi", there).close()
            assert len(person.asked) == number
    with server(tmp_path, Door("password")) as there, answering(Person("x", "y", PHRASE)) as _:
        open_client("pi", there).close()  # another command knows nothing of it


def test_a_passphrase_is_typed_once_for_several_connections(tmp_path: Path) -> None:
    path = Path("~/.ssh/id_ed25519").expanduser()
    door, person = Door("publickey", locked_key(path)), Person("wrong", PHRASE)
    with server(tmp_path, door, door) as there, answering(person):
        for _ in range(2):
            open_client("pi", there).close()
    assert len(person.asked) == 2


def test_a_person_may_take_longer_to_type_than_a_board_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.5)

    def slow(question: str, secret: bool) -> str:
        time.sleep(0.7)
        return PHRASE if secret else "123456"

    with server(tmp_path, Steps("keyboard-interactive")) as there, answering(slow):
        open_client("pi", there).close()


def test_a_passphrase_is_asked_for_until_it_opens_the_key(tmp_path: Path) -> None:
    path = Path("~/.ssh/id_ed25519").expanduser()
    with server(tmp_path, Door("publickey", locked_key(path))) as there:
        person = enter(there, "wrong", PHRASE)
    assert person.asked == [(f"Passphrase of {path} (Enter to skip this key): ", True)] * 2


def test_a_key_without_a_passphrase_is_tried_before_one_that_has_one(tmp_path: Path) -> None:
    locked_key(Path("~/.ssh/id_ed25519").expanduser())
    other = paramiko.ECDSAKey.generate()
    other.write_private_key_file(str(Path("~/.ssh/id_ecdsa").expanduser()))
    with server(tmp_path, Door("publickey", f"{other.get_name()} {other.get_base64()}")) as there:
        assert enter(there).asked == []


def test_a_key_whose_passphrase_nobody_can_be_asked_for_is_named(tmp_path: Path) -> None:
    path = Path("~/.ssh/id_ed25519").expanduser()
    named = pytest.raises(UnreachableError, match=rf"{path} needs its passphrase \(ssh-add {path}\)")
    with server(tmp_path, Door("publickey", locked_key(path))) as there, named:
        open_client("pi", there)


def test_questions_go_to_the_last_person_and_then_to_nobody() -> None:
    with answering(Person("a")), answering(Person("b")):
        assert ask("?") == "b"
    assert ask("?") is None


def add_board(there: Endpoint) -> None:
    boards_file().parent.mkdir(parents=True, exist_ok=True)
    boards_file().write_text(f'[pi]\nhost = "{there.host}"\nport = {there.port}\nuser = "{there.user}"\n')


def test_on_a_terminal_a_password_is_typed_unseen_and_the_bar_stands_still(tmp_path: Path) -> None:
    with server(tmp_path, Door("password")) as there:
        add_board(there)
        status, shown = on_terminal("board", "info", "pi", answers=(("Password of kim@127.0.0.1: ", PHRASE),))
    assert PHRASE not in shown
    assert "Password of kim@127.0.0.1: \n" in shown, "something was drawn over the question"
    assert status == 1 and "login as" not in shown  # it is no board: it has no shell
