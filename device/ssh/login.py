"""Being let in: keys, the agent's and those in files, then what the person types.

The order: keys that were named (from the agent where it holds them), the agent's others, ~/.ssh/id_*, keys that need a
passphrase, and at last a password, if the server takes one; each with its certificates first. A server may want several
of these one after the other. What is typed is kept in memory for as long as the command runs, so that connecting again
asks nothing again, and never stored; an answer that no longer counts, such as a code for one time, is asked for anew.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
from paramiko.auth_strategy import AuthStrategy, SourceResult

from ..prompts import answers, ask
from ..text import shortened
from .endpoint import Endpoint
from .identities import Agent, certificates, identity, is_locked, load_key, public_half, with_certificates

TRIES = 3
PERSON_SECONDS = 300  # for somebody to look for a code and type it
_STEPS = 8  # that a server may ask for one after the other
_QUESTIONS = 40  # of a server in one login; a message without any counts as one
_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")
_TYPED = ("password", "keyboard-interactive")


class LockedError(paramiko.AuthenticationException):
    """Nothing else let us in, and there is nobody to ask for a passphrase or a password."""


class EndlessQuestionsError(paramiko.AuthenticationException):
    """The server asks more than anybody answers."""


class Login(AuthStrategy):
    """How we prove to one server who we are; paramiko's client calls `authenticate`."""

    def __init__(self, endpoint: Endpoint, before: tuple[Endpoint, ...] = ()) -> None:
        """For the server that `endpoint` means, where the jump hosts `before` have led to."""
        super().__init__(paramiko.SSHConfig())
        self.endpoint, self.way = endpoint, endpoint.route
        self.server = (*before, endpoint)  # an address alone may be one behind each of two jump hosts
        self.built_in = endpoint.host_key is not None
        self.tried: list[str] = []
        self.shown: set[bytes] = set()
        self.locked: list[str] = []
        self.asked: set[str] = set()
        self.questions = 0

    def authenticate(self, transport: paramiko.Transport) -> list[SourceResult]:
        """Return, nothing in particular, once the server has let us in.

        Raises:
            paramiko.AuthenticationException: when it does not; with what was tried.
        """
        wanted = self._introduce(transport)
        for _ in range(_STEPS):
            if not wanted:
                return []
            still = self._step(transport, wanted)
            if still is None:
                break
            wanted = still
        raise paramiko.AuthenticationException(f"it accepts {shortened(' or '.join(wanted))}; {self._said()}")

    def _step(self, transport: paramiko.Transport, wanted: list[str]) -> list[str] | None:
        """What the server still wants after one of the ways that it names; None where none of them does."""
        still = self._show_keys(transport) if "publickey" in wanted else None
        if still is None and not self.built_in and set(wanted) & set(_TYPED):
            still = self._type(transport, wanted)
        return still

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

    def _show_keys(self, transport: paramiko.Transport) -> list[str] | None:
        """Try one key after the other, none twice: what the server still wants once it takes one, else None."""
        with contextlib.closing(Agent("none" if self.built_in else self.way.agent)) as agent:
            for label, key in self._keys(agent):
                if identity(key) in self.shown:
                    continue
                self.shown.add(identity(key))
                self.tried.append(label)
                still = self._attempt(transport, lambda key=key: transport.auth_publickey(self.endpoint.user, key))
                if still is not None:
                    return still
        return None

    def _keys(self, agent: Agent) -> Iterator[tuple[str, paramiko.PKey]]:
        """All keys in their order, each with what to call it; a passphrase is asked for only when nothing else fits."""
        held = agent.keys_by_blob()
        named = [*([self.endpoint.key_file] if self.endpoint.key_file else []), *(self.way.identities or ())]
        is_usual = self.way.identities is None and not self.endpoint.key_file and not self.built_in
        usual = [Path("~/.ssh", name).expanduser() for name in _USUAL] if is_usual else []
        found = certificates(self.way.certificates, [*named, *usual])
        for path in named:
            key = held.pop(public_half(path), None) or load_key(path)
            if key:
                yield from with_certificates(str(path), key, found)
        theirs = {blob for path in usual if (blob := public_half(path))}
        theirs |= {blob.key_blob for pairs in found.values() for _, blob in pairs}
        for blob, key in held.items():
            if not self.way.identities_only or blob in theirs:
                label = f"the agent's {key.comment or key.name}"
                yield from [(label, key)] if key.public_blob else with_certificates(label, key, found)
        for path in usual:
            if key := load_key(path):
                yield from with_certificates(str(path), key, found)
        for path in filter(is_locked, [*named, *usual]):
            if str(path) not in self.tried and public_half(path) not in self.shown:
                for key in self._unlock(path):
                    yield from with_certificates(str(path), key, found)

    def _unlock(self, path: Path) -> Iterator[paramiko.PKey]:
        """The key in that file, if the person knows its passphrase; an empty answer passes it over."""
        if str(path) not in self.locked:
            self.locked.append(str(path))
        for attempt in range(0 if self.built_in else TRIES):
            passphrase = _typed(path, f"Passphrase of {path} (Enter to skip this key): ", True, attempt > 0)
            if not passphrase:
                return
            key = load_key(path, passphrase)
            if key:
                self.locked.remove(str(path))
                yield key
                return

    def _type(self, transport: paramiko.Transport, wanted: list[str]) -> list[str] | None:
        """Ask for a password as often as is usual: what the server still wants once it takes one, else None."""
        typed = self._password if "password" in wanted else self._interactive
        for attempt in range(TRIES):
            still = self._attempt(transport, lambda again=attempt > 0: typed(transport, again))
            if still is not None:
                return still
        return None

    def _password(self, transport: paramiko.Transport, again: bool) -> list[str]:
        password = self._ask(f"Password of {self.endpoint.user}@{self.endpoint.host}: ", True, again)
        return transport.auth_password(self.endpoint.user, password, fallback=False)

    def _interactive(self, transport: paramiko.Transport, again: bool) -> list[str]:
        """Answer the server's own questions, here: paramiko wants the answers in a thread that Ctrl-C can't reach."""
        questions: queue.Queue[list[tuple[str, bool]] | None] = queue.Queue()
        replies: queue.Queue[list[str]] = queue.Queue()

        def hand_over(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            questions.put(_introduced([title, instructions], prompts))
            return replies.get()

        where, usual = f"{self.endpoint.user}@{self.endpoint.host}", transport.auth_timeout
        transport.auth_timeout = PERSON_SECONDS
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(transport.auth_interactive, self.endpoint.user, hand_over)
            result.add_done_callback(lambda _: questions.put(None))
            try:
                while (prompts := questions.get()) is not None:
                    self._count(len(prompts))
                    replies.put([self._ask(f"{where}: {text}", not echo, again) for text, echo in prompts])
            except BaseException:
                with contextlib.suppress(OSError):
                    transport.close()
                replies.put([])
                raise
            finally:
                transport.auth_timeout = usual
            return result.result()

    def _count(self, questions: int) -> None:
        self.questions += max(1, questions)
        if self.questions > _QUESTIONS:
            raise EndlessQuestionsError(f"it asked more than {_QUESTIONS} questions, without an end")

    def _ask(self, question: str, secret: bool, again: bool) -> str:
        """The answer to a question; one that comes twice in a login was not answered well, so the person is asked."""
        answer = _typed(self.server, question, secret, again or question in self.asked)
        self.asked.add(question)
        if answer is None:
            raise LockedError(f"it asks for a password, and there is no terminal to type it on; {self._said()}")
        return answer

    def _attempt(self, transport: paramiko.Transport, way: Callable[[], list[str]]) -> list[str] | None:
        """What the server still wants after one attempt, nothing once it lets us in; None when it refused."""
        try:
            return way()
        except (LockedError, EndlessQuestionsError, paramiko.BadAuthenticationType):
            raise
        except paramiko.AuthenticationException as error:
            if transport.is_active():
                return None
            raise paramiko.AuthenticationException(f"it closed the connection{self._after()}") from error

    def _after(self) -> str:
        """After what a server hung up, and what to do about it where it was given too many keys."""
        if len(self.tried) < 2:
            return f"; {self._said()}"
        return (
            f" after several keys; {self._said()}. Name the one key to use: "
            "`key` in boards.toml, or IdentityFile with IdentitiesOnly yes in ~/.ssh/config"
        )


def _introduced(texts: list[str], prompts: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """The questions, the first of them after what the server says about them all."""
    said = [text.strip() for text in texts if text.strip()]
    if not said or not prompts:
        return prompts
    return [("\n".join([*said, prompts[0][0]]), prompts[0][1]), *prompts[1:]]


def _typed(about: object, question: str, secret: bool, again: bool) -> str | None:
    """The person's answer, which counts once more when the same is asked about the same thing, unless `again`."""
    known = answers()
    if again or (about, question) not in known:
        answer = ask(question, secret)
        if answer is None:
            return None
        known[about, question] = answer
    return known[about, question]
