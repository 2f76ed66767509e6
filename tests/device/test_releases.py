"""Releases on a real board: pushed once, proven there, made current only then."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tonearm.bench.deploy import deploy
from tonearm.device.errors import AgentError
from tonearm.device.loopback import loopback_folder, serve
from tonearm.device.proof import judged, keep_proof, proof_path
from tonearm.device.releases import install, prove, release_path, switch
from tonearm.device.runtimes.provision import Site, prepare, push_objects
from tonearm.device.ssh.connection import Connection, Upload
from tonearm.runtime.bundle import MANIFEST, Bundle, read_bundle, sha256
from tonearm.runtime.clip import read_arrays, write_arrays
from tonearm.runtime.errors import BundleError
from tonearm.runtime.progress import unwatched


@dataclass(frozen=True)
class Board:
    """The loopback board with its runtime; `first` and `second` are the bytes that two preparations sent."""

    connection: Connection
    site: Site
    root: Path
    first: int
    second: int


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """The runtime is unpacked once for all tests here, on the board that `deploy` calls loopback."""
    state = tmp_path_factory.mktemp("state")
    folder = state / "tonearm" / "boards" / "loopback"
    with serve(folder) as endpoint, Connection("loopback", endpoint) as connection:
        site = prepare(connection)
        first = connection.bytes_sent
        prepare(connection)
        yield Board(connection, site, Path(site.facts["root"]), first, connection.bytes_sent - first)


@pytest.fixture
def board(prepared: Board, own_folders: None, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The prepared board without releases."""
    monkeypatch.setenv("XDG_STATE_HOME", str(prepared.root.parents[4]))
    for name in ("releases", "objects"):
        shutil.rmtree(prepared.root / name, ignore_errors=True)
    for name in ("current", "history"):
        (prepared.root / name).unlink(missing_ok=True)
    return prepared


def lie_about(bundle: Bundle, folder: Path, name: str, content: bytes) -> Bundle:
    """A copy of the bundle with another file in it, and a manifest that agrees."""
    shutil.copytree(bundle.folder, folder)
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"sha256": sha256(folder / name), "size": len(content)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return read_bundle(folder)


