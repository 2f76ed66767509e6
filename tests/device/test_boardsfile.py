"""boards.toml and what a person types: read as it was meant, changed without losing a line, refused by name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tonearm.device.boardsfile import add_entry, boards_file, read_boards, remove_entry, without_entry
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


def test_included_files_count_where_they_are_included() -> None:
    ssh_config("Include conf.d/*\nPort 2200\nHost pi\n  Include port\n  User kim # the owner\nHost b\n  User b\n")
    ssh_config("Port 2222\n", "port")
    (Path("~/.ssh/conf.d").expanduser()).mkdir()
    ssh_config("Host lab\n  User root\n", "conf.d/lab")
    places = [find_way(Target(None, name, None)) for name in ("lab", "pi", "b")]
    assert [(place.user, place.port) for place in places] == [("root", 2200), ("kim", 2200), ("b", 2200)]
    assert ssh_hosts() == ["b", "lab", "pi"]


def test_a_file_that_includes_itself_is_named_as_ssh_does_not_use_it_either() -> None:
    ssh_config("Include config\nHost pi\n  User kim\n")
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
