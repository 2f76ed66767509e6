"""The one way we use an SSH connection: ask the agent, get an answer."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import paramiko

from ..agent.protocol import ANSWER, CHUNK, PARTS, PROGRESS
from ..descriptor import REAL
from ..errors import AgentError, NoSpaceError, UnreachableError
from .client import BROKEN, open_client
from .endpoint import CONNECT_SECONDS, Endpoint

DEAD_PEER_SECONDS = 60
MAXIMUM_HEADER = 1 << 22
MAXIMUM_FILE = 1 << 30

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
        self._client = open_client(name, endpoint)
        try:
            with self._translated():
                _notice_a_dead_peer(self._transport())
        except UnreachableError:
            self.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, which never fails; what other threads wait for here ends with `UnreachableError`."""
        self._client.close()

    def end(self, channel: paramiko.Channel) -> None:
        """Close a channel that `start` gave; `UnreachableError` when the connection has broken meanwhile."""
        with self._translated():
            channel.close()

    def ask(
        self,
        command: str,
        uploads: Sequence[Upload] = (),
        on_sent: Sent = lambda sent, total: None,
        on_progress: Sent = lambda done, total: None,
        seconds: float = 0,
        **arguments: Any,
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """One request to the agent: its answer and the files that came with it, by name.

        Args:
            command: one of the agent's.
            uploads: what goes along.
            on_sent: called with the bytes sent and their total.
            on_progress: called with what the board says is done, of how much.
            seconds: how long the board may be silent, beyond the usual.
            arguments: of the command.

        Raises:
            AgentError: with what the board said, when it can't.
            NoSpaceError: when its disk is full.
            UnreachableError: when the connection breaks, or the board is silent.
        """
        answer, files, channel = self.start(command, uploads, on_sent, on_progress, seconds, **arguments)
        self.end(channel)
        return answer, files

    def start(
        self,
        command: str,
        uploads: Sequence[Upload] = (),
        on_sent: Sent = lambda sent, total: None,
        on_progress: Sent = lambda done, total: None,
        seconds: float = 0,
        **arguments: Any,
    ) -> tuple[dict[str, Any], dict[str, bytes], paramiko.Channel]:
        """As `ask`, and the channel to an agent that may go on listening."""
        entries = [upload.entry for upload in uploads]
        request = {"command": command, "root": self.root, "files": entries, **arguments}
        with self._translated(), _kept_if_it_works(self._transport().open_session(timeout=self.silence)) as channel:
            self._run_agent(channel)
            channel.settimeout(self.silence + seconds)
            self._send(channel, json.dumps(request).encode() + b"\n", _with_progress(uploads, on_sent))
            answer, files = self._answer(channel, on_progress)
        return answer, files, channel

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise UnreachableError(
                "the board stopped responding. Check its power and network, then try again", board=self.name
            ) from error
        except BROKEN as error:
            raise UnreachableError(f"the connection broke ({error or 'closed'}); try again", board=self.name) from error

    def _transport(self) -> paramiko.Transport:
        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise EOFError("no longer connected")
        return transport

    def _run_agent(self, channel: paramiko.Channel) -> None:
        """Start Python at the other end, which waits for the agent's source."""
        channel.settimeout(self.silence)
        late = threading.Timer(self.silence, _drop, [channel])  # paramiko would wait for an answer without a bound
        late.start()
        try:
            channel.exec_command(f"python3 -I -S -c '{BOOTSTRAP}' {len(agent_source())}")
        finally:
            late.cancel()

    def _send(self, channel: paramiko.Channel, request: bytes, parts: Iterator[bytes]) -> None:
        """The agent, the request, the uploads; a board that refuses stops reading, and its answer says why."""
        try:
            channel.sendall(agent_source() + request)
            for part in parts:
                channel.sendall(part)
                self.bytes_sent += len(part)
        except OSError:
            if not channel.closed:
                raise

    def _answer(self, channel: paramiko.Channel, on_progress: Sent) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Read up to the answer's line (a login shell may print a banner before it), then its files."""
        reader = channel.makefile("rb", CHUNK)
        said = b""
        while not (line := reader.readline(MAXIMUM_HEADER)).startswith(ANSWER.encode()):
            if not line:
                raise self._silence(channel, said)
            if line.startswith(PROGRESS.encode()):
                _tell(line[len(PROGRESS) :], on_progress)
                continue
            said = (said + line)[-CHUNK:]
        try:
            header = json.loads(line[len(ANSWER) :])
            if "error" in header:
                raise self._refusal(header)
            sizes = {str(file["name"]): _size(file["size"]) for file in header["files"]}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AgentError(f"it sent an invalid answer: {line[:80]!r}", board=self.name) from error
        files = {name: reader.read(size) for name, size in sizes.items()}
        if any(len(files[name]) != size for name, size in sizes.items()):
            raise EOFError("the answer was cut short")
        return header, files

    def _refusal(self, header: dict[str, Any]) -> AgentError:
        reason = str(header["error"])
        if header.get("kind") == "space":
            reason += "; free some space there (`df -h`) and try again"
            return NoSpaceError(reason, kind="space", board=self.name)
        return AgentError(reason, kind=str(header.get("kind", "")), board=self.name)

    def _silence(self, channel: paramiko.Channel, said: bytes) -> AgentError:
        channel.status_event.wait(CONNECT_SECONDS)
        status = channel.exit_status
        if status == -1 and not channel.eof_received:
            raise EOFError("closed before the answer")
        error = channel.makefile_stderr("rb").read(CHUNK)
        text = b" / ".join(part.strip() for part in (said, error) if part.strip()).decode(errors="replace")
        if status == 127:
            return AgentError("python3 is not installed; install it (`sudo apt install python3`)", board=self.name)
        return AgentError(f"Python ended with status {status}: {text or 'no output'}", board=self.name)


def _drop(channel: paramiko.Channel) -> None:
    """Close a channel on the way out of an error, which is what counts: the connection may be broken already."""
    with contextlib.suppress(*BROKEN):
        channel.close()


@contextlib.contextmanager
def _kept_if_it_works(channel: paramiko.Channel) -> Iterator[paramiko.Channel]:
    """The channel, dropped when the block raises."""
    try:
        yield channel
    except BaseException:
        _drop(channel)
        raise


@functools.cache
def agent_source() -> bytes:
    """A program that runs the agent: its modules by name, the last one being what is run, and what loads them."""
    folder = resources.files("tonearm.device.agent")
    names = [*PARTS, "main"]
    sources = json.dumps({name: folder.joinpath(f"{name}.py").read_text() for name in names})
    packed = base64.b85encode(zlib.compress(sources.encode(), 9)).decode()
    return f"packed = {packed!r}\n{_START}".encode()


# A login shell reads this, sh as well as fish or csh: one line, no backslash, no quote, no '!', no '$'.
# Its argument: how long the program is that comes on standard input.
BOOTSTRAP = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"

# Runs on any Python 3, so that an old one is told apart from a broken one.
_START = f"""
import sys
if sys.version_info < (3, 9):
    print('{ANSWER}{{"error": "Python %d.%d is too old: 3.9 or newer is needed", "kind": "python"}}'
          % sys.version_info[:2])
else:
    import base64, json, types, zlib
    for name, source in json.loads(zlib.decompress(base64.b85decode(packed))).items():
        module = sys.modules["agent." + name] = types.ModuleType("agent." + name)
        module.__package__ = "agent"
        exec(compile(source, name, "exec"), vars(module))
    module.main()
"""


def _notice_a_dead_peer(transport: paramiko.Transport) -> None:
    """Let the kernel find out by itself that nobody is there any more: nothing that a measurement would feel."""
    if not isinstance(transport.sock, socket.socket) or transport.sock.family == socket.AF_UNIX:
        return  # a jump host or a ProxyCommand has the cable
    transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER_SECONDS // 4)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_PEER_SECONDS // 4)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_SECONDS * 1000)


def _size(told: object) -> int:
    """Of a file that a board sends, if it can be one."""
    if type(told) is not int or not 0 <= told <= MAXIMUM_FILE:
        raise ValueError(f"a file of {told!r} bytes")
    return told


def _tell(line: bytes, on_progress: Sent) -> None:
    """Pass on a line `done total`; anything else is somebody's chatter."""
    words = line.split()
    if len(words) == 2 and all(word.isdigit() and len(word) < 10 for word in words):
        on_progress(int(words[0]), int(words[1]))


def _with_progress(uploads: Sequence[Upload], on_sent: Sent) -> Iterator[bytes]:
    """The uploads in chunks, telling how much has gone."""
    total, sent = sum(len(upload.content) - upload.start for upload in uploads), 0
    for upload in uploads:
        for start in range(upload.start, len(upload.content), CHUNK):
            chunk = upload.content[start : start + CHUNK]
            yield chunk
            sent += len(chunk)
            on_sent(sent, total)
