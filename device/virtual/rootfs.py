"""A runnable Debian arm64 root tree, unpacked from signed packages by an ordinary user.

No debootstrap, no emulation, no root: apt works in a private folder with an empty package database, downloads
what the board needs, and tar unpacks it. What the packages' own scripts would have done is done by hand in
`image.py`. The mirror is the one this host is set up with.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import DeviceError, ImageError

SUITE = "bookworm"
PYTHON_VERSION = (3, 11)  # the suite's python3
MIRROR_VARIABLE = "TONEARM_DEBIAN_MIRROR"

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SUITES = {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}
_KERNEL = "linux-image-cloud-arm64"
_SYSTEM = ["base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "gzip", "hostname"]
_TOOLS = ["iproute2", "kmod", "libc-bin", "mount", "openssh-server", "procps", "sed", "tar", "util-linux"]
_PYTHON = ["python3", "libstdc++6", "libgomp1"]  # the libraries are for wheels: onnxruntime's needs the first
_LEFT_OUT = (
    "./usr/share/doc/*",
    "./usr/share/i18n/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./usr/share/perl*",
    "./usr/lib/*/perl*",
    "./usr/lib/*/gconv/*",
    "./usr/lib/udev/hwdb.d/*",
)


def run_program(
    arguments: Sequence[str | Path],
    timeout_s: float,
    error: type[DeviceError] = ImageError,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    given: str = "",
) -> str:
    """Run a host program in `folder` with `given` as its standard input, and return its standard output.

    Raises `error`, with what the program said on stderr, when it is missing, fails, or takes too long.
    """
    words = [str(argument) for argument in arguments]
    options = {"env": program_environment() | (environment or {}), "cwd": folder, "timeout": timeout_s}
    try:
        done = subprocess.run(words, input=given, check=True, capture_output=True, text=True, **options)
    except FileNotFoundError as exc:
        raise error(f"{words[0]} is not installed on this machine") from exc
    except subprocess.TimeoutExpired as exc:
        raise error(f"{words[0]} took longer than {timeout_s:g} s and was stopped") from exc
    except subprocess.CalledProcessError as exc:
        raise error(f"{words[0]} failed ({exc.returncode}):\n{exc.stderr.strip()}") from exc
    return done.stdout


def program_environment() -> dict[str, str]:
    """Give this process's environment for a host program: messages in English, and the sbin folders on PATH.

    mke2fs lives in an sbin folder, and an ordinary user's PATH has none.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return dict(os.environ) | {"PATH": path, "LC_ALL": "C"}


def has_program(name: str) -> bool:
    """Say whether `run_program` would find `name`."""
    return shutil.which(name, path=program_environment()["PATH"]) is not None


def has_keyring() -> bool:
    """Say whether the keys that sign Debian's packages are on this host."""
    return _KEYRING.exists()


def debian_mirror() -> str:
    """Give the address of the Debian mirror: TONEARM_DEBIAN_MIRROR, or the one this host's apt uses.

    Raises ImageError when there is neither.
    """
    mirror = os.environ.get(MIRROR_VARIABLE) or _listed_mirror() or _configured_mirror()
    if not mirror:
        raise ImageError(f"this machine's apt names no Debian mirror: set {MIRROR_VARIABLE} to the address of one")
    return mirror


def _listed_mirror() -> str | None:
    """Ask apt, which knows every repository's origin once its lists were fetched."""
    layout = "$(ORIGIN)\t$(CODENAME)\t$(COMPONENT)\t$(REPO_URI)"
    for line in run_program(["apt-get", "indextargets", "--format", layout], 60).splitlines():
        origin, codename, component, address = line.split("\t")
        if origin == "Debian" and codename in _SUITES and component == "main":
            return address
    return None


def _configured_mirror() -> str | None:
    """Read apt's source files, for a host whose lists were never fetched (a fresh container)."""
    for address, suites, components in _sources(Path("/etc/apt")):
        if "main" in components and _SUITES.intersection(suites):
            return address
    return None


