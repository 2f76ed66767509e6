"""The SSH client's configuration means what `ssh -G` says it means."""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import subprocess
from pathlib import Path

import pytest
from fuzz_ssh import OUTCOMES, SAME, fuzz
from fuzzing import table
from openssh import free_port
from ssh_answers import SSH, WRAPPER, ask_ssh, differences, read_ourselves
from ssh_configs import CONFIGS, Config
from tonearm.device.errors import BoardError, UnreachableError
from tonearm.device.ssh import conditions, lookup
from tonearm.device.ssh.client import open_client
from tonearm.device.ssh.config import find_way, is_host, ssh_hosts
from tonearm.device.ssh.endpoint import CONNECT_SECONDS, Endpoint, Target, Way

SYSTEM = Path("/etc/ssh/ssh_config")
with_ssh = pytest.mark.skipif(not (SSH and WRAPPER), reason="needs ssh and libnss-wrapper")


def write(text: str, files: dict[str, str] | None = None) -> Path:
    """~/.ssh/config and files beside it."""
    folder = Path("~/.ssh").expanduser()
    for name, content in {"config": text, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("{me}", getpass.getuser()).replace("{{", "{").replace("}}", "}"), newline="")
        path.chmod(0o600)
    return folder


def way(host: str = "pi", names: bool = True) -> Endpoint:
    return find_way(Target(None, host, None), names=names)


@with_ssh
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.about)
def test_we_say_what_ssh_says(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "SYSTEM", SYSTEM)
    monkeypatch.setenv("TEST_KEYS", "/run/keys")
    home = write(config.text, config.files).parent
    theirs, refused = ask_ssh(home, config.host)
    assert theirs, f"ssh itself refuses it: {refused}"
    ours, reason = read_ourselves(config.host)
    assert ours, reason
    assert differences(theirs, ours) == {}


@pytest.mark.parametrize(
    ("criteria", "holds"),
    [
        ("localnetwork 127.0.0.0/8", True),
        ("localnetwork=203.0.113.0/24,127.0.0.1", True),
        ("localnetwork 203.0.113.0/24", False),
        ("!localnetwork 203.0.113.0/24", True),
        ("localnetwork 127.0.0.1/8", False),  # more than the network's bits: no network at all
        ("!localnetwork somewhere", False),
        ("tagged stage", True),
        ("tagged=st*,!studio", True),
        ("tagged lab", False),
        ("!tagged lab", True),
        ('tagged ""', False),
        ("sessiontype shell", True),
        ("sessiontype exec", False),
        ('command ""', True),
        ("command reboot", False),
        ("version None_*", False),
        ("Host pi USER kim", True),
        ("exec true", True),
        ("exec 'test 1 = 1'", True),
        ("final tagged stage", True),
    ],
)
def test_criteria_of_newer_versions_are_known(criteria: str, holds: bool) -> None:
    write(f"Host pi\n  Tag stage\n  User kim\nMatch {criteria}\n  Port 9\n")
    assert way().port == (9 if holds else 22)


@with_ssh
def test_the_version_is_that_of_the_ssh_that_is_there() -> None:
    version = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.split("_")[1][0]
    write(f"Match version OpenSSH_{version}*\n  Port 9\n")
    assert way().port == 9


@pytest.mark.parametrize(
    "criteria",
    [
        *("moonphase full", "!moonphase full", "host pi moonphase full", "moonphase", "!moonphase=full all"),
        *("", "!", "host", "host=", "user =", "all host pi", "host pi user kim all", "exec", 'host "pi'),
    ],
)
def test_what_is_not_known_or_makes_no_sense_is_never_true(criteria: str) -> None:
    write(f"Host pi\n  User kim\nMatch {criteria}\n  Port 9\n")
    assert way().port == 22


def test_the_systems_file_is_read_after_the_persons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "ssh"
    (folder / "ssh_config.d").mkdir(parents=True)
    (folder / "ssh_config").write_text("Include ssh_config.d/*.conf\nHost *\n  Port 1\n  HashKnownHosts yes\n")
    (folder / "ssh_config.d" / "a.conf").write_text("User kim\nMatch final all\n  IdentityFile ~/b\n")
    monkeypatch.setattr(lookup, "SYSTEM", folder / "ssh_config")
    write("Port 9\nIdentityFile ~/a\n")
    found = way()
    assert (found.port, found.user) == (9, "kim")
    assert found.way and found.way.hash_names
    assert [path.name for path in found.way.identities or ()] == ["a", "b"]


