"""Boards that faults are tried on: behind a real OpenSSH server, an old release current, a new one to deploy."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Event
from pathlib import Path

from openssh import openssh
from tonearm.bench.deploy import deploy_over
from tonearm.device.errors import DeviceError
from tonearm.device.releases import release_path
from tonearm.device.ssh.connection import Connection
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.runtime.bundle import Bundle, Provenance, read_bundle
from tonearm.runtime.progress import unwatched

MODELS = ("hpn-reduced-flute", "hpn-reduced-flute+cd")


def bundles(folder: Path) -> tuple[Bundle, Bundle]:
    """An old and a new one, of the same size and with other weights."""
    from tonearm.export.write import export_bundle
    from tonearm.models.catalogue import load

    old, new = (
        export_bundle(load(name), "flute", folder / name, (64,), weights=Provenance(name)).bundle for name in MODELS
    )
    return old, new


@dataclass(frozen=True)
class Board:
    """A board with a release on it, and another one to deploy there."""

    endpoint: Endpoint
    folder: Path
    old: Bundle
    new: Bundle
    home: Path
    lengths: dict[bool, int] = field(default_factory=dict)
    """What a deploy carries over the cable, once known, by whether the release has been proven."""

    @property
    def root(self) -> Path:
        """Where things lie on the board."""
        return self.home / ".tonearm"


def deploy(board: Board, bundle: Bundle, port: int = 0, silence: float = 30, deadline: float = 60) -> None:
    """What `tonearm deploy` does, over a cable if its port is given."""
    with Connection("board", replace(board.endpoint, port=port or board.endpoint.port), silence=silence) as connection:
        deploy_over(connection, bundle, unwatched, deadline)


def deploy_and_tell(started: Event, board: Board) -> None:
    """In a process of its own, which should not need torch to begin."""
    started.set()
    deploy(board, board.new)


def check(board: Board) -> None:
    """`current` is the old or the new release, whole; then deploy the new one, and it is current."""
    current = read_bundle(board.root / "current")
    current.check_files()
    assert current.digest in (board.old.digest, board.new.digest)
    deploy(board, board.new)
    assert str((board.root / "current").readlink()) == release_path(board.new)
    read_bundle(board.root / "current").check_files()


def reset(board: Board, proven: bool) -> None:
    """As before the new release came; its proof is kept if asked for, which saves a second."""
    (board.root / "current").unlink()
    (board.root / "current").symlink_to(release_path(board.old))
    (board.root / "history").write_text(release_path(board.old) + "\n")
    release = board.root / release_path(board.new)
    shutil.rmtree(release, ignore_errors=True)
    for proof in release.parent.glob(f"{release.name}.*.json") if not proven else ():
        proof.unlink()
    for path in (board.root / "objects").iterdir():
        if path.suffix == ".part" or path.stat().st_nlink == 1:
            path.unlink()


def fails(board: Board, said: str = "", **how: float) -> None:
    """A deploy that must not succeed, and say why; a traceback is no way to say it."""
    try:
        deploy(board, board.new, **how)  # type: ignore[arg-type]
    except DeviceError as error:
        assert said in str(error), str(error)
    else:
        raise AssertionError(f"a deploy succeeded that should say {said!r}")


@contextlib.contextmanager
def prepared(
    folder: Path, bundles: tuple[Bundle, Bundle], home: str = "home", inside: Sequence[str] = ()
) -> Iterator[Board]:
    """A board behind OpenSSH on which the old release is current."""
    with openssh(folder, home=home, inside=inside) as endpoint:
        board = Board(endpoint, folder, *bundles, folder / home)
        deploy(board, board.old)
        yield board


def processes(board: Board, words: str) -> list[int]:
    """Those of the board whose command line has `words`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            at_home = f"HOME={board.home}\0".encode() in (folder / "environ").read_bytes()
            if at_home and words.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@contextlib.contextmanager
def signalled(board: Board, words: str, number: signal.Signals, after: float = 0) -> Iterator[None]:
    """A process of the board gets a signal as soon as it is there, or a little later."""
    over = threading.Event()

    def strike() -> None:
        while not over.wait(0.005):
            if found := processes(board, words):
                over.wait(after)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found[0], number)
                return

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def mount(*arguments: str) -> None:
    """As root, of this machine."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """Something mounted on a folder for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(*arguments, str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextlib.contextmanager
def plain(folder: Path, bundles: tuple[Bundle, Bundle]) -> Iterator[Board]:
    """A board like any other."""
    with prepared(folder, bundles) as board:
        yield board


@contextlib.contextmanager
def odd_path(folder: Path, bundles: tuple[Bundle, Bundle]) -> Iterator[Board]:
    """A home with spaces, quotes and more in its path."""
    with prepared(folder, bundles, """it's "my" $HOME; board""") as board:
        yield board


@contextlib.contextmanager
def own_disk(folder: Path, bundles: tuple[Bundle, Bundle]) -> Iterator[Board]:
    """A home that is a disk of its own."""
    disk = mounted(folder / "home", "-t", "tmpfs", "-o", "size=400m", "none")
    with disk, prepared(folder, bundles) as board:
        yield board


@contextlib.contextmanager
def noexec(folder: Path, bundles: tuple[Bundle, Bundle]) -> Iterator[Board]:
    """Nothing may be executed in /tmp, as the board sees it; only its home may."""
    script = f"""mount --make-rprivate / && mkdir -p '{folder}' && mount --bind '{folder}' /mnt &&
        mount --bind /tmp /tmp && mount -o remount,noexec,bind /tmp && mount --bind /mnt '{folder}' &&
        exec "$0" "$@" """
    with prepared(folder, bundles, inside=("unshare", "--mount", "sh", "-c", script)) as board:
        yield board
