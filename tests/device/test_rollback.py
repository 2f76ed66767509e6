"""The way back: releases that were current, old ones that go, damaged ones that are not gone back to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tonearm.device.errors import AgentError
from tonearm.device.loopback import serve
from tonearm.device.releases import KEEP, Release, releases, rollback, switch
from tonearm.device.runtimes.provision import push_tree
from tonearm.device.ssh.connection import Connection


@pytest.fixture
def board(tmp_path: Path) -> Iterator[tuple[Connection, Path]]:
    """A board of its own, and where things lie there."""
    with serve(tmp_path / "board") as endpoint, Connection("pi", endpoint) as connection:
        yield connection, tmp_path / "board" / "home" / ".tonearm"


def push(connection: Connection, number: int, name: str = "flute") -> Release:
    """A release of one file, as a deploy pushes it."""
    content = f"sound {number}".encode()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    manifest = json.dumps({"files": {"weights.bin": entry}}).encode()
    path = f"releases/{name}/{hashlib.sha256(manifest).hexdigest()[:16]}"
    push_tree(connection, path, {"manifest.json": manifest, "weights.bin": content}, lambda *_: None)
    return Release(path, 1)


def make_current(connection: Connection, number: int, name: str = "flute") -> str:
    release = push(connection, number, name)
    switch(connection, release)
    return release.path


def objects(root: Path) -> set[bytes]:
    return {path.read_bytes() for path in (root / "objects").iterdir()}


def test_going_back_leads_from_release_to_release_to_the_first(board: tuple[Connection, Path]) -> None:
    connection, root = board
    first, second, third = (make_current(connection, number) for number in range(3))
    assert releases(connection)["previous"] == second
    assert [rollback(connection), str((root / "current").readlink())] == [second, second]
    assert rollback(connection) == first
    with pytest.raises(AgentError, match="no earlier release to go back to; name one of the others: flute/"):
        rollback(connection)
    assert str((root / "current").readlink()) == first
    assert {entry["path"] for entry in releases(connection)["releases"]} == {first, second, third}


def test_a_release_that_is_made_current_twice_is_gone_back_from_once(board: tuple[Connection, Path]) -> None:
    connection, _ = board
    first = make_current(connection, 1)
    make_current(connection, 2)
    make_current(connection, 2)
    assert rollback(connection) == first


def test_one_can_go_to_any_release_by_name_or_digest(board: tuple[Connection, Path]) -> None:
    connection, _ = board
    names = enumerate(("flute", "trumpet", "violin"))
    flute, trumpet, violin = (make_current(connection, number, name) for number, name in names)
    assert rollback(connection, "trumpet") == trumpet
    assert rollback(connection, violin.rpartition("/")[2][:6]) == violin
    assert rollback(connection, flute.partition("/")[2]) == flute
    with pytest.raises(AgentError, match=r"'piano' matches no release; releases to choose from: .*trumpet/"):
        rollback(connection, "piano")
    make_current(connection, 9, "flute")
    with pytest.raises(AgentError, match="'flute' matches 2 releases"):
        rollback(connection, "flute")


@pytest.mark.parametrize("file", ["manifest.json", "weights.bin"])
def test_a_damaged_release_is_not_gone_back_to(board: tuple[Connection, Path], file: str) -> None:
    connection, root = board
    first, second = make_current(connection, 1), make_current(connection, 2)
    damaged = root / first / file
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    with pytest.raises(AgentError, match=f"{first} is damaged: deploy it again; {second} stays current"):
        rollback(connection)
    assert str((root / "current").readlink()) == second


def test_a_switch_that_was_cut_off_after_it_was_written_down_did_not_happen(board: tuple[Connection, Path]) -> None:
    connection, root = board
    first, second = make_current(connection, 1), make_current(connection, 2)
    cut = push(connection, 3)
    (root / "history").write_text(f"{first}\n{second}\n{cut.path}\n")
    assert rollback(connection) == first


def test_the_oldest_releases_go_with_what_only_they_needed(board: tuple[Connection, Path]) -> None:
    connection, root = board
    made = [make_current(connection, number) for number in range(KEEP + 3)]
    there = {entry["path"] for entry in releases(connection)["releases"]}
    assert there == set(made[-KEEP:])
    assert b"sound 0" not in objects(root)
    assert f"sound {KEEP + 2}".encode() in objects(root)
    assert rollback(connection) == made[-2]


def test_the_current_release_and_the_one_before_stay_however_long_they_were_not_used(
    board: tuple[Connection, Path],
) -> None:
    connection, _ = board
    first, second = make_current(connection, 1), make_current(connection, 2)
    others = [push(connection, number, "others").path for number in range(3, 3 + KEEP + 2)]
    said, _ = connection.ask("prune", keep=1, needed=[])
    assert set(said["pruned"]) == set(others[:-1])
    assert {entry["path"] for entry in releases(connection)["releases"]} == {first, second, others[-1]}


def test_what_was_never_finished_goes_with_the_next_switch(board: tuple[Connection, Path]) -> None:
    connection, root = board
    make_current(connection, 1)
    (root / "objects" / ("0" * 64 + ".part")).write_bytes(b"half")
    (root / "releases" / "flute" / "0123.abc.part").mkdir()
    make_current(connection, 2)
    assert list(root.rglob("*.part")) == []


def test_runtimes_and_runners_in_use_stay_and_old_ones_go_and_what_is_not_ours_stays(
    board: tuple[Connection, Path],
) -> None:
    connection, root = board
    for number in range(5):
        (root / "runtimes" / f"{number:016x}").mkdir(parents=True)
        (root / "runners" / f"{number:016x}").mkdir(parents=True)
    (root / "runtimes" / "venv3").mkdir()
    needed = (f"runtimes/{0:016x}", f"runners/{1:016x}")
    switch(connection, push(connection, 1), needed)
    assert all((root / path).is_dir() for path in (*needed, "runtimes/venv3"))
    assert len(list((root / "runtimes").iterdir())) <= 4


def test_a_history_that_could_not_be_written_loses_nothing(board: tuple[Connection, Path]) -> None:
    connection, root = board
    first, second = make_current(connection, 1), make_current(connection, 2)
    (root / "history").write_text(f"{first}\n")
    assert releases(connection)["previous"] == first
    assert rollback(connection) == first
    assert rollback(connection, second.rpartition("/")[2]) == second


@pytest.mark.parametrize("answer", [{}, {"current": "", "previous": "", "releases": [{"path": 1}]}])
def test_a_board_that_talks_nonsense_is_not_believed(board: tuple[Connection, Path], answer: dict) -> None:
    _connection, root = board
    python = root.parents[1] / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho 'TONEARM-1 {json.dumps({**answer, 'files': []})}'\n")
    python.chmod(0o755)
    liar = serve(root.parents[1], f"{python.parent}:/usr/bin:/bin")
    with (
        liar as endpoint,
        Connection("pi", endpoint) as other,
        pytest.raises(AgentError, match="it sent an invalid list of releases"),
    ):
        releases(other)