def test_a_byte_order_mark_is_no_part_of_the_first_keyword() -> None:
    write("\ufeffHost pi\n  Port 9\n")
    assert way().port == 9
    assert ssh_hosts() == ["pi"]


LISTED = """
Match exec "touch {ran}"
  Port 1
Host pi
  Port 9
Host odd
  Port x
Host mute
  IdentityFile ${{NO_SUCH_VARIABLE}}/a
Host "open
  Port 7
Nonsense
Host studio-*
  Include more
"""


def test_boards_are_listed_without_a_command_or_a_lookup_and_an_odd_line_spoils_no_other(
    tmp_path: Path,
) -> None:
    ran = tmp_path / "ran"
    write(LISTED.replace("{ran}", str(ran)), {"more": "Host studio-1 studio-2 lab\n  Port 3\n"})
    assert ssh_hosts() == ["mute", "odd", "pi", "studio-1", "studio-2"]
    assert way("pi", names=False).port == 9
    assert way("studio-1", names=False).port == 3
    assert not ran.exists()
    assert way("pi").port == 1 and ran.exists()
    with pytest.raises(BoardError, match=r"~/.ssh/config line 7: Port is 'x'"):
        way("odd", names=False)
    with pytest.raises(BoardError, match=r"line 9: the environment has no variable \$\{NO_SUCH_VARIABLE\}"):
        way("mute")


def test_names_are_looked_up_only_where_a_connection_is_wanted() -> None:
    write("CanonicalizeHostname yes\nCanonicalDomains invalid\nCanonicalizeFallbackLocal no\nHost pi\n  Port 9\n")
    assert way(names=False).port == 9
    with pytest.raises(BoardError, match=r"pi is in none of the CanonicalDomains"):
        way()


def test_a_host_counts_as_named_only_where_its_block_does() -> None:
    write("Host studio-*\n  Include more\nHost * !x\n  Port 1\n", {"more": "Host lab studio-1\n  Port 3\n"})
    assert [is_host(name) for name in ("lab", "studio-1", "studio-9", "y")] == [False, True, True, False]


def test_a_name_that_can_be_no_host_reaches_no_command(tmp_path: Path) -> None:
    write(f'Match exec "touch {tmp_path}/ran; true %n"\n  Port 9\nHost *[*\n  Port 8\n')
    for name in ("pi;ls", "$(id)", "a b", "[x]", "-o", ""):
        assert not is_host(name)
        with pytest.raises(BoardError, match="is not a host name"):
            way(name)
    assert not (tmp_path / "ran").exists()


def test_the_second_jump_host_is_reached_through_the_first_whatever_its_own_way_is() -> None:
    write("Host pi\n  ProxyJump a,b\nHost b\n  ProxyCommand nc x\nHost b\n  ProxyJump c\n")
    found = way().way
    assert found and [(hop.host, hop.way) for hop in found.hops] == [("a", None), ("b", None)]