def _sources(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Read every repository that is switched on as (address, suites, components)."""
    for file in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))):
        if file.exists():
            yield from _one_line_sources(file.read_text())
    for file in sorted(folder.glob("sources.list.d/*.sources")):
        yield from _deb822_sources(file.read_text())


def _one_line_sources(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Read `deb [options] address suite component...` lines as (address, suites, components)."""
    for line in re.findall(r"^\s*deb\s+(?:\[[^\]]*\]\s+)?([^#\n]+)", text, re.MULTILINE):
        address, suite, *components = line.split()
        yield address, [suite], components


def _deb822_sources(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Read `Types: deb` paragraphs as (first address, suites, components)."""
    text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        fields = {key.lower(): value.split() for key, value in re.findall(r"^([\w-]+):(.*)", paragraph, re.M)}
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"] and fields.get("uris"):
            yield fields["uris"][0], fields.get("suites", []), fields.get("components", [])


def fetch_lists(folder: Path) -> None:
    """Set up a private apt for the board in `folder` and fetch the signed package lists."""
    if not has_program("apt-get"):
        raise ImageError("the virtual board is made of Debian packages, and this machine has no apt-get")
    if not has_keyring():
        raise ImageError(f"{_KEYRING} is missing: install the package debian-archive-keyring")
    state = ("var/lib/dpkg", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial")
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", *state):
        (folder / name).mkdir(parents=True)
    (folder / "var/lib/dpkg/status").touch()
    source = f"deb [signed-by={_KEYRING}] {debian_mirror()} {SUITE} main\n"
    (folder / "etc/apt/sources.list").write_text(source)
    (folder / "apt.conf").write_text(_apt_configuration(folder))
    _apt(folder, "update", "--error-on=any")


def _apt_configuration(folder: Path) -> str:
    """Point apt at `folder` alone; how this host reaches its mirrors (proxies, clock) stays as it is."""
    own = [
        f'Dir "{folder}/"; Dir::State::status "{folder}/var/lib/dpkg/status";',
        'APT::Architecture "arm64"; APT::Architectures { "arm64"; }; APT::Install-Recommends "false";',
        'Acquire::Languages "none"; Acquire::IndexTargets::deb::Packages::KeepCompressed "true";',
        # Downloads by root stay root's: apt's own user can't enter a private folder.
        'APT::Sandbox::User "root";',
    ]
    carried = re.compile(r'Acquire::(?!.*Verify)(https?|Retries|Check-Date)\b.* ".+";')
    host = [line for line in run_program(["apt-config", "dump"], 60).splitlines() if carried.match(line)]
    return "\n".join(own + host) + "\n"


def _apt(folder: Path, *arguments: str, where: Path | None = None) -> str:
    configuration = {"APT_CONFIG": str(folder / "apt.conf")}
    try:
        return run_program(["apt-get", "-q", "-y", *arguments], 900, environment=configuration, folder=where)
    except ImageError as exc:
        hint = f"(another mirror can be named in {MIRROR_VARIABLE})"
        raise ImageError(f"no packages of {SUITE} for arm64 from this mirror: {exc}\n{hint}") from exc


def download_packages(folder: Path) -> None:
    """Download the board's packages, and the kernel and busybox into `folder`/boot; apt checks every hash."""
    _apt(folder, "install", "--download-only", *_SYSTEM, *_TOOLS, *_PYTHON)
    boot = folder / "boot"
    boot.mkdir()
    # The cloud kernel has all that a virtual machine needs in a sixth of the size of the full one.
    _apt(folder, "download", _kernel_package(folder), "busybox-static", where=boot)


def _kernel_package(folder: Path) -> str:
    """Ask apt which kernel the meta-package stands for today."""
    configuration = {"APT_CONFIG": str(folder / "apt.conf")}
    shown = run_program(["apt-cache", "show", _KERNEL], 60, environment=configuration)
    depends = re.search(r"^Depends: (linux-image-[\w.+-]+)", shown, re.MULTILINE)
    if depends is None:
        raise ImageError(f"{_KERNEL} names no kernel in the package lists of {SUITE}")
    return depends.group(1)


def unpack_root(folder: Path, root: Path) -> None:
    """Unpack the downloaded packages into the new folder `root`, without what a board never reads."""
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    packages = sorted(folder.glob("var/cache/apt/archives/*.deb"))
    exclusions = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda package: _unpack(package, root, exclusions), packages))


def unpack_boot(folder: Path, root: Path) -> None:
    """Unpack the kernel, its modules and busybox into the new folder `root`."""
    root.mkdir()
    for package in sorted(folder.glob("boot/*.deb")):
        _unpack(package, root, ["--exclude=./usr/share/*"])


def _unpack(package: Path, root: Path, options: Sequence[str]) -> None:
    """Pipe a package's files to tar, modes kept whatever the umask, links to folders followed."""
    read = ["dpkg-deb", "--fsys-tarfile", package]
    tar = ["tar", "-x", "-p", "-C", root, "--keep-directory-symlink", "--no-same-owner", "--warning=none"]
    with subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        try:
            done = subprocess.run([*tar, *options], stdin=reader.stdout, capture_output=True, timeout=300)
        except subprocess.TimeoutExpired as exc:
            raise ImageError(f"unpacking {package.name} took longer than 300 s and was stopped") from exc
        said = done.stderr + _last_words(reader)
    if done.returncode or reader.returncode:
        raise ImageError(f"{package.name} could not be unpacked:\n{said.decode(errors='replace').strip()}")


def _last_words(reader: subprocess.Popen[bytes]) -> bytes:
    """Close a program's output, so that it ends even if nobody read all of it, and give its stderr."""
    if reader.stdout:
        reader.stdout.close()
    return reader.stderr.read() if reader.stderr else b""
