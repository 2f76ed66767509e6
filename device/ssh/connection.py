"""The one way we use an SSH connection: ask the agent, get an answer."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import paramiko

from ..agent.protocol import CHUNK
from ..descriptor import REAL
from ..errors import AgentError, UnreachableError
from ..text import shortened
from .client import BROKEN, open_client
from .endpoint import CONNECT_SECONDS, Endpoint
from .program import BOOTSTRAP, agent_source
from .reading import ChatterError, EndlessError, read_answer, read_files, refusal
from .sessions import Agent, NoCommandError

BUSY_SECONDS = 300  # for which a board may say that it works, unless a request says more
NO_FILES: Mapping[str, int] = {}
NO_COMMAND = "python3: command not found"  # a C shell's status is 1
LOST = "the board lost contact with this host and was given to another one; try again"
NO_SESSION = (
    "its SSH server opens no session. Tonearm needs one at a time: MaxSessions in the server's sshd_config "
    "(also in its Match blocks) must be at least 1; in Dropbear, the number of its channels"
)
LOGIN_SHELL = (
    "What the login shell (its start-up files) or a ForceCommand (sshd_config, or command= in authorized_keys) does "
    "there comes before Python: it must come to an end, print little and run the command"
)

Sent = Callable[[int, int], None]


@dataclass(frozen=True)
class Upload:
    """Bytes that go along with a request."""

    name: str
    content: bytes
    start: int = 0  # so many bytes of it are there already

    @functools.cached_property
    def entry(self) -> dict[str, Any]:
        """As the agent reads it."""
        return {
            "name": self.name,
            "size": len(self.content),
            "start": self.start,
            "sha256": hashlib.sha256(self.content).hexdigest(),
        }


class Connection:
    """An authenticated connection to a board whose host key is known; a context manager."""

    def __init__(self, name: str, endpoint: Endpoint, root: str = "~/.tonearm", silence: float = REAL.silence) -> None:
        """Connect to `endpoint`, which people call `name`; everything we do there stays below `root`.

        A board that says nothing for `silence` seconds, and takes nothing, counts as gone.
        """
        self.name, self.root, self.silence = name, root, silence
        self.bytes_sent = 0
        self.held: Agent | None = None
        """The agent that holds the board, and takes all requests while it does."""
        self._client = open_client(name, endpoint)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, which never fails; what other threads wait for here ends with `UnreachableError`."""
        self._client.close()

    def ask(
        self,
        command: str,
        uploads: Sequence[Upload] = (),
        on_sent: Sent = lambda sent, total: None,
        on_progress: Sent = lambda done, total: None,
        seconds: float = 0,
        most: Mapping[str, int] = NO_FILES,
        **arguments: Any,
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """One request to the agent: its answer and the files that came with it, by name.

        It goes through the agent that holds the board, if there is one, else in a session of its own.

        Args:
            command: one of the agent's.
            uploads: what goes along.
            on_sent: called with the bytes sent and their total.
            on_progress: called with what the board says is done, of how much.
            seconds: how long the work may take, and the board be silent beyond the usual.
            most: the files that may come, each with the bytes that it can have.
            arguments: of the command.

        Raises:
            AgentError: with what the board said, when it can't, or when what it says makes no sense.
            NoSpaceError: when its disk is full.
            UnreachableError: when the connection breaks, or the board is silent.
        """
        content = self._request(command, uploads, arguments)
        parts = itertools.chain([content], self._counted(_with_progress(uploads, on_sent)))
        with self._translated(), self._agent() as agent:
            _send(agent, parts)
            said = self._answer(agent, on_progress, seconds)
            return said, self._files(agent, said, most)

    def start(self, command: str, seconds: float = 0, **arguments: Any) -> tuple[dict[str, Any], Agent]:
        """As `ask`, in a session of its own whose agent may go on listening: what it answered, and the agent."""
        with self._translated(), _kept_if_it_works(self._begin()) as agent:
            _send(agent, [agent_source() + self._request(command, (), arguments)])
            return self._answer(agent, lambda done, total: None, seconds), agent

    def end(self, agent: Agent) -> None:
        """End an agent that `start` gave; `UnreachableError` when the connection has broken meanwhile."""
        with self._translated():
            agent.end()

    def _request(self, command: str, uploads: Sequence[Upload], arguments: dict[str, Any]) -> bytes:
        entries = [upload.entry for upload in uploads]
        return json.dumps({"command": command, "root": self.root, "files": entries, **arguments}).encode() + b"\n"

    def _counted(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            yield part
            self.bytes_sent += len(part)

    @contextlib.contextmanager
    def _agent(self) -> Iterator[Agent]:
        """What takes the next request."""
        if self.held:
            if self.held.is_over():
                raise EOFError("closed")
            with self.held.request():
                yield self.held
            return
        with _kept_if_it_works(self._begin()) as agent:
            _send(agent, [agent_source()])
            yield agent
            agent.end()

    def _begin(self) -> Agent:
        return Agent(self._transport(), self.silence, f"python3 -I -S -c '{BOOTSTRAP}' {len(agent_source())}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise UnreachableError(
                "the board stopped responding. Check its power and network, then try again", board=self.name
            ) from error
        except EndlessError as error:
            raise AgentError(str(error), "deadline", board=self.name) from error
        except ChatterError as error:
            raise AgentError(f"{error}. {LOGIN_SHELL}", "output", board=self.name) from error
        except NoCommandError as error:
            reason = f"its SSH server runs no command for this login. {LOGIN_SHELL}"
            raise AgentError(reason, "output", board=self.name) from error
        except paramiko.ChannelException as error:
            raise UnreachableError(f"{NO_SESSION} ({shortened(error.text)})", board=self.name) from error
        except BROKEN as error:
            lost = self.held is not None and self._is_connected() and self.held.has_left()
            reason = (
                LOST if lost else f"the connection broke ({shortened(self._fault() or error) or 'closed'}); try again"
            )
            raise UnreachableError(reason, board=self.name) from error

    def _fault(self) -> Exception | None:
        """What has ended the connection, where nobody has been told yet."""
        transport = self._client.get_transport()
        return transport.get_exception() if transport else None

    def _is_connected(self) -> bool:
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    def _transport(self) -> paramiko.Transport:
        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise EOFError("no longer connected")
        return transport

    def _answer(self, agent: Agent, on_progress: Sent, seconds: float) -> dict[str, Any]:
        """What the board answers, or why it does not."""
        reader = agent.reader
        reader.allow(self.silence + seconds, self.silence + (seconds or BUSY_SECONDS))
        try:
            said = read_answer(reader, on_progress, agent.number)
        except ValueError as error:
            raise AgentError(f"it sent an invalid answer: {error}", board=self.name) from error
        except TimeoutError as error:
            if not reader.said.size:
                raise
            raise AgentError(
                f"no answer came, only: {reader.said}. {LOGIN_SHELL}", "output", board=self.name
            ) from error
        if not isinstance(said, dict):
            raise self._ended(agent, said)
        if "error" in said:
            raise refusal(self.name, said)
        return said

    def _files(self, agent: Agent, said: dict[str, Any], most: Mapping[str, int]) -> dict[str, bytes]:
        try:
            return read_files(agent.reader, said, most)
        except (ValueError, TypeError, KeyError) as error:
            raise AgentError(f"it sent an invalid answer: {shortened(error)}", board=self.name) from error

    def _ended(self, agent: Agent, status: int | None) -> AgentError:
        """What is known of an agent that has ended without an answer; `EOFError` where that is nothing."""
        if status is not None:
            agent.has_ended()
        else:
            agent.channel.status_event.wait(CONNECT_SECONDS)
            status = agent.channel.exit_status
            if agent.number or (status == -1 and not agent.channel.eof_received):
                raise EOFError("closed before the answer")
        text = " / ".join(filter(None, map(str, (agent.reader.said, agent.reader.last_complaints()))))
        if status == 127 or NO_COMMAND in text.lower():
            return AgentError("python3 is not installed; install it (`sudo apt install python3`)", board=self.name)
        hint = "" if agent.number or "Error" in text else f". {LOGIN_SHELL}"
        return AgentError(f"Python ended with status {status}: {text or 'no output'}{hint}", board=self.name)


def _send(agent: Agent, parts: Iterable[bytes]) -> None:
    """The input of a request; a board that refuses reads no more of it, and its answer says why."""
    try:
        for part in parts:
            if agent.reader.is_answered():
                break
            agent.send(part)
    except OSError:
        if not agent.channel.closed:
            raise


@contextlib.contextmanager
def _kept_if_it_works(agent: Agent) -> Iterator[Agent]:
    """The agent, ended when the block raises."""
    try:
        yield agent
    except (*BROKEN, EndlessError, ChatterError):
        agent.drop()
        raise
    except BaseException:
        with contextlib.suppress(*BROKEN):
            agent.end()
        raise


def _with_progress(uploads: Sequence[Upload], on_sent: Sent) -> Iterator[bytes]:
    """The uploads in chunks, telling how much has gone."""
    total, sent = sum(len(upload.content) - upload.start for upload in uploads), 0
    for upload in uploads:
        for start in range(upload.start, len(upload.content), CHUNK):
            chunk = upload.content[start : start + CHUNK]
            yield chunk
            sent += len(chunk)
            on_sent(sent, total)