def test_a_command_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "EXEC_SECONDS", 0.2)
    write('Host pi\n  Port 9\nMatch exec "sleep 60"\n  User no\n')
    with pytest.raises(BoardError, match=r"~/.ssh/config line 3: the command of `Match exec` does not end"):
        way()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Port 22 23", "port takes one value"),
        ("IdentityFile ~/my keys/pi", "identityfile takes one value; quote spaces"),
        ('IdentityFile "~/my keys', "a quote is not closed"),
        ("IdentityFile ~/%z", "%z means nothing there"),
        ("IdentitiesOnly maybe", "neither yes nor no"),
        ("ConnectTimeout 1x", "write seconds, or 1m30s"),
        ("ConnectTimeout 1 2", "takes one value"),
        ("ConnectTimeout 99999w", "ConnectTimeout is '99999w'; write seconds, or 1m30s"),
        ("ConnectTimeout 2147483648", "write seconds, or 1m30s"),
        (f"ConnectTimeout {'9' * 5000}", r"ConnectTimeout is '9+ \.\.\. \(5002 characters\); write seconds"),
        (f"Port {'9' * 5000}", r"Port is '9+ \.\.\. \(5002 characters\), which is not a number"),
        ("HostName %n", "%n means nothing there"),
        ("ProxyCommand nc %T", "%T means nothing there"),
        ('HostName ""', "takes one value"),
        ("IdentityFile ~nobody-here/a", "begins with the home of a user that there is not"),
        ("UserKnownHostsFile ~%k", "begins with the home of a user that there is not"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_line(line: str, said: str) -> None:
    write(f"Host pi\n  {line}\n")
    with pytest.raises(BoardError, match=rf"^~/.ssh/config line 2: .*{said}"):
        way()


def test_dots_beyond_all_measure_are_no_number_of_dots() -> None:
    write(f"CanonicalizeHostname yes\nCanonicalizeMaxDots {'9' * 5000}\n")
    with pytest.raises(BoardError, match=r"CanonicalizeMaxDots is '9+ \.\.\. .*, which is not a number of dots"):
        way()


def test_the_longest_time_that_ssh_takes_is_waited_for() -> None:
    write(f"Host pi\n  HostName 127.0.0.1\n  Port {free_port()}\n  ConnectTimeout 2147483647\n")
    with pytest.raises(UnreachableError, match="has no SSH server on that port"):
        open_client("pi", way())


def test_a_file_that_others_may_change_is_not_used() -> None:
    (write("Port 9\n") / "config").chmod(0o666)
    with pytest.raises(BoardError, match=r"~/.ssh/config may be changed by others.*chmod 600"):
        way()


def lonely() -> dict[int, bool]:
    """Of this machine's groups, whether the person is the one member."""
    users = pwd.getpwall()
    found = {}
    for group in grp.getgrall():
        ids = {user.pw_uid for user in users if user.pw_gid == group.gr_gid or user.pw_name in group.gr_mem}
        found[group.gr_gid] = ids == {os.getuid()}
    return found


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to any group")
@pytest.mark.parametrize("name", ["config", "more"])
def test_a_file_that_a_group_may_change_is_used_only_where_that_is_the_person_alone(name: str) -> None:
    folder = write("Include more\nPort 9\n", {"more": "User kim\n"})
    for group, alone in lonely().items():
        os.chown(folder / name, 0, group)
        (folder / name).chmod(0o660)
        if alone:
            assert way().port == 9
            continue
        with pytest.raises(BoardError, match=rf"~/.ssh/{name} may be changed by others.*chmod 600"):
            way()
    assert set(lonely().values()) == {True, False}


@with_ssh
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to any group")
def test_ssh_itself_uses_no_file_that_a_group_of_others_may_change() -> None:
    home = write("Port 9\n").parent
    os.chown(home / ".ssh/config", 0, next(group for group, alone in lonely().items() if not alone))
    (home / ".ssh/config").chmod(0o660)
    theirs, refused = ask_ssh(home, "pi")
    assert not theirs and "Bad owner or permissions" in refused


def test_zero_seconds_are_the_usual_ones() -> None:
    write("ConnectTimeout 0\n")
    assert (way().way or Way()).seconds == CONNECT_SECONDS


def test_tokens_reach_jump_hosts_commands_and_the_user() -> None:
    write("Host pi\n  User k-%n\n  ProxyJump %r@%h.gate\nHost bela\n  ProxyCommand nc %h %p %r %n %k %%\n  User kim\n")
    jumped = way("pi").way
    assert jumped and (jumped.hops[0].user, jumped.hops[0].host) == ("k-pi", "pi.gate")
    through = way("bela").way
    assert through and through.command == "nc bela 22 kim bela bela %"


@with_ssh
def test_no_mutant_does_worse_than_be_refused(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "box").mkdir()
    counts = fuzz(tmp_path / "box", 150, 0, said.append)
    assert said == [], table(counts, OUTCOMES)
    by_outcome = {outcome: sum(n for (_, found), n in counts.items() if found == outcome) for outcome in OUTCOMES}
    assert sum(by_outcome.values()) == 150 and by_outcome[SAME] > 50
