"""Imports point one way: which folder may know which other, and which third-party package."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIBLINGS = {
    "runtime": set(),
    "export": {"runtime"},
    "models": {"export", "runtime"},
    "device": {"runtime"},
    "bench": {"device", "export", "models", "runtime"},
}


def declared() -> set[str]:
    """What the project depends on, without the tools of development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["export"], *extras["train"]]
    return {re.split(r"[^\w-]", requirement)[0].replace("-", "_") for requirement in needed}


PACKAGES = {
    "runtime": {"numpy", "onnxruntime"},
    "export": {"torch", "onnx", "onnxsim", "numpy"},
    "models": {"torch", "numpy", "safetensors", "librosa", "mido", "platformdirs", "scipy", "soundfile"},
    "device": {"paramiko", "platformdirs", "packaging", "cryptography"},
    "bench": declared(),
}
AGENT = {f"{path.parent.name}/{path.name}" for path in (ROOT / "device").glob("agent*.py")}  # sent to the board alone
FILES = sorted(str(path.relative_to(ROOT)) for folder in SIBLINGS for path in (ROOT / folder).rglob("*.py"))


def modules(tree: ast.AST) -> Iterator[tuple[int, int, str]]:
    """Line, level (dots) and name of everything imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, 0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.level, node.module
        elif isinstance(node, ast.ImportFrom):  # from . import a, from .. import a
            yield from ((node.lineno, node.level, alias.name) for alias in node.names)


def violations(file: str, source: str) -> list[str]:
    """Every import of `source` that its place does not allow, with file and line."""
    folder, alone = file.split("/")[0], file in AGENT
    found = []
    for line, level, name in modules(ast.parse(source)):
        top = name.split(".")[0]
        if level == 0:
            wrong = top not in sys.stdlib_module_names and (alone or top not in PACKAGES[folder])
        else:
            wrong = level > 2 or (level == 2 and top not in SIBLINGS[folder])
            wrong = wrong or (alone and (level > 1 or not name.startswith("agent_")))
        if wrong:
            found.append(f"{file}:{line}: {folder}/ may not import {'.' * level}{name}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_its_folder_may(file: str) -> None:
    found = violations(file, (ROOT / file).read_text())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("runtime/x.py", "from ..export import graph"),
        ("runtime/x.py", "def f():\n    import torch"),
        ("runtime/x.py", "from .. import models"),
        ("export/x.py", "from ..models.hpn import HpN"),
        ("models/x.py", "import paramiko"),
        ("device/x.py", "if TYPE_CHECKING:\n    from ..bench import cli"),
        ("device/agent.py", "import paramiko"),
        ("device/agent.py", "from .errors import DeviceError"),
        ("device/agent.py", "from ..runtime.bundle import Bundle"),
        ("bench/x.py", "import tonearm.runtime.bundle"),
        ("bench/x.py", "from tonearm.runtime import bundle"),
        ("bench/x.py", "import sklearn.undeclared"),
        ("bench/x.py", "from ... import outside"),
    ],
)
def test_an_import_the_wrong_way_is_found_with_its_line(file: str, source: str) -> None:
    line = source.count("\n") + 1
    assert [found.split(": ")[0] for found in violations(file, source)] == [f"{file}:{line}"]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("runtime/x.py", "import json, numpy.linalg\nfrom .bundle import Bundle"),
        ("models/x.py", "from ..export.streaming import step\nfrom . import hpn"),
        ("device/agent.py", "import json\nfrom .agent_files import inside"),
        ("device/x.py", "from ..runtime import bundle\nfrom paramiko.common import DEBUG"),
        ("bench/x.py", "from ..export import write\nimport pandas"),
    ],
)
def test_an_import_the_right_way_is_let_through(file: str, source: str) -> None:
    assert violations(file, source) == []


def test_every_folder_of_the_package_has_a_rule() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {package.removeprefix("tonearm.") for package in packages} == set(SIBLINGS) == set(PACKAGES)
    assert {file.split("/")[0] for file in FILES} == set(SIBLINGS)
