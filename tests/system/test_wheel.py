"""The wheel holds the five folders, whole, and nothing else."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import ROOT

FOLDERS = ("bench", "device", "export", "models", "runtime")
DATA = {".py", ".csv", ".flac", ".j2", ".json", ".safetensors", ".typed"}


def sources() -> list[str]:
    """The files of the project: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files in a folder of their own, as a fresh clone has them."""
    folder = tmp_path_factory.mktemp("project") / "tonearm"
    for name in sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is in the wheel, by name."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copied)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = out.glob("tonearm-*-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def information(wheel: dict[str, bytes], name: str) -> bytes:
    """A file of the wheel's .dist-info."""
    [content] = [wheel[entry] for entry in wheel if entry.split("/", 1)[0].endswith(".dist-info") and name in entry]
    return content


def test_the_wheel_holds_every_source_and_nothing_else(wheel: dict[str, bytes], copied: Path) -> None:
    tree = {path.relative_to(copied) for folder in FOLDERS for path in (copied / folder).rglob("*")}
    wanted = {f"tonearm/{path}" for path in tree if path.suffix in DATA}
    assert {name for name in wheel if ".dist-info/" not in name} == wanted
    assert {f"tonearm/{folder}/py.typed" for folder in FOLDERS} < wanted


def test_every_file_of_the_five_folders_travels(wheel: dict[str, bytes]) -> None:
    travels = [name for name in sources() if name.split("/")[0] in FOLDERS and not name.endswith("/README.md")]
    left = [name for name in travels if f"tonearm/{name}" not in wheel]
    assert not left, f"not in the wheel: {left}; see package-data in pyproject.toml"


def test_what_travels_is_unchanged(wheel: dict[str, bytes], copied: Path) -> None:
    for name, content in wheel.items():
        if ".dist-info/" not in name:
            assert content == (copied / name.removeprefix("tonearm/")).read_bytes(), name


def test_about_itself_the_wheel_says_only_what_installers_read(wheel: dict[str, bytes]) -> None:
    about = {name.split(".dist-info/")[1] for name in wheel if ".dist-info/" in name}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}


def test_the_license_travels(wheel: dict[str, bytes]) -> None:
    assert information(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    metadata = email.message_from_bytes(information(wheel, "METADATA"))
    assert (metadata["Name"], metadata["License-Expression"]) == ("tonearm", "Apache-2.0")


def test_the_command_is_tonearm(wheel: dict[str, bytes]) -> None:
    lines = information(wheel, "entry_points.txt").decode().split("\n")
    assert [line for line in lines if line] == ["[console_scripts]", "tonearm = tonearm.bench.cli:main"]


def test_one_name_goes_into_site_packages(wheel: dict[str, bytes]) -> None:
    assert information(wheel, "top_level.txt").decode().split() == ["tonearm"]
