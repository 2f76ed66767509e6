"""`tonearm board add`, `trust`, `remove`, `list` as a person uses them: on a terminal, off one, with a real OpenSSH."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import tonearm
from openssh import openssh
from terminals import on_terminal
from tonearm.device.boardsfile import boards_file, read_boards
from tonearm.device.errors import AgentError
from tonearm.device.ssh.connection import Connection, Upload
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.ssh.hostkeys import known_keys
from tonearm.device.ssh.keys import ensure_key


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Endpoint]:
    """A board with an empty home."""
    with openssh(tmp_path / "there") as endpoint:
        yield endpoint


def add(endpoint: Endpoint, *more: str) -> list[object]:
    return ["board", "add", "pi", f"{endpoint.host}:{endpoint.port}", "--key", endpoint.key_file, *more]


def trust(endpoint: Endpoint) -> Path:
    path = Path("~/.ssh/known_hosts").expanduser()
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"[{endpoint.host}]:{endpoint.port} {endpoint.host_key}\n")
    return path


def is_known(endpoint: Endpoint) -> bool:
    return bool(known_keys(Endpoint(endpoint.host, endpoint.port, endpoint.user, None, None)))


def put_something(endpoint: Endpoint) -> Path:
    """A file and a link out, on the board; where they lie."""
    with Connection("pi", endpoint) as board:
        board.ask("put", [Upload("a", b"123")])
        root = Path(board.ask("facts")[0]["root"])
    (root / "jobs").mkdir()
    (root / "jobs" / "out").symlink_to(root.parent)
    (root / "current").symlink_to(root.parent / "kept")
    (root.parent / "kept").mkdir()
    (root.parent / "kept" / "song").write_text("mine")
    return root


def test_a_board_whose_key_is_known_is_added_and_described(there: Endpoint) -> None:
    trust(there)
    done = tonearm(*add(there))
    assert done.stdout == f"pi is added to {boards_file()}\n"
    assert f"Linux {os.uname().release} ({os.uname().machine})" in done.stderr
    assert read_boards() == {"pi": {"host": there.host, "port": there.port, "key": str(there.key_file)}}
    assert "to change it" in tonearm(*add(there), status=1).stderr


def test_a_board_that_cannot_be_reached_is_added_with_what_is_missing(there: Endpoint) -> None:
    done = tonearm(*add(there))
    assert done.stdout == f"pi is added to {boards_file()}\n"
    assert "not reached yet: pi: the host key of" in done.stderr and "tonearm board trust pi" in done.stderr


def test_trust_shows_the_fingerprint_asks_and_keeps_the_key(there: Endpoint, tmp_path: Path) -> None:
    listed = subprocess.run(
        ["ssh-keygen", "-lf", "/dev/stdin"], input=there.host_key, capture_output=True, text=True, check=True
    )
    status, shown = on_terminal(*add(there, "--trust"), answers=(("Trust it from now on? [y/N] ", "y"),))
    assert listed.stdout.split()[1] in shown
    assert status == 0 and "pi: " in shown and is_known(there)
    assert list(read_boards()) == ["pi"]


@pytest.mark.parametrize("terminal", [True, False])
def test_without_a_yes_nothing_is_changed(there: Endpoint, terminal: bool) -> None:
    if terminal:
        status, shown = on_terminal(*add(there, "--trust"), answers=(("[y/N] ", ""),))
    else:
        done = tonearm(*add(there, "--trust"), status=1)
        status, shown = done.returncode, done.stderr
    assert status == 1 and ("not trusted" if terminal else "no terminal to ask on") in " ".join(shown.split())
    assert read_boards() == {} and not is_known(there)


def test_trust_never_takes_a_changed_key(there: Endpoint, tmp_path: Path) -> None:
    path = trust(there)
    changed = path.read_text().replace(there.host_key or "", ensure_key(tmp_path / "other"))
    path.write_text(changed)
    boards_file().parent.mkdir(parents=True)
    boards_file().write_text(f'[pi]\nhost = "{there.host}"\nport = {there.port}\n')
    status, shown = on_terminal("board", "trust", "pi")
    assert status == 1 and "CHANGED" in shown and "[y/N]" not in shown
    assert path.read_text() == changed


def test_trust_needs_no_login(there: Endpoint) -> None:
    boards_file().parent.mkdir(parents=True)
    boards_file().write_text(f'[pi]\nhost = "{there.host}"\nport = {there.port}\nuser = "nobody-at-all"\n')
    status, shown = on_terminal("board", "trust", "pi", answers=(("[y/N] ", "y"),))
    assert status == 0 and is_known(there), shown


def test_remove_takes_the_folder_and_the_entry_and_nothing_else(there: Endpoint) -> None:
    trust(there)
    tonearm(*add(there))
    boards_file().write_text("# mine\n" + boards_file().read_text() + '\n[lab]\nhost = "lab"  # far\n')
    root = put_something(there)
    assert "--yes" in tonearm("board", "remove", "pi", status=1).stderr
    assert root.exists() and "pi" in read_boards()
    status, shown = on_terminal("board", "remove", "pi", answers=(("[y/N] ", "n"),))
    assert status == 1 and "nothing was removed" in shown and root.exists()
    status, shown = on_terminal("board", "remove", "pi", answers=((f"Remove {root} (2 files, 0.0 MB) on pi", "y"),))
    assert status == 0, shown
    assert not root.exists() and (root.parent / "kept" / "song").read_text() == "mine"
    assert boards_file().read_text() == '# mine\n\n[lab]\nhost = "lab"  # far\n'


def test_a_board_that_is_off_keeps_its_entry_and_the_remark_how_to_take_it_out(there: Endpoint) -> None:
    boards_file().parent.mkdir(parents=True)
    boards_file().write_text('[pi]\nhost = "127.0.0.1"\nport = 1\n')
    assert "tonearm board remove pi --entry" in tonearm("board", "remove", "pi", "--yes", status=1).stderr
    assert "pi" in read_boards()
    tonearm("board", "remove", "pi", "--entry")
    assert "pi" not in read_boards()


def test_a_folder_that_is_not_ours_is_left_alone(there: Endpoint, tmp_path: Path) -> None:
    home = tmp_path / "there" / "home"
    (home / "else").mkdir()
    (home / "else" / "song").write_text("mine")
    for root in (home / "else", home):
        with Connection("pi", there, str(root)) as board, pytest.raises(AgentError, match="does not look like"):
            board.ask("remove")
    assert (home / "else" / "song").read_text() == "mine"


def test_of_a_folder_on_another_disk_only_what_is_ours_goes_and_the_link_to_it_stays(
    there: Endpoint, tmp_path: Path
) -> None:
    home, disk = tmp_path / "there" / "home", tmp_path / "disk"
    disk.mkdir()
    (disk / "song").write_text("mine")
    (home / ".tonearm").symlink_to(disk)
    with Connection("pi", there) as board:
        board.ask("put", [Upload("a", b"123")])
        board.ask("remove")
    assert [path.name for path in disk.iterdir()] == ["song"] and (home / ".tonearm").is_symlink()


def test_the_list_shows_all_boards_and_where_they_are() -> None:
    config = Path("~/.ssh/config").expanduser()
    config.parent.mkdir()
    config.write_text("Host bela\n  HostName 192.168.7.2\n  User root\nHost pi\n  User pi\n  ProxyJump lab\nHost *.x\n")
    boards_file().parent.mkdir(parents=True)
    boards_file().write_text('[stage]\nhost = "fe80::1"\nport = 2222\nuser = "kim"\n[pi]\nhost = "pi"\n')
    rows = [line.split("  ") for line in tonearm("board", "list").stdout.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells == [
        ["loopback", "this machine, over SSH"],
        ["virtual", "ARM64 machine that counts instructions", "down"],
        ["stage", "kim@[fe80::1]:2222", "boards.toml"],
        ["pi", "pi@pi:22 through lab:22", "boards.toml"],
        ["bela", "root@192.168.7.2:22", "~/.ssh/config"],
    ]


@pytest.mark.parametrize("action", ["list", "add", "trust", "remove", "up", "down"])
def test_the_help_of_every_action_has_an_example_of_it(action: str) -> None:
    assert f"example:\n  tonearm board {action}" in tonearm("board", action, "--help").stdout
