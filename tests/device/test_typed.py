"""What a person types counts again for the server that it was typed for, and for no other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from doors import PHRASE, Door, Person, server
from openssh import openssh
from paramiko.common import AUTH_SUCCESSFUL
from paramiko.server import InteractiveQuery
from tonearm.device.errors import UnreachableError
from tonearm.device.prompts import answering
from tonearm.device.ssh.client import open_client
from tonearm.device.ssh.endpoint import Endpoint, Way

RELAY = """
import os, socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def back():
    while piece := there.recv(65536):
        os.write(1, piece)
    os._exit(0)
threading.Thread(target=back).start()
while piece := os.read(0, 65536):
    there.sendall(piece)
os._exit(0)
"""


def through(folder: Path, port: int, about: str) -> Way:
    """A ProxyCommand to a server here, which differs from others in a word."""
    (folder / "relay.py").write_text(RELAY)
    return Way(agent="none", command=f"{sys.executable} {folder}/relay.py {port} {about}")


OTHER_WAYS: dict[str, Callable[[Path, int, str], Way]] = {
    "a ProxyCommand": through,
    "an alias": lambda folder, port, name: Way(agent="none", alias=name),
    "known hosts": lambda folder, port, name: Way(agent="none", known_hosts=(folder / name,)),
}


@pytest.mark.parametrize("way", OTHER_WAYS.values(), ids=OTHER_WAYS.keys())
def test_a_password_is_for_one_way_to_an_address_alone(tmp_path: Path, way: Callable[[Path, int, str], Way]) -> None:
    with server(tmp_path, *[Door("password")] * 4) as there, answering(Person(PHRASE, PHRASE)) as _:
        known = Path("~/.ssh/known_hosts").expanduser()
        key = known.read_text().split(" ", 1)[1]
        known.write_text(f"{known.read_text()}one,two {key}")
        for number, name in enumerate(("one", "one", "two", "two")):
            (tmp_path / name).write_text(known.read_text())
            open_client(f"board {number}", replace(there, way=way(tmp_path, there.port, name))).close()


def test_each_way_is_asked_about_once(tmp_path: Path) -> None:
    person = Person("for one", "for two")
    with server(tmp_path, *[Taker()] * 3) as there, answering(person):
        for about in ("one", "two", "one"):
            open_client("pi", replace(there, way=through(tmp_path, there.port, about))).close()
    assert Taker.given == ["for one", "for two", "for one"]


class Taker(Door):
    """Takes any password, and keeps them."""

    given: list[str] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__("password")

    def check_auth_password(self, username: str, password: str) -> int:
        self.given.append(password)
        return AUTH_SUCCESSFUL


def test_a_password_of_a_jump_host_is_for_the_one_behind_the_same_others(tmp_path: Path) -> None:
    person = Person("for one", "for two")
    taker = [Taker() for _ in range(3)]
    Taker.given.clear()
    with (
        openssh(tmp_path / "one") as one,
        openssh(tmp_path / "two") as two,
        server(tmp_path, *taker) as inner,
        answering(person),
    ):
        for first in (one, two, one):
            way = Way(agent="none", hops=(first, inner))
            with pytest.raises(UnreachableError, match="the jump host does not reach"):
                open_client("pi", Endpoint("192.0.2.1", 22, "kim", None, None, way))
    assert Taker.given == ["for one", "for two", "for one"]


class Asking(Door):
    """Puts rounds of these questions without an end, or until it was answered as it wants."""

    def __init__(self, *questions: str, wanted: str = "") -> None:
        super().__init__("keyboard-interactive")
        self.questions, self.wanted, self.given = questions, wanted, list[list[str]]()

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
        return InteractiveQuery("", "", *self.questions)

    def check_auth_interactive_response(self, responses: list[str]) -> InteractiveQuery | int:  # pyright: ignore
        self.given.append(responses)
        done = self.wanted and responses == [self.wanted]
        return AUTH_SUCCESSFUL if done else self.check_auth_interactive("", "")


@pytest.mark.parametrize("questions", [(), ("Password: ",), ("Password: ", "Code: "), ("Word: ",) * 500])
def test_a_server_that_asks_without_an_end_is_left(tmp_path: Path, questions: tuple[str, ...]) -> None:
    door, asked = Asking(*questions), []

    def person(question: str, secret: bool) -> str:
        asked.append(question)
        return "x"

    wanted = pytest.raises(UnreachableError, match=r"failed \(it asked more than 40 questions, without an end\)")
    with server(tmp_path, door) as there, answering(person), wanted:
        open_client("pi", there)
    assert len(asked) <= 40 and len(door.given) <= 40


def test_what_was_typed_answers_a_question_once_in_a_login(tmp_path: Path) -> None:
    first, second = Asking("Password: ", wanted="old"), Asking("Password: ", wanted="new")
    person = Person("old", "new")
    with server(tmp_path, first, second, second) as there, answering(person):
        for _ in range(3):
            open_client("pi", there).close()
    assert second.given == [["old"], ["new"], ["new"]]
    assert len(person.asked) == 2
