"""Host keys: who a server must be, as known_hosts says in all the ways it is written."""

from __future__ import annotations

import base64
import stat
import subprocess
from pathlib import Path

import paramiko
import pytest
from tonearm.device.errors import HostKeyError
from tonearm.device.prompts import answering
from tonearm.device.ssh.endpoint import Endpoint, Way
from tonearm.device.ssh.hostkeys import check_key, fingerprint, known_keys, remember
from tonearm.device.ssh.keys import ensure_key
from tonearm.device.ssh.transport import preferred

PI = Endpoint("Pi.local", 22, "pi", None, None)


def known_hosts() -> Path:
    path = Path("~/.ssh/known_hosts").expanduser()
    path.parent.mkdir(exist_ok=True)
    return path


@pytest.fixture
def line(tmp_path: Path) -> str:
    """A server's public key."""
    return ensure_key(tmp_path / "host_key")


def key_of(line: str) -> paramiko.PKey:
    kind, data = line.split()
    return paramiko.PKey.from_type_string(kind, base64.b64decode(data))


@pytest.mark.parametrize(
    ("names", "about"),
    [
        ("pi.local", True),
        ("PI.LOCAL,10.0.0.7", True),
        ("*.local", True),
        ("p?.local", True),
        ("*.local,!pi.local", False),
        ("[pi.local]:22", False),
        ("pi.local.evil", False),
        ("|1|broken", False),
        ("|1|AAAA|AAAA", False),
    ],
)
def test_a_line_is_about_the_hosts_that_its_patterns_name(line: str, names: str, about: bool) -> None:
    known_hosts().write_text(f"# {names} {line}\n\n{names} {line} a comment\n")
    assert len(known_keys(PI)) == about


def test_a_hashed_line_as_ssh_keygen_makes_it_is_read(line: str) -> None:
    path = known_hosts()
    path.write_text(f"pi.local {line}\n[10.0.0.7]:2222 {line}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert "pi.local" not in path.read_text()
    check_key("pi", PI, key_of(line))
    check_key("pi", Endpoint("10.0.0.7", 2222, "pi", None, None), key_of(line))


@pytest.mark.parametrize("way", [Way(), Way(hash_names=True), Way(alias="stage")])
@pytest.mark.parametrize("port", [22, 2222])
def test_what_is_remembered_is_what_ssh_keygen_finds(line: str, way: Way, port: int) -> None:
    endpoint = Endpoint("fe80::1", port, "pi", None, None, way)
    known_hosts().write_text("# the last line has no end")
    path = remember(endpoint, key_of(line))
    name = "stage" if way.alias else "fe80::1" if port == 22 else "[fe80::1]:2222"
    found = subprocess.run(["ssh-keygen", "-F", name, "-f", str(path)], check=True, capture_output=True, text=True)
    assert line in found.stdout
    assert ("fe80" in path.read_text()) == (not way.hash_names and not way.alias)
    check_key("pi", endpoint, key_of(line))


def test_known_hosts_is_made_for_its_owner_alone(line: str) -> None:
    path = remember(PI, key_of(line))
    assert [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent)] == [0o600, 0o700]
    assert path == known_hosts()


@pytest.mark.parametrize(("answer", "trusted"), [("y", True), ("YES ", True), ("n", False), ("", False), (None, False)])
def test_only_a_yes_is_a_yes(line: str, answer: str | None, trusted: bool) -> None:
    asked: list[str] = []

    def person(question: str, secret: bool) -> str | None:
        asked.append(question)
        return answer

    with answering(person):
        if trusted:
            check_key("pi", PI, key_of(line), trust=True)
        else:
            with pytest.raises(HostKeyError):
                check_key("pi", PI, key_of(line), trust=True)
    assert known_hosts().exists() == trusted
    assert fingerprint(key_of(line).asbytes()) in asked[0]
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in asked[0]


def test_a_changed_and_a_revoked_key_are_never_asked_about(line: str, tmp_path: Path) -> None:
    other = ensure_key(tmp_path / "other")
    for text, said in ((f"pi.local {other}\n", "CHANGED"), (f"@revoked pi.local {line}\npi.local {line}\n", "REVOKED")):
        known_hosts().write_text(text)
        with answering(lambda question, secret: "y"), pytest.raises(HostKeyError, match=said):
            check_key("pi", PI, key_of(line), trust=True)
        assert known_hosts().read_text() == text


def test_a_known_key_of_another_kind_alone_counts_as_changed(line: str) -> None:
    rsa = paramiko.RSAKey.generate(1024)
    known_hosts().write_text(f"pi.local {rsa.get_name()} {rsa.get_base64()}\n")
    with pytest.raises(HostKeyError, match="CHANGED"):
        check_key("pi", PI, key_of(line), trust=True)


def test_kinds_that_are_known_come_first_and_none_is_lost() -> None:
    offered = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]
    rsa = paramiko.RSAKey.generate(1024)
    known_hosts().write_text(f"pi.local ssh-rsa {rsa.get_base64()}\n")
    assert preferred(offered, known_keys(PI)) == [*offered[2:], *offered[:2]]
    assert preferred(offered, []) == offered


def test_a_certificate_authority_is_no_key_and_a_remark_says_so(line: str) -> None:
    known_hosts().write_text(f"@cert-authority *.local {line}\n")
    with pytest.raises(HostKeyError, match=r"is not known .*it shows no certificate, though known_hosts names an auth"):
        check_key("pi", PI, key_of(line))


def test_a_line_that_makes_no_sense_is_named(line: str) -> None:
    known_hosts().write_text("pi.local ssh-ed25519 AAAA%%%\n")
    with pytest.raises(HostKeyError, match=r"known_hosts can't be read: pi.local ssh-ed25519 AAAA%%%"):
        known_keys(PI)
