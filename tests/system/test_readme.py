"""What the README says is so: its commands run, its rooms are the rooms."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

README = (ROOT / "README.md").read_text()
COMMAND_SECONDS = 600


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


def test_every_room_is_named_with_its_docstring() -> None:
    for package in sorted(path.parent for path in ROOT.glob("[!.]*/**/__init__.py")):
        about = (ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or "").splitlines()[0]
        assert f"- `{package.relative_to(ROOT)}/`: {about}\n" in README