def tampered_audio(bundle: Bundle, path: Path) -> bytes:
    """Golden vectors whose audio is wrong by one percent from the middle on."""
    golden = read_arrays(bundle.folder / bundle.golden)
    (output,) = bundle.outputs
    audio = golden[output.name]
    audio[audio.size // 2 :] *= 1.01
    write_arrays(path, golden)
    return path.read_bytes()


def flip_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def tree(root: Path) -> dict[str, str]:
    """What lies on the board: each file's hash and each link's target, below everything but the runtime."""
    found = {}
    for name in ("releases", "objects", "current"):
        for path in [root / name, *sorted((root / name).rglob("*"))]:
            if path.is_symlink():
                found[str(path)] = str(path.readlink())
            elif path.is_file():
                found[str(path)] = sha256(path)
    return found


def test_the_runtime_is_pushed_once(prepared: Board) -> None:
    assert prepared.first > 20_000_000  # numpy and ONNX Runtime together
    assert prepared.second == 0


def test_a_bundle_is_pushed_once_under_a_name_made_of_its_content(board: Board, golden_bundle: Bundle) -> None:
    size = sum(file.size for file in golden_bundle.files.values()) + (golden_bundle.folder / MANIFEST).stat().st_size
    before = board.connection.bytes_sent
    release = install(board.connection, golden_bundle)
    assert (release.pushed, board.connection.bytes_sent - before) == (size, size)
    assert release.path == f"releases/hpn-reduced/{golden_bundle.digest[:16]}"
    read_bundle(board.root / release.path).check_files()
    assert install(board.connection, golden_bundle).pushed == 0
    assert board.connection.bytes_sent - before == size


def test_a_bundle_that_shares_files_with_one_on_the_board_pushes_the_others_only(
    board: Board, golden_bundle: Bundle, tmp_path: Path
) -> None:
    install(board.connection, golden_bundle)
    content = tampered_audio(golden_bundle, tmp_path / "golden.npz")
    other = lie_about(golden_bundle, tmp_path / "other", golden_bundle.golden, content)
    pushed = install(board.connection, other).pushed
    assert pushed == len(content) + (other.folder / MANIFEST).stat().st_size


def test_the_board_streams_every_graph_as_trained(board: Board, golden_bundle: Bundle) -> None:
    parity = prove(board.connection, board.site, golden_bundle, install(board.connection, golden_bundle))
    assert [entry["block"] for entry in parity] == sorted(golden_bundle.graphs)
    assert all(0 <= entry["error"] < 1e-4 for entry in parity), parity


def test_switch_points_current_at_the_release_by_a_relative_link(board: Board, golden_bundle: Bundle) -> None:
    release = install(board.connection, golden_bundle)
    switch(board.connection, release)
    assert str((board.root / "current").readlink()) == release_path(golden_bundle) == release.path
    assert board.connection.ask("facts")[0]["current"] == release.path


def test_a_release_counts_as_proven_only_with_the_runtime_and_runner_it_was_proven_with(
    board: Board, golden_bundle: Bundle
) -> None:
    release = install(board.connection, golden_bundle)
    parity = prove(board.connection, board.site, golden_bundle, release)
    keep_proof(board.connection, board.site, release.path, parity)
    assert kept(board, golden_bundle) == parity
    assert proof_path(Site({}, board.site.runtime, "runners/newer"), release.path) not in proofs(board, golden_bundle)
    assert proof_path(Site({}, "runtimes/newer", board.site.runner), release.path) not in proofs(board, golden_bundle)


def proofs(board: Board, bundle: Bundle) -> dict[str, Any]:
    return install(board.connection, bundle).proofs


def kept(board: Board, bundle: Bundle) -> Any:
    """The proof that the board has of the bundle."""
    return proofs(board, bundle)[proof_path(board.site, release_path(bundle))]


FALSE = {
    "an error that is no number": {"error": math.nan},
    "an infinite error": {"error": math.inf},
    "an error of 0.9": {"error": 0.9},
    "an error below 0": {"error": -0.1},
    "an error in words": {"error": "0"},
    "no error": {"error": None},
    "fewer frames": {"frames": 1},
    "another block": {"block": 128},
    "a block that is no whole number": {"block": 64.0},
    "a step of no time": {"step_ns": 0},
    "a step of a year": {"step_ns": 1 << 60},
}


@pytest.mark.parametrize("said", FALSE.values(), ids=list(FALSE))
def test_a_proof_is_judged_by_the_host(board: Board, golden_bundle: Bundle, said: dict[str, Any]) -> None:
    parity = prove(board.connection, board.site, golden_bundle, install(board.connection, golden_bundle))
    assert judged("loopback", golden_bundle, parity, None) == parity
    with pytest.raises(AgentError, match=r"loopback: its proof that hpn-reduced streams as trained is none: "):
        judged("loopback", golden_bundle, [{**parity[0], **said}, *parity[1:]], None)


@pytest.mark.parametrize("said", [None, {}, "ok", [], [None], [[]]])
def test_what_is_no_list_of_all_blocks_is_no_proof(golden_bundle: Bundle, said: Any) -> None:
    with pytest.raises(AgentError, match="is none: it is "):
        judged("loopback", golden_bundle, said, None)


def test_a_board_that_says_that_it_is_right_is_not_believed_and_nothing_is_switched(
    board: Board, golden_bundle: Bundle
) -> None:
    runner = board.root / board.site.runner / "tonearm" / "runtime" / "parity.py"
    honest = runner.read_text()
    runner.unlink()  # a file of a runner is a link to its object
    runner.write_text(honest.replace('"error": max(errors)', '"error": float("nan")'))
    try:
        with pytest.raises(AgentError, match="at block 64 the error is nan of full scale"):
            deploy("loopback", golden_bundle, unwatched)
    finally:
        runner.write_text(honest)
    assert not (board.root / "current").exists()
    assert proofs(board, golden_bundle) == {}
    assert deploy("loopback", golden_bundle, unwatched).parity


@pytest.mark.parametrize("said", ["[]", "{", '[{"block": 64, "error": NaN}]', "[" * 60_000, "[" + "0," * 40_000 + "0]"])
def test_a_proof_that_is_kept_is_judged_again(board: Board, golden_bundle: Bundle, said: str) -> None:
    deploy("loopback", golden_bundle, unwatched)
    honest = kept(board, golden_bundle)
    (board.root / proof_path(board.site, release_path(golden_bundle))).write_text(said)
    assert deploy("loopback", golden_bundle, unwatched).parity
    assert [entry["error"] for entry in kept(board, golden_bundle)] == [entry["error"] for entry in honest]
    assert deploy("loopback", golden_bundle, unwatched).parity is None


def test_a_second_deploy_pushes_nothing_and_is_proven_before(board: Board, golden_bundle: Bundle) -> None:
    first, second = (deploy("loopback", golden_bundle, unwatched) for _ in range(2))
    assert first.pushed > 0
    assert first.parity and max(entry["error"] for entry in first.parity) < 1e-4
    assert all(entry["step_ns"] > 0 for entry in first.parity)
    assert (second.path, second.pushed, second.parity) == (first.path, 0, None)


@pytest.mark.parametrize("position", [0, -1])
def test_a_bundle_with_a_flipped_bit_is_refused_before_anything_reaches_the_board(
    board: Board, golden_bundle: Bundle, tmp_path: Path, position: int
) -> None:
    shutil.copytree(golden_bundle.folder, tmp_path / "flipped")
    bundle = read_bundle(tmp_path / "flipped")
    flip_byte(bundle.graph(64), position)
    before = board.connection.bytes_sent, tree(board.root)
    for put in (lambda: install(board.connection, bundle), lambda: deploy("loopback", bundle, unwatched)):
        with pytest.raises(BundleError, match=r"block-64.*its hash differs"):
            put()
    assert (board.connection.bytes_sent, tree(board.root)) == before


def test_a_file_damaged_on_the_board_fails_the_deploy_and_the_next_one_heals_it(
    board: Board, golden_bundle: Bundle
) -> None:
    content = golden_bundle.graph(64).read_bytes()
    push_objects(board.connection, [Upload("graph", content)], unwatched, "push")
    flip_byte(board.root / "objects" / sha256(golden_bundle.graph(64)), 100)
    with pytest.raises(AgentError, match=r"block-64.* is damaged on the board; deploy again to replace it"):
        install(board.connection, golden_bundle)
    assert not (board.root / release_path(golden_bundle)).exists()
    assert install(board.connection, golden_bundle).pushed == len(content)
    read_bundle(board.root / release_path(golden_bundle)).check_files()


def test_a_bundle_that_does_not_sound_as_trained_leaves_the_old_release_current(
    board: Board, golden_bundle: Bundle, tmp_path: Path
) -> None:
    old = deploy("loopback", golden_bundle, unwatched)
    content = tampered_audio(golden_bundle, tmp_path / "golden.npz")
    wrong = lie_about(golden_bundle, tmp_path / "wrong", golden_bundle.golden, content)
    for _ in range(2):
        with pytest.raises(AgentError, match=r"output audio is wrong from block \d+, sample \d+"):
            deploy("loopback", wrong, unwatched)
        assert str((board.root / "current").readlink()) == old.path


@pytest.mark.parametrize("proven", [True, False])
def test_a_release_damaged_on_the_board_is_pushed_anew(board: Board, golden_bundle: Bundle, proven: bool) -> None:
    release = install(board.connection, golden_bundle)
    if proven:
        switch(board.connection, release)
    flip_byte(board.root / release.path / golden_bundle.golden, 1000)
    assert install(board.connection, golden_bundle).pushed == golden_bundle.files[golden_bundle.golden].size
    read_bundle(board.root / release.path).check_files()
    assert not list(board.root.rglob("*.part"))


def test_nothing_is_written_outside_of_our_folder_on_a_board(golden_bundle: Bundle) -> None:
    deploy("loopback", golden_bundle, unwatched)
    assert [path.name for path in (loopback_folder() / "home").iterdir()] == [".tonearm"]
