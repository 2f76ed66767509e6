"""Boards by name: boards.toml, completed by ~/.ssh/config."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import pytest
from tonearm.device.boards import board, check_startable, find_endpoint
from tonearm.device.boardsfile import boards_file, read_boards
from tonearm.device.descriptor import descriptor
from tonearm.device.errors import UnknownBoardError
from tonearm.device.loopback import serve
from tonearm.device.ssh.endpoint import Endpoint, Way


def write_boards(text: str) -> None:
    boards_file().parent.mkdir(parents=True)
    boards_file().write_text(text)


def write_ssh(name: str, text: str) -> None:
    folder = Path("~/.ssh").expanduser()
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_without_a_file_there_are_no_boards() -> None:
    assert read_boards() == {}


def test_a_board_with_a_host_alone_is_reached_as_ssh_would() -> None:
    write_boards('[pi]\nhost = "pi.local"\n')
    assert find_endpoint("pi") == Endpoint("pi.local", 22, getpass.getuser(), None, None)


def test_a_board_says_everything_itself() -> None:
    write_boards('[pi]\nhost = "10.0.0.7"\nport = 2222\nuser = "kim"\nkey = "~/.ssh/pi"\n')
    assert find_endpoint("pi") == Endpoint("10.0.0.7", 2222, "kim", Path("~/.ssh/pi").expanduser(), None)


CONFIG = "Host bela\n  HostName 192.168.7.2\n  Port 2022\n  User root\n  IdentityFile ~/.ssh/bela\n"


def bela_key() -> Way:
    return Way(identities=(Path("~/.ssh/bela").expanduser(),))


def test_a_host_of_the_ssh_configuration_is_a_board() -> None:
    write_ssh("config", CONFIG)
    assert find_endpoint("bela") == Endpoint("192.168.7.2", 2022, "root", None, None, bela_key())


def test_the_ssh_configuration_completes_boards_toml_and_yields_to_it() -> None:
    write_ssh("config", CONFIG)
    write_boards('[stage]\nhost = "bela"\nuser = "kim"\n')
    assert find_endpoint("stage") == Endpoint("192.168.7.2", 2022, "kim", None, None, bela_key())


def test_a_pattern_of_the_ssh_configuration_makes_a_board_but_not_the_one_for_all_hosts() -> None:
    write_ssh("config", "Host pi*\n  User kim\nHost *\n  Port 2200\n")
    assert find_endpoint("pi4") == Endpoint("pi4", 2200, "kim", None, None)
    with pytest.raises(UnknownBoardError):
        find_endpoint("bela")


def test_match_blocks_in_the_ssh_configuration_are_no_obstacle() -> None:
    write_ssh("config", "Match host bela\n  User kim\nHost bela\n  Port 2200\n")
    assert find_endpoint("bela") == Endpoint("bela", 2200, "kim", None, None)
    write_boards('[pi]\nhost = "pi.local"\n')
    assert find_endpoint("pi").host == "pi.local"


@pytest.mark.parametrize(
    "text", ['[virtual-lab]\nhost = "lab"\n', '[loopback]\nhost = "x"\n', '[pi]\nhost = "x"\nprot = 7\n']
)
def test_a_name_of_a_built_in_board_and_an_unknown_key_are_refused(text: str) -> None:
    write_boards(text)
    with pytest.raises(UnknownBoardError, match=r"boards\.toml: \["):
        find_endpoint("pi")


def test_an_unknown_board_is_answered_with_those_there_are_and_how_to_add_one() -> None:
    write_boards('[pi]\nhost = "pi.local"\n[zynthian]\nhost = "z"\n')
    with pytest.raises(UnknownBoardError, match="the boards are loopback, virtual, pi, zynthian") as unknown:
        find_endpoint("pie")
    assert "unknown board 'pie'" in str(unknown.value)
    assert str(boards_file()) in str(unknown.value)


@pytest.mark.parametrize(
    "text",
    [
        "[pi\n",
        'host = "pi.local"\n',
        "[pi]\n",
        "[pi]\nhost = 7\n",
        '[pi]\nhost = "pi.local"\nport = "ssh"\n',
        '[pi]\nhost = "pi.local"\nport = 2.5\n',
        '[pi]\nhost = "pi.local"\nuser = 7\n',
        '[pi]\nhost = "pi.local"\nkey = ["a"]\n',
    ],
)
def test_a_file_that_makes_no_sense_is_named(text: str) -> None:
    write_boards(text)
    with pytest.raises(UnknownBoardError) as refused:
        find_endpoint("pi")
    assert str(refused.value).startswith(str(boards_file()))


def test_a_file_that_is_not_text_is_named() -> None:
    write_boards("")
    boards_file().write_bytes(b"\xff\xfe[pi]")
    with pytest.raises(UnknownBoardError) as refused:
        read_boards()
    assert str(refused.value).startswith(str(boards_file()))


def test_only_virtual_boards_are_started_and_stopped() -> None:
    names = ("virtual", "virtual-2", "loopback", "virtually", "pi")
    assert [name for name in names if descriptor(name).is_startable] == ["virtual", "virtual-2"]
    check_startable("virtual-2")
    with pytest.raises(UnknownBoardError, match="'pi' can't be started or stopped from here"):
        check_startable("pi")


def test_a_board_of_boards_toml_with_a_known_host_key_is_reached(tmp_path: Path) -> None:
    with serve(tmp_path / "server") as there:
        write_ssh("known_hosts", f"[127.0.0.1]:{there.port} {there.host_key}\n")
        write_boards(
            f'[pi]\nhost = "127.0.0.1"\nport = {there.port}\nuser = "{there.user}"\nkey = "{there.key_file}"\n'
        )
        with board("pi") as connection:
            facts, _ = connection.ask("facts")
    assert facts["hostname"] == socket.gethostname()
    assert facts["root"] == str(tmp_path / "server" / "home" / ".tonearm")


def test_the_loopback_board_lives_below_the_state_folder(tmp_path: Path) -> None:
    with board("loopback") as connection:
        facts, _ = connection.ask("facts")
    assert facts["root"] == str(tmp_path / "state" / "tonearm" / "boards" / "loopback" / "home" / ".tonearm")
