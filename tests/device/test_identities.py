"""Keys and their certificates, in files and in an agent, shown to a real OpenSSH server that trusts their authority."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openssh import openssh
from tonearm.device.errors import UnreachableError
from tonearm.device.prompts import answering
from tonearm.device.ssh.client import open_client
from tonearm.device.ssh.endpoint import Endpoint, Way


def keygen(*arguments: object) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True, capture_output=True)


def make_key(path: Path, kind: str = "ed25519", phrase: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    keygen("-t", kind, "-N", phrase, "-f", path)
    return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Iterator[Endpoint]:
    """A server that knows no key, but an authority."""
    folder = tmp_path_factory.mktemp("server")
    with openssh(folder, f'TrustedUserCAKeys "{authority}.pub"') as there:
        (folder / "authorized").write_text("")
        (folder / "known").write_text(f"[127.0.0.1]:{there.port} {there.host_key}\n")
        yield there


def sign(authority: Path, key: Path, to: Path | None = None, name: str = "") -> Path:
    """A certificate for a key, beside it or elsewhere."""
    keygen("-s", authority, "-I", "me", "-n", name or getpass.getuser(), "-V", "+1d", f"{key}.pub")
    made = key.with_name(f"{key.name}-cert.pub")
    return made.rename(to) if to else made


def opens(there: Endpoint, **way: object) -> bool:
    """Whether we are let in by the keys that `way` says."""
    known = (Path(there.key_file or "").parent / "known",)
    own = Way(**{"agent": "none", "known_hosts": known, "global_known_hosts": (), **way})  # type: ignore[arg-type]
    try:
        open_client("pi", Endpoint(there.host, there.port, there.user, None, None, own)).close()
    except UnreachableError as error:
        assert "login as" in str(error), error
        return False
    return True


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_elsewhere_and_one_beside_the_key_let_us_in(
    server: Endpoint, authority: Path, tmp_path: Path, kind: str
) -> None:
    key = make_key(tmp_path / "key", kind)
    assert not opens(server, identities=(key,))
    elsewhere = sign(authority, key, tmp_path / "today")
    assert opens(server, identities=(key,), certificates=(tmp_path / "nothing", elsewhere), identities_only=True)
    assert not opens(server, identities=(key,))
    sign(authority, key)
    assert opens(server, identities=(key,))


def test_a_certificate_beside_one_of_the_usual_keys_lets_us_in(server: Endpoint, authority: Path) -> None:
    key = make_key(Path("~/.ssh/id_ed25519").expanduser())
    sign(authority, key)
    assert opens(server)


def test_certificates_that_do_not_count_leave_the_key_itself_to_be_tried(tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    authority = make_key(tmp_path / "wrong" / "ca")
    with openssh(tmp_path / "server") as there:
        (tmp_path / "server" / "known").write_text(f"[127.0.0.1]:{there.port} {there.host_key}\n")
        key = there.key_file or Path()
        (key.with_name(key.name + ".pub")).write_text((tmp_path / "server" / "authorized").read_text())
        made = sign(authority, key)
        assert opens(there, identities=(key,))
        made.write_text("ssh-ed25519-cert-v01@openssh.com AAAA nonsense\n")
        assert opens(there, identities=(key,))
        made.write_text("")
        assert opens(there, identities=(key,), certificates=(made, tmp_path / "wrong" / "ca.pub"))


def test_a_key_with_a_passphrase_has_its_certificate_too(server: Endpoint, authority: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", phrase="correct horse")
    sign(authority, key)
    with answering(lambda question, secret: "correct horse"):
        assert opens(server, identities=(key,))


@contextlib.contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[str]:
    """An agent of our own that holds these keys; its socket."""
    sock = folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            assert process.poll() is None
        for key in keys:
            environment = {**os.environ, "SSH_AUTH_SOCK": str(sock)}
            subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True)
        yield str(sock)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_the_agents_key_goes_with_a_certificate_in_a_file(
    server: Endpoint, authority: Path, tmp_path: Path, kind: str
) -> None:
    key = make_key(tmp_path / "key", kind)
    with agent(tmp_path, key) as sock:
        key.unlink()
        made = sign(authority, key)
        assert not opens(server, agent=sock, identities=())
        assert opens(server, agent=sock, certificates=(made,))
        assert opens(server, agent=sock, identities=(key,), identities_only=True)
        assert opens(server, agent=sock, identities=(tmp_path / "key.pub",), certificates=(made,), identities_only=True)
        assert not opens(server, agent=sock, identities=(tmp_path / "other",), identities_only=True)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_agent_has_the_certificate(server: Endpoint, authority: Path, tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path / "key", kind)
    made = sign(authority, key)
    with agent(tmp_path, key) as sock:
        certificate = made.read_text()
        subprocess.run(["ssh-add", "-q", "-k", "-d", key], env={**os.environ, "SSH_AUTH_SOCK": sock}, check=True)
        for path in (key, made, tmp_path / "key.pub"):
            path.unlink()
        assert opens(server, agent=sock), "it has the certificate alone, as some services give it to agents"
        made.write_text(certificate)
        assert opens(server, agent=sock, certificates=(made,), identities_only=True)


def test_two_keys_in_turn_are_shown_where_two_are_wanted(tmp_path: Path) -> None:
    keys = [make_key(tmp_path / name) for name in "ab"]
    with openssh(tmp_path / "server", "AuthenticationMethods publickey,publickey") as there:
        (tmp_path / "server" / "authorized").write_text("".join(Path(f"{key}.pub").read_text() for key in keys))
        (tmp_path / "server" / "known").write_text(f"[127.0.0.1]:{there.port} {there.host_key}\n")
        assert opens(there, identities=tuple(keys))
        assert not opens(there, identities=(keys[0],))
