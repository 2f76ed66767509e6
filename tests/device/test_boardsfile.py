"""boards.toml and what a person types: read as it was meant, changed without losing a line, refused by name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tonearm.device.boards import find_endpoint
from tonearm.device.boardsfile import (
    add_entry,
    boards_file,
    jump_of,
    read_boards,
    remove_entry,
    target_of,
    without_entry,
)
from tonearm.device.errors import BoardError, UnknownBoardError
from tonearm.device.ssh.config import find_way, ssh_hosts
from tonearm.device.ssh.endpoint import Target, parse_target

FILE = """# my boards

[stage]  # the one on stage
host = "10.0.0.7"   # by cable
user = 'kim'

# the lab's
["lab.2"]
host = "lab"
# a remark at the end
"""


def write(text: str) -> None:
    boards_file().parent.mkdir(parents=True, exist_ok=True)
    boards_file().write_text(text)


def ssh_config(text: str, name: str = "config") -> None:
    path = Path("~/.ssh", name).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_adding_appends_and_removing_gives_the_file_back() -> None:
    write(FILE)
    add_entry("pi", {"host": "raspberrypi.local", "user": "pi", "port": 2222, "key": '~/.ssh/a "key"'})
    assert boards_file().read_text().startswith(FILE)
    assert read_boards()["pi"] == {"host": "raspberrypi.local", "user": "pi", "port": 2222, "key": '~/.ssh/a "key"'}
    remove_entry("pi")
    assert boards_file().read_text().rstrip() == FILE.rstrip()


CHANGE = """
import sys
from tonearm.device.boardsfile import add_entry, remove_entry
sys.stdin.read()
for number in range(10):
    add_entry(f"board-{sys.argv[1]}-{number}", {"host": "x"})
    if number % 2:
        remove_entry(f"board-{sys.argv[1]}-{number}")
