"""Small SSH servers that let in whoever answers as they want, and a person who answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL
from paramiko.server import InteractiveQuery
from tonearm.device.prompts import answering
from tonearm.device.ssh.client import open_client
from tonearm.device.ssh.endpoint import Endpoint, Way
from tonearm.device.ssh.keys import ensure_key

PHRASE = "correct horse \N{SNOWMAN}"


class Door(paramiko.ServerInterface):
    """Lets in whoever knows the secret in one of the ways it offers; or, with `both`, has a key besides."""

    def __init__(self, ways: str, key: str = "", both: bool = False) -> None:
        self.ways, self.key, self.both, self.tries = ways, key, both, 0

    def get_allowed_auths(self, username: str) -> str:
        return self.ways

    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL if self.ways == "none" else AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fits = f"{key.get_name()} {key.get_base64()}" == self.key
        if fits and self.both:
            self.ways = "password"
            return AUTH_PARTIALLY_SUCCESSFUL
        return AUTH_SUCCESSFUL if fits else AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self.tries += 1
        return AUTH_SUCCESSFUL if password == PHRASE else AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
        return InteractiveQuery("", "", ("Word\x1b[2J: ", False), ("Colour: ", True))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return AUTH_SUCCESSFUL if responses == [PHRASE, "red"] else AUTH_FAILED


@contextlib.contextmanager
def server(folder: Path, *doors: Door, kind: type[paramiko.Transport] = paramiko.Transport) -> Iterator[Endpoint]:
    """A real SSH server that opens one door for each connection, for a person without any key."""
    host_key = ensure_key(folder / "host_key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=answer, args=(listener, folder / "host_key", doors, kind), daemon=True)
        thread.start()
        known = Path("~/.ssh/known_hosts").expanduser()
        known.parent.mkdir(exist_ok=True)
        known.write_text(f"[127.0.0.1]:{port} {host_key}\n")
        yield Endpoint("127.0.0.1", port, "kim", None, None, Way(agent="none"))


def answer(listener: socket.socket, host_key: Path, doors: Sequence[Door], kind: type[paramiko.Transport]) -> None:
    for door in doors:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            client, _ = listener.accept()
            transport = kind(client)
            transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(host_key)))
            transport.start_server(threading.Event(), door)
            transport.join()


class Person:
    """Gives these answers one after the other, and remembers what was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, bool]]()

    def __call__(self, question: str, secret: bool) -> str | None:
        self.asked.append((question, secret))
        return self.answers.pop(0)


def enter(endpoint: Endpoint, *answers: str) -> Person:
    person = Person(*answers)
    with answering(person):
        open_client("pi", endpoint).close()
    return person
