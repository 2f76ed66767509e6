"""What the READMEs say is so: commands run or are understood, links lead somewhere, no sub-package is missing."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from commands import tonearm
from places import ROOT
from tonearm.bench.parser import parser

FOLDERS = ("models", "export", "runtime", "device", "bench")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), *sorted((ROOT / ".github").rglob("*.md"))]
README = (ROOT / "README.md").read_text()
COMMAND_SECONDS = 600


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def session() -> list[list[str]]:
    """The commands of the console block, as words."""
    block = re.search(r"```console\n(.*?)```", README, re.DOTALL)
    assert block
    return [shlex.split(line[2:]) for line in block[1].splitlines() if line.startswith("$ ")]


@pytest.mark.slow
@pytest.mark.virtual
def test_every_command_of_the_session_ends_well(tmp_path: Path) -> None:
    (tmp_path / "bench").symlink_to(ROOT / "bench")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = session()
    assert len(commands) >= 5
    try:
        for command in commands:
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
            )
            assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
    finally:
        subprocess.run([f"{Path(sys.executable).parent}/tonearm", "board", "down", "virtual"], timeout=60, check=True)
    assert (tmp_path / "phrase.wav").stat().st_size > 100_000
    assert (tmp_path / "results.csv").is_file()


def blocks(page: Path, *languages: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for kind, text in fenced if kind in languages]


def written_commands(page: Path) -> list[list[str]]:
    """The lines `tonearm ...` of a page's blocks, up to a pipe, as words."""
    lines = [line for block in blocks(page, "", "console", "sh") for line in block.splitlines()]
    found = [line.removeprefix("$ ").split(" | ")[0] for line in lines if re.match(r"(\$ )?tonearm ", line)]
    return [shlex.split(line, comments=True)[1:] for line in found]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for command in written_commands(page):
        try:
            parser().parse_args(command)
        except SystemExit as ended:
            assert ended.code == 0, f"tonearm {shlex.join(command)}"


def test_the_pages_that_teach_commands_hold_some() -> None:
    for folder, least in {"models": 5, "export": 3, "device": 10, "bench": 8}.items():
        assert len(written_commands(ROOT / folder / "README.md")) >= least, folder


def test_options_within_the_text_are_options() -> None:
    sources = "".join(path.read_text() for path in ROOT.glob("bench/**/*.py"))
    for page in PAGES[:1] + [ROOT / folder / "README.md" for folder in ("models", "export", "device", "bench")]:
        for option in re.findall(r"`(--[a-z][a-z-]+)", page.read_text()):
            assert f'"{option}"' in sources, f"{name(page)}: {option}"


def test_the_example_of_the_runtime_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tonearm("export", "hpn-reduced-flute", "--block", 64)
    (example,) = blocks(ROOT / "runtime" / "README.md", "python")
    spoken = "import numpy\nassert block.shape == (64,) and numpy.ptp(block) > 0.01"
    subprocess.run(
        [sys.executable, "-c", example.replace("\nstream.reset()", f"\n{spoken}\nstream.reset()")],
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_sub_package_is_named_in_its_folders_page(folder: str) -> None:
    page = (ROOT / folder / "README.md").read_text()
    for path in (ROOT / folder).iterdir():
        if path.is_dir() and any(path.glob("*.py")):
            assert f"- `{path.name}/`: " in page, f"{folder}/README.md does not name {path.name}/"


def test_the_files_of_the_main_path_are_there() -> None:
    block = re.search(r"## The main path\n\n```\n(.*?)```", README, re.DOTALL)
    assert block
    files = re.findall(r"[a-z_/]+\.py", block[1])
    assert len(files) >= 8
    assert [file for file in files if not (ROOT / file).is_file()] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        to = page.parent / path if path else page
        assert to.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(to), f"{name(page)}: {link}"


def test_the_first_page_is_read_in_one_go() -> None:
    assert len(README.splitlines()) < 200


def test_no_two_paragraphs_begin_alike() -> None:
    text = [re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE) for page in PAGES]
    paragraphs = [part.strip() for page in text for part in page.split("\n\n")]
    begins = Counter(" ".join(part.split()[:6]) for part in paragraphs if part and not part.startswith(("#", "|")))
    assert [begin for begin, times in begins.items() if times > 1] == []