"""


def test_commands_that_change_the_file_at_once_lose_nothing() -> None:
    write(FILE)
    changing = [
        subprocess.Popen([sys.executable, "-c", CHANGE, str(number)], stdin=subprocess.PIPE) for number in range(4)
    ]
    for process in changing:
        assert process.stdin
        process.stdin.close()
    assert [process.wait() for process in changing] == [0] * 4
    added = {f"board-{process}-{number}" for process in range(4) for number in range(0, 10, 2)}
    assert set(read_boards()) == {"stage", "lab.2", *added}
    assert boards_file().read_text().startswith(FILE)


def test_what_another_command_has_taken_out_already_is_out() -> None:
    write(FILE)
    remove_entry("pi")
    assert boards_file().read_text() == FILE


def test_removing_leaves_what_is_written_about_the_others() -> None:
    write(FILE)
    remove_entry("stage")
    assert boards_file().read_text() == FILE[: FILE.index("[stage]")] + FILE[FILE.index("\n# the lab's") :]
    remove_entry("lab.2")
    assert boards_file().read_text() == "# my boards\n\n\n# the lab's\n# a remark at the end\n"
    assert read_boards() == {}


NAMES = st.text("ab-_.0", min_size=1, max_size=4).filter(lambda name: name[0] in "ab0")
REMARKS = st.sampled_from(["", "\n", "# x\n", "\n# [pi]\n", '# host = "y"\n\n'])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES, REMARKS), unique_by=lambda pair: pair[0], min_size=1, max_size=4), st.data())
def test_no_other_line_is_lost_whatever_stands_between(boards: list[tuple[str, str]], data: st.DataObject) -> None:
    write("".join(f'{remark}["{name}"]\nhost = "{name}.local"\n' for name, remark in boards) + "# end\n")
    before = boards_file().read_text()
    name = data.draw(st.sampled_from([name for name, _ in boards]))
    add_entry("new", {"host": "n"})
    remove_entry(name)
    remove_entry("new")
    after = boards_file().read_text()
    lost = f'["{name}"]\nhost = "{name}.local"\n'
    assert after.rstrip("\n") == before.replace(lost, "").rstrip("\n")
    assert set(tomllib.loads(after)) == {other for other, _ in boards} - {name}


@pytest.mark.parametrize(
    "text", [f'[pi]\nhost = "x"\nport = {"9" * 5000}\n', f"a = {'[' * 3000}", "[" * 9, "a = 1979-"]
)
def test_what_can_not_be_read_at_all_is_told_with_what_to_write(text: str) -> None:
    write(text)
    with pytest.raises(
        UnknownBoardError, match=r'boards.toml: .*; a board is written as \[name\] and host = "..."'
    ) as no:
        read_boards()
    assert len(str(no.value)) < 500


@pytest.mark.parametrize("text", ['pi = { host = "a" }\n', 'pi.host = "a"\n', '[ "p\\u0069" ]\nhost = "a"\n'])
def test_what_only_a_person_can_take_apart_is_left_to_one(text: str) -> None:
    write(text)
    with pytest.raises(UnknownBoardError, match=r"by hand"):
        without_entry("pi")
    assert boards_file().read_text() == text


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text(FILE)
    boards_file().parent.mkdir(parents=True)
    boards_file().symlink_to(tmp_path / "dotfiles")
    add_entry("pi", {"host": "pi"})
    assert boards_file().is_symlink() and "[pi]" in (tmp_path / "dotfiles").read_text()


@pytest.mark.parametrize("name", ["loopback", "virtual", "virtual-2", "", "a b", "../x", "-pi", "pi\n", "é", "stage"])
def test_a_name_that_is_built_in_odd_or_taken_is_refused(name: str) -> None:
    write(FILE)
    with pytest.raises(
        UnknownBoardError, match=r"built-in|can't name|already, at 10.0.0.7\. .*to change it: .*boards.toml"
    ):
        add_entry(name, {"host": "x"})
    assert boards_file().read_text() == FILE


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("pi", Target(None, "pi", None)),
        ("pi@raspberrypi.local", Target("pi", "raspberrypi.local", None)),
        ("ssh://pi@10.0.0.7:2222/", Target("pi", "10.0.0.7", 2222)),
        ("kim@[fe80::1%eth0]:22", Target("kim", "fe80::1%eth0", 22)),
        ("[::1]", Target(None, "::1", None)),
        ("fe80::1", Target(None, "fe80::1", None)),
        ("kim@corp@pi", Target("kim@corp", "pi", None)),
    ],
)
def test_a_target_is_read_as_ssh_reads_it(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["", "@pi", "pi:", "pi:ssh", "pi:0", "pi:65536", "[::1]:x", "[]:1", "a b", "-oX", "pi;ls", "k$(id)@pi", "[::1"],
)
def test_what_is_no_target_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(BoardError, match=r"write \[USER@\]HOST|not a port"):
        parse_target(text)


@pytest.mark.parametrize(
    ("lines", "target"),
    [
        ('host = "10.0.0.7:2222"', Target(None, "10.0.0.7", 2222)),
        ('host = "kim@pi.local"', Target("kim", "pi.local", None)),
        ('host = "ssh://kim@[fe80::1%eth0]:2222/"', Target("kim", "fe80::1%eth0", 2222)),
        ('host = "[fe80::1]"\nport = 2222', Target(None, "fe80::1", 2222)),
        ('host = "fe80::1"', Target(None, "fe80::1", None)),
        ('host = " pi "\nuser = "kim "\nport = " 2222"', Target("kim", "pi", 2222)),
        ('host = "kim@pi:2222"\nuser = "kim"\nport = 2222', Target("kim", "pi", 2222)),
    ],
)
def test_an_entry_means_what_it_plainly_says(lines: str, target: Target) -> None:
    boards_file().parent.mkdir(parents=True, exist_ok=True)
    boards_file().write_text(f"[pi]\r\n{lines}\r\n", encoding="utf-8-sig", newline="")
    assert target_of(read_boards()["pi"]) == target
    found = find_endpoint("pi")
    assert (found.host, found.port) == (target.host, target.port or 22)
    add_entry("other", {"host": "other"})
    remove_entry("other")
    assert target_of(read_boards()["pi"]) == target


def test_jump_hosts_may_be_a_list() -> None:
    write('[pi]\nhost = "pi"\njump = ["a", "kim@b:23"]\n')
    assert jump_of(read_boards()["pi"]) == "a,kim@b:23"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('host = "pi:22"\nport = 23', "host says port 22, and port is 23: leave one of them out"),
        ('host = "kim@pi"\nuser = "root"', "host says user kim, and user is root"),
        ("host = 7", r'host can\'t be 7; write host = "ADDRESS"'),
        ('host = ["pi"]', r'host can\'t be \["pi"\]; write host'),
        ('host = "pi"\nport = "ssh"', r'port can\'t be "ssh"; write port = 22'),
        ('host = "pi"\nport = true', "port can't be true; write port = 22"),
        ('host = "pi"\nport = 2026-01-01', 'port can\'t be "2026-01-01"; write port = 22'),
        ('host = "pi"\nport = 65536', "65536 is not a port"),
        ('host = "pi"\nport = "99999"', "99999 is not a port"),
        (f'host = "pi"\nport = "{"9" * 5000}"', r'port can\'t be "9+ \.\.\. \(5002 characters\); write port = 22'),
        (f'host = "pi"\nport = 0x{"f" * 5000}', "port can't be what is written there; write port = 22"),
        ('host = "pi"\nport = -1', "-1 is not a port"),
        (f"host = {'[' * 200}{']' * 200}", r"host can't be \[+ \.\.\. .*; write host"),
        ('host = "pi"\nuser = 7', 'user can\'t be 7; write user = "pi"'),
        ('host = "pi"\nkey = ["a"]', 'key can\'t be .*write key = "~/.ssh/id_ed25519"'),
        ('host = "pi"\nkey = ""', "key can't be"),
        ('host = "pi"\njump = []', 'jump can\'t be .*write jump = "kim@lab:2222"'),
        ('host = "pi"\njump = "a,,b"', r"'' is not a host name .*write \[USER@\]HOST"),
        ('hostname = "pi"', "unknown key hostname; the keys are host, user, port, key, jump"),
        ('user = "pi"', 'needs host = "ADDRESS"'),
        ('host = "http://pi"', r"'http://pi' is not a host name or address; write \[USER@\]HOST"),
        ('host = "10.0.0.7:22:23"', "is not a host name or address"),
    ],
)
def test_an_entry_that_is_not_plain_is_refused_with_what_to_write(lines: str, said: str) -> None:
    write(f"[pi]\n{lines}\n")
    with pytest.raises(UnknownBoardError, match=rf"boards.toml: \[pi\].*{said}"):
        read_boards()


@pytest.mark.parametrize("text", ['pi = "raspberrypi.local"\n', '[[pi]]\nhost = "a"\n'])
def test_what_is_no_table_is_told_how_to_be_one(text: str) -> None:
    write(text)
    with pytest.raises(
        UnknownBoardError, match=r'\[pi\] is no board: write \[pi\] on a line, and host = "ADDRESS" below'
    ):
        read_boards()


def test_a_port_within_hostname_is_no_address_either() -> None:
    ssh_config("Host pi\n  HostName 10.0.0.7:2222\n")
    with pytest.raises(BoardError, match=r"'10.0.0.7:2222' is not a host name or address"):
        find_way(Target(None, "pi", None))


def test_included_files_count_where_they_are_included() -> None:
    ssh_config("Include conf.d/*\nPort 2200\nHost pi\n  Include port\n  User kim # the owner\nHost b\n  User b\n")
    ssh_config("Port 2222\n", "port")
    (Path("~/.ssh/conf.d").expanduser()).mkdir()
    ssh_config("Host lab\n  User root\n", "conf.d/lab")
    places = [find_way(Target(None, name, None)) for name in ("lab", "pi", "b")]
    assert [(place.user, place.port) for place in places] == [("root", 2200), ("kim", 2200), ("b", 2200)]
    assert ssh_hosts() == ["b", "lab", "pi"]


def test_a_file_that_includes_itself_is_named_as_ssh_does_not_use_it_either() -> None:
    ssh_config("Include config config\nHost pi\n  Include config config\n  User kim\n")
    assert ssh_hosts() == ["pi"]
    with pytest.raises(BoardError, match=r"~/.ssh/config includes itself"):
        find_way(Target(None, "pi", None))


@pytest.mark.parametrize(
    "line", ["Port x", "Port 99999", "HostName $(id)", "User a;b", "ConnectTimeout soon", "Nonsense"]
)
def test_a_configuration_that_makes_no_sense_is_named(line: str) -> None:
    ssh_config(f"Host pi\n  {line}\n")
    with pytest.raises(BoardError, match=r"~/.ssh/config"):
        find_way(Target(None, "pi", None))


def test_proxy_jump_and_proxy_command_exclude_each_other_and_the_first_counts() -> None:
    ssh_config("Host a\n  ProxyCommand none\nHost b\n  ProxyCommand nc %h\nHost ?\n  ProxyJump lab\n")
    hops = {name: find_way(Target(None, name, None)).way for name in "abc"}
    assert hops["a"] is None
    assert hops["b"] and hops["b"].command == "nc b" and not hops["b"].hops
    assert hops["c"] and [hop.host for hop in hops["c"].hops] == ["lab"]
