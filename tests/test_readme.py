"""What the README says is so: its commands run, its tree is the tree."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMAND_SECONDS = 600


def session() -> list[list[str]]:
    """The commands of the console block, as words."""
    block = re.search(r"```console\n(.*?)```", README, re.DOTALL)
    assert block
    return [shlex.split(line[2:]) for line in block[1].splitlines() if line.startswith("$ ")]


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


def test_the_tree_names_every_file_with_the_first_line_of_its_docstring() -> None:
    block = re.search(r"## The code\n\n```\n(.*?)```", README, re.DOTALL)
    assert block
    assert block[1].splitlines() == tree()


def tree() -> list[str]:
    """The tree as the README draws it: this function's output is what belongs there."""
    other = {
        "phrase.csv": "a melody as f0 and loudness, 250 frames a second",
        "listening": "test phrases, by instrument",
        "page.html.j2": "what all HTML pages have in common",
        "table.html.j2": "a table of a page",
        "report.html.j2": "the page of the HTML report",
        "checkpoints": "trained weights, with a card each",
        "compare.html.j2": "the page of a comparison",
        "golden": "vectors of the original implementation",
    }
    lines = []
    for folder in ("models", "export", "runtime", "device", "bench", "tests"):
        lines.append(f"{folder}/")
        left_out = {"__init__.py", "__pycache__", "py.typed"}
        for path in sorted(path for path in (ROOT / folder).iterdir() if path.name not in left_out):
            about = other.get(path.name) or first_line(path)
            lines.append(f"  {path.name:<23} {about}")
    return lines


def first_line(path: Path) -> str:
    """A module's docstring, its first line in lower case and without its stop."""
    line = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0].rstrip(".")
    return line if line.split()[0].rstrip(":") in ("HpN", "SSH", "DDX7") else line[0].lower() + line[1:]


if __name__ == "__main__":
    print("\n".join(tree()))
