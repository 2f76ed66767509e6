"""Host certificates: an authority's word for a server's key counts as it does for ssh, and never unproven."""

from __future__ import annotations

import base64
import getpass
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paramiko
import pytest
from openssh import free_port, power_off, start
from paramiko.pkey import PublicBlob
from tonearm.device.errors import HostKeyError
from tonearm.device.ssh.client import open_client
from tonearm.device.ssh.endpoint import Endpoint, Way
from tonearm.device.ssh.hostcerts import shown_certificate
from tonearm.device.ssh.hostkeys import check_key
from tonearm.device.ssh.keys import ensure_key

DAY = ("-V", "-1d:+1d")
HERE = ("-n", "127.0.0.1", *DAY)


def keygen(*arguments: object) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True, capture_output=True)


def make_key(path: Path, kind: str = "ed25519") -> str:
    """A key of ssh-keygen's; its public half as a line."""
    keygen("-t", kind, "-N", "", "-f", path)
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


class Board:
    """A server with a certificate, as a person made it who has an authority of that kind."""

    def __init__(self, folder: Path, kind: str, authority: str, options: Sequence[str]) -> None:
        self.folder, self.port = folder, free_port()
        self.authority = make_key(folder / "ca", authority)
        self.key = make_key(folder / "hk", kind)
        keygen("-s", folder / "ca", "-I", "board", "-h", *options, folder / "hk.pub")
        self.certificate = " ".join((folder / "hk-cert.pub").read_text().split()[:2])
        lines = (f'HostKey "{folder}/hk"', f'HostCertificate "{folder}/hk-cert.pub"')
        self.server = start(folder, self.port, *lines)

    def known(self, text: str) -> None:
        """Make that the file of known hosts; names in braces stand for what the board has."""
        said = {"ca": self.authority, "key": self.key, "port": self.port, "certificate": self.certificate}
        for name, value in said.items():
            text = text.replace(f"{{{name}}}", str(value))
        (self.folder / "known").write_text(text)

    def endpoint(self, **way: object) -> Endpoint:
        own = Way(agent="none", known_hosts=(self.folder / "known",), global_known_hosts=(), **way)  # type: ignore[arg-type]
        return Endpoint("127.0.0.1", self.port, getpass.getuser(), self.folder / "user_key", None, own)

    def opens(self, **way: object) -> bool:
        """Whether we let ourselves in."""
        try:
            open_client("pi", self.endpoint(**way)).close()
        except HostKeyError:
            return False
        return True

    def opens_for_ssh(self, *options: str) -> bool:
        """Whether ssh does."""
        said = [f"UserKnownHostsFile={self.folder}/known", "StrictHostKeyChecking=yes", "BatchMode=yes", *options]
        flags = [part for option in ["GlobalKnownHostsFile=none", *said] for part in ("-o", option)]
        command = ["ssh", "-F", "none", "-i", str(self.folder / "user_key"), "-p", str(self.port), *flags]
        done = subprocess.run(
            [*command, "127.0.0.1", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert done.returncode == 0 or b"Host key verification failed" in done.stderr, done.stderr
        return done.returncode == 0


@pytest.mark.parametrize("authority", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_of_a_known_authority_needs_no_question(tmp_path: Path, kind: str, authority: str) -> None:
    board = Board(tmp_path, kind, authority, HERE)
    try:
        board.known("@cert-authority * {ca}\n")
        assert board.opens_for_ssh()
        assert board.opens()
    finally:
        power_off(board.server)


CASES = {
    "by a name with a port": ("@cert-authority [127.0.0.1]:{port} {ca}\n", True),
    "by the name alone": ("@cert-authority 127.0.0.* {ca}\n", True),
    "not this host": ("@cert-authority *.local {ca}\n", False),
    "negated": ("@cert-authority *,![127.0.0.1]:*,!127.* {ca}\n", False),
    "the authority as a plain key": ("* {ca}\n", False),
    "the key as an authority": ("@cert-authority * {key}\n", False),
    "the plain key": ("[127.0.0.1]:{port} {key}\n", True),
    "the plain key by the name alone": ("127.0.0.1 {key}\n", True),
    "another plain key and the authority": ("[127.0.0.1]:{port} {ca}\n@cert-authority * {ca}\n", True),
    "the authority is revoked": ("@cert-authority * {ca}\n@revoked * {ca}\n", False),
    "the key is revoked": ("@cert-authority * {ca}\n@revoked * {key}\n", False),
    "the key is known, the authority revoked": ("* {key}\n@revoked * {ca}\n", False),
    "the certificate is revoked": ("@cert-authority * {ca}\n@revoked * {certificate}\n", False),
    "the key is known, its certificate revoked": ("* {key}\n@revoked * {certificate}\n", False),
    "an unknown marker": ("@certauthority * {ca}\n", False),
    "nothing": ("", False),
}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A server whose certificate is as it should be."""
    board = Board(tmp_path_factory.mktemp("board"), "ed25519", "ed25519", HERE)
    yield board
    power_off(board.server)


@pytest.mark.parametrize(("lines", "trusted"), CASES.values(), ids=CASES.keys())
def test_known_hosts_says_which_authorities_count_for_which_hosts(board: Board, lines: str, trusted: bool) -> None:
    board.known(lines)
    assert board.opens_for_ssh() == trusted
    assert board.opens() == trusted


def test_hashed_names_of_an_authority_are_read(board: Board) -> None:
    name = paramiko.HostKeys.hash_host(f"[127.0.0.1]:{board.port}")
    board.known(f"@cert-authority {name} {{ca}}\n")
    assert board.opens_for_ssh() and board.opens()


def test_the_certificate_is_asked_for_by_the_alias(board: Board) -> None:
    board.known("@cert-authority stage {ca}\n")
    assert not board.opens_for_ssh("HostKeyAlias=stage")
    with pytest.raises(HostKeyError, match=r"certificate is not for stage, but for 127.0.0.1"):
        open_client("pi", board.endpoint(alias="stage"))


def listing(folder: Path, kind: str, about: str) -> Path:
    """A list of revoked keys, as text or as ssh-keygen makes it."""
    path = folder / "revoked"
    path.unlink(missing_ok=True)
    if kind == "text":
        path.write_text(f"# gone\n{(folder / about).read_text()}")
    elif about.endswith("serial"):
        (folder / "spec").write_text("id: board\n")
        keygen("-k", "-f", path, "-s", folder / "ca.pub", folder / "spec")
    else:
        keygen("-k", "-f", path, folder / about)
    return path


@pytest.mark.parametrize(
    ("kind", "about", "trusted"),
    [
        *[(kind, about, False) for kind in ("text", "krl") for about in ("hk.pub", "ca.pub")],
        *[(kind, "hk-cert.pub", False) for kind in ("text", "krl")],
        *[(kind, "user_key.pub", True) for kind in ("text", "krl")],
        ("krl", "by serial", False),
    ],
)
def test_lists_of_revoked_keys_are_obeyed(board: Board, kind: str, about: str, trusted: bool) -> None:
    (board.folder / "user_key.pub").write_text(ensure_key(board.folder / "user_key") + "\n")
    board.known("@cert-authority * {ca}\n")
    path = listing(board.folder, kind, about)
    assert board.opens_for_ssh(f"RevokedHostKeys={path}") == trusted
    assert board.opens(revoked=(path,)) == trusted


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_is_revoked_by_any_certificate_of_it(tmp_path: Path, kind: str) -> None:
    board = Board(tmp_path, kind, "rsa", HERE)
    board.known("* {key}\n")
    try:
        path = listing(tmp_path, "text", "hk-cert.pub")
        assert not board.opens_for_ssh(f"RevokedHostKeys={path}")
        assert not board.opens(revoked=(path,))
    finally:
        power_off(board.server)


BROKEN_LINES: dict[str, Callable[[str, str], str]] = {
    "cut": lambda kind, data: f"{kind} {data[:24]}",
    "in two": lambda kind, data: f"{kind} {data[:20]} {data[20:]}",
    "with more at its end": lambda kind, data: f"{kind} {base64.b64encode(base64.b64decode(data) + b'more').decode()}",
    "of another type": lambda kind, data: f"ecdsa-sha2-nistp256 {data}",
    "without a type": lambda kind, data: data,
    "without data": lambda kind, data: kind,
    "not in base64": lambda kind, data: f"{kind} {data}%",
    "an empty one": lambda kind, data: f"{kind} AAAA",
    "after options": lambda kind, data: f'from="a" {kind} {data}',
    "a certificate, cut": lambda kind, data: f"ssh-ed25519-cert-v01@openssh.com {CUT_CERTIFICATE}",
}
CUT_CERTIFICATE = base64.b64encode((32).to_bytes(4, "big") + b"ssh-ed25519-cert-v01@openssh.com" + bytes(9)).decode()


@pytest.mark.parametrize("line", BROKEN_LINES.values(), ids=BROKEN_LINES.keys())
def test_a_list_with_a_line_that_is_no_key_stops_everything(board: Board, line: Callable[[str, str], str]) -> None:
    board.known("* {key}\n")
    other = ensure_key(board.folder / "another")
    path = board.folder / "revoked"
    path.write_text(f"{other}\n{line(*other.split())}\n")
    assert not board.opens_for_ssh(f"RevokedHostKeys={path}")
    with pytest.raises(HostKeyError, match=r"no server is trusted, as RevokedHostKeys .*revoked can't be read"):
        open_client("pi", board.endpoint(revoked=(path,)))


def test_a_list_may_have_keys_of_every_kind(board: Board) -> None:
    board.known("* {key}\n")
    key = base64.b64encode(b"".join(len(part).to_bytes(4, "big") + part for part in SECURITY_KEY)).decode()
    path = board.folder / "revoked"
    path.write_text(f"# gone\n\n  {SECURITY_KEY[0].decode()}\t{key} on a stick\r\n")
    assert board.opens_for_ssh(f"RevokedHostKeys={path}")
    assert board.opens(revoked=(path,))


SECURITY_KEY = (b"sk-ssh-ed25519@openssh.com", bytes(range(32)), b"ssh:")


def test_a_list_of_revoked_keys_that_is_not_there_stops_everything(board: Board) -> None:
    board.known("@cert-authority * {ca}\n")
    assert not board.opens_for_ssh("RevokedHostKeys=/nowhere")
    with pytest.raises(HostKeyError, match=r"pi: no server is trusted, as RevokedHostKeys /nowhere can't be read"):
        open_client("pi", board.endpoint(revoked=(Path("/nowhere"),)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-n", "127.0.0.1", "-V", "-2d:-1d"), "has expired, on 20"),
        (("-n", "127.0.0.1", "-V", "+1d:+2d"), "is valid only from 20.* on; is the clock right"),
        (("-n", "other.local,pi", *DAY), "is not for 127.0.0.1, but for other.local, pi"),
        ((*HERE, "-O", "critical:force@example.org=x"), "has conditions"),
    ],
)
def test_a_certificate_that_does_not_count_is_refused_with_the_reason(
    tmp_path: Path, options: Sequence[str], said: str
) -> None:
    board = Board(tmp_path, "ed25519", "ed25519", options)
    try:
        board.known("@cert-authority * {ca}\n")
        assert not board.opens_for_ssh()
        with pytest.raises(HostKeyError, match=rf"is not known .*; its certificate {said}.*tonearm board trust pi"):
            open_client("pi", board.endpoint())
        board.known("@cert-authority * {ca}\n* {key}\n")
        assert board.opens_for_ssh() and board.opens(), "its plain key is known"
    finally:
        power_off(board.server)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("-n", "127.0.*"), ""),
        (("-n", "*.local"), "is not for 127.0.0.1, but for *.local"),
        ((), "is not for 127.0.0.1, but for no host at all"),
    ],
)
def test_patterns_and_no_names_at_all_mean_what_they_mean_from_openssh_10_3_on(
    tmp_path: Path, options: Sequence[str], fault: str
) -> None:
    found = shown_certificate(certified(tmp_path, "-h", *options, *DAY), "127.0.0.1")
    assert found and found.fault == fault


def certified(folder: Path, *options: str) -> paramiko.PKey:
    """A host key with its certificate, as a transport finds them."""
    make_key(folder / "ca")
    make_key(folder / "hk")
    keygen("-s", folder / "ca", "-I", "board", *options, folder / "hk.pub")
    key = paramiko.Ed25519Key.from_private_key_file(str(folder / "hk"))
    key.load_certificate(str(folder / "hk-cert.pub"))
    return key


def test_a_certificate_of_a_user_vouches_for_no_host(tmp_path: Path) -> None:
    found = shown_certificate(certified(tmp_path, *HERE), "127.0.0.1")
    assert found and found.fault == "is one for users, not for hosts"


def test_no_changed_byte_of_a_certificate_goes_unnoticed(tmp_path: Path) -> None:
    key = certified(tmp_path, "-h", *HERE)
    fine = shown_certificate(key, "127.0.0.1")
    assert fine and not fine.fault
    blob = getattr(key, "public_blob").key_blob  # noqa: B009  # paramiko declares it too narrowly
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 1
        key.public_blob = PublicBlob("ssh-ed25519-cert-v01@openssh.com", bytes(changed))
        found = shown_certificate(key, "127.0.0.1")
        assert found and (found.fault or found.authority != fine.authority), place


def test_a_certificate_about_another_key_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    key, other = certified(tmp_path, "-h", *HERE), certified(tmp_path / "other", "-h", *HERE)
    other.public_blob = key.public_blob  # pyright: ignore[reportAttributeAccessIssue]
    line = (tmp_path / "ca.pub").read_text().strip()
    (tmp_path / "known").write_text(f"@cert-authority * {line}\n")
    there = Endpoint("127.0.0.1", 22, "kim", None, None, Way(known_hosts=(tmp_path / "known",), global_known_hosts=()))
    check_key("pi", there, key)
    with pytest.raises(HostKeyError, match="its certificate is about another key"):
        check_key("pi", there, other)


def test_a_signature_of_an_authority_with_sha_1_does_not_count(tmp_path: Path) -> None:
    make_key(tmp_path / "ca", "rsa")
    make_key(tmp_path / "hk")
    keygen("-s", tmp_path / "ca", "-t", "ssh-rsa", "-I", "board", "-h", *HERE, tmp_path / "hk.pub")
    key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "hk"))
    key.load_certificate(str(tmp_path / "hk-cert.pub"))
    found = shown_certificate(key, "127.0.0.1")
    assert found and found.fault == "is signed with SHA-1"
    assert base64.b64decode((tmp_path / "ca.pub").read_text().split()[1]) == found.authority
