"""Being let in: keys, the agent's and those in files, then what the person types, never stored.

The order: keys that were named (from the agent where it holds them), the agent's others, ~/.ssh/id_*, keys that need a
passphrase, and at last a password, if the server takes one.
"""

from __future__ import annotations

import base64
import contextlib
import os
import queue
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentKey, AgentSSH
from paramiko.auth_strategy import AuthStrategy, SourceResult
from paramiko.pkey import UnknownKeyType

from ..prompts import ask
from .endpoint import Endpoint, Way

TRIES = 3
_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")
_BAD_KEY = (ValueError, TypeError, OSError, UnsupportedAlgorithm, paramiko.SSHException, UnknownKeyType)


class LockedError(paramiko.AuthenticationException):
    """Nothing else let us in, and there is nobody to ask for a passphrase or a password."""


class Login(AuthStrategy):
    """How we prove to one server who we are; paramiko's client calls `authenticate`."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(paramiko.SSHConfig())
        self.endpoint, self.way = endpoint, endpoint.way or Way()
        self.built_in = endpoint.host_key is not None
        self.tried: list[str] = []
        self.locked: list[str] = []

    def authenticate(self, transport: paramiko.Transport) -> list[SourceResult]:
        """Return, nothing in particular, once the server has let us in.

        Raises:
            paramiko.AuthenticationException: when it does not; with what was tried.
        """
        wanted = self._introduce(transport)
        if "publickey" in wanted:
            wanted = self._show_keys(transport, wanted)
        if wanted and not self.built_in:
            wanted = self._type(transport, wanted)
        if wanted:
            raise paramiko.AuthenticationException(f"it accepts {' or '.join(wanted)}; {self._said()}")
        return []

    def _said(self) -> str:
        tried = f"tried {', '.join(self.tried)}" if self.tried else "there was no key to try"
        needing = [f"{path} needs its passphrase (ssh-add {path})" for path in self.locked]
        return "; ".join([tried, *needing])

    def _introduce(self, transport: paramiko.Transport) -> list[str]:
        """What the server takes; nothing when the name alone was enough."""
        try:
            transport.auth_none(self.endpoint.user)
        except paramiko.BadAuthenticationType as error:
            return list(error.allowed_types)
        return []

    def _show_keys(self, transport: paramiko.Transport, wanted: list[str]) -> list[str]:
        """Try one key after the other: what the server still wants."""
        with contextlib.closing(_Agent("none" if self.built_in else self.way.agent)) as agent:
            for label, key in self._keys(agent):
                self.tried.append(label)
                still = self._attempt(transport, lambda key=key: transport.auth_publickey(self.endpoint.user, key))
                if still is not None:
                    return still
        return wanted

    def _keys(self, agent: _Agent) -> Iterator[tuple[str, paramiko.PKey]]:
        """All keys in their order, each with what to call it; a passphrase is asked for only when nothing else fits."""
        held = agent.keys_by_blob()
        named = [*([self.endpoint.key_file] if self.endpoint.key_file else []), *(self.way.identities or ())]
        for path in named:
            key = held.pop(_public(path), None) or _load(path)
            if key:
                yield str(path), key
        if not self.way.identities_only:
            yield from ((f"the agent's {key.comment or key.name}", key) for key in held.values())
        usual = [] if named or self.built_in else [Path("~/.ssh", name).expanduser() for name in _USUAL]
        yield from ((str(path), key) for path in usual if (key := _load(path)))
        for path in filter(_is_locked, [*named, *usual]):
            if str(path) not in self.tried:
                yield from self._unlock(path)

    def _unlock(self, path: Path) -> Iterator[tuple[str, paramiko.PKey]]:
        """The key in that file, if the person knows its passphrase; an empty answer passes it over."""
        self.locked.append(str(path))
        for _ in range(0 if self.built_in else TRIES):
            passphrase = ask(f"Passphrase of {path} (Enter to skip this key): ", True)
            if not passphrase:
                return
            key = _load(path, passphrase)
            if key:
                self.locked.remove(str(path))
                yield str(path), key
                return

    def _type(self, transport: paramiko.Transport, wanted: list[str]) -> list[str]:
        """Ask for a password as often as is usual: what the server still wants."""
        if not set(wanted) & {"password", "keyboard-interactive"}:
            return wanted
        typed = self._password if "password" in wanted else self._interactive
        for _ in range(TRIES):
            still = self._attempt(transport, lambda: typed(transport))
            if still is not None:
                return still
        return wanted

    def _password(self, transport: paramiko.Transport) -> list[str]:
        password = self._ask(f"Password of {self.endpoint.user}@{self.endpoint.host}: ", secret=True)
        return transport.auth_password(self.endpoint.user, password, fallback=False)

    def _interactive(self, transport: paramiko.Transport) -> list[str]:
        """Answer the server's own questions, here: paramiko wants the answers in a thread that Ctrl-C can't reach."""
        questions: queue.Queue[list[tuple[str, bool]] | None] = queue.Queue()
        answers: queue.Queue[list[str]] = queue.Queue()

        def hand_over(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            questions.put(prompts)
            return answers.get()

        where = f"{self.endpoint.user}@{self.endpoint.host}"
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(transport.auth_interactive, self.endpoint.user, hand_over)
            result.add_done_callback(lambda _: questions.put(None))
            try:
                while (prompts := questions.get()) is not None:
                    answers.put([self._ask(f"{where}: {text}", secret=not echo) for text, echo in prompts])
            except BaseException:
                with contextlib.suppress(OSError):
                    transport.close()
                answers.put([])
                raise
            return result.result()

    def _ask(self, question: str, secret: bool) -> str:
        answer = ask(question, secret)
        if answer is None:
            raise LockedError(f"it asks for a password, and there is no terminal to type it on; {self._said()}")
        return answer

    def _attempt(self, transport: paramiko.Transport, way: Callable[[], list[str]]) -> list[str] | None:
        """What the server still wants after one attempt, nothing once it lets us in; None when it refused."""
        try:
            return way()
        except (LockedError, paramiko.BadAuthenticationType):
            raise
        except paramiko.AuthenticationException as error:
            if transport.is_active():
                return None
            raise paramiko.AuthenticationException(
                f"it closed the connection after several keys; {self._said()}. Name the one key to use: "
                "`key` in boards.toml, or IdentityFile with IdentitiesOnly yes in ~/.ssh/config"
            ) from error


def _load(path: Path, passphrase: str | None = None) -> paramiko.PKey | None:
    """The private key in that file with its certificate, if there is one that this passphrase opens."""
    try:
        return paramiko.PKey.from_path(path, passphrase.encode() if passphrase else None)  # type: ignore[arg-type]
    except _BAD_KEY:
        return None


def _is_locked(path: Path) -> bool:
    """Whether the file is a private key that needs a passphrase."""
    try:
        paramiko.PKey.from_path(path)
    except TypeError:  # so says cryptography
        return True
    except _BAD_KEY:
        pass
    return False


def _public(path: Path) -> bytes:
    """The public half of a key, from the file beside it (or that file itself); nothing when there is none."""
    beside = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    try:
        return base64.b64decode(beside.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return b""


class _Agent(AgentSSH):
    """The keys of the agent that listens on a socket; none when it does not."""

    def __init__(self, name: str) -> None:
        super().__init__()
        path = os.environ.get(name, "") if name == Way.agent else name
        if path in ("", "none"):
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
            self._connect(connection)  # pyright: ignore[reportAttributeAccessIssue]
        except (OSError, paramiko.SSHException):
            connection.close()

    def keys_by_blob(self) -> dict[bytes, AgentKey]:
        """Its keys by their public half; those of kinds that paramiko can't use left out."""
        return {key.blob: key for key in self.get_keys() if key.inner_key}  # pyright: ignore[reportAttributeAccessIssue]

    def close(self) -> None:
        """Hang up."""
        self._close()  # pyright: ignore[reportAttributeAccessIssue]
