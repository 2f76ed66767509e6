"""Imports point one way: which folder and which room may know which other, and which third-party package."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest
from places import ROOT
from tonearm.device.agent.protocol import PARTS

SIBLINGS = {
    "runtime": set(),
    "export": {"runtime"},
    "models": {"export", "runtime"},
    "device": {"runtime"},
    "bench": {"device", "export", "models", "runtime"},
}
# Of its own folder, a room may import the modules beside it and these rooms; its folder's own modules where it says so.
ROOMS = {
    "bench.output": set(),
    "bench.stats": set(),
    "bench.results": {"bench", "bench.output", "bench.stats"},
    "bench.report": {"bench", "bench.output", "bench.results", "bench.stats"},
    "bench.compare": {"bench", "bench.output", "bench.results", "bench.stats"},
    "bench.sweep": {"bench", "bench.output", "bench.results", "bench.stats"},
    "bench.parser": {"bench"},
    "bench.commands": {"bench", "bench.compare", "bench.output", "bench.report", "bench.results", "bench.sweep"},
    "device.agent": set(),
    "device.ssh": {"device", "device.agent"},
    "device.doctor": {"device", "device.ssh"},
    "device.runtimes": {"device", "device.ssh"},
    "device.virtual": {"device", "device.runtimes", "device.ssh"},
    "export.foreign": {"export"},
    "export.lint": {"export"},
    "models.families": {"models"},
    "models.files": {"models"},
    "models.sound": {"models"},
    "models.training": {"models", "models.families", "models.files", "models.sound"},
}
# What the modules of a folder that are in no room may import of its rooms; those that put all together may import any.
BESIDE_ROOMS = {
    "bench": {"bench.output"},
    "device": {"device.agent", "device.runtimes", "device.ssh", "device.virtual"},
    "export": set(),
    "models": {"models.families", "models.files"},
}
ALL_ROOMS = {"bench/__init__.py", "bench/cli.py", "bench/demo.py"}
# Of a folder that is not its own, a folder may import this alone: models know the convention, not the exporter.
# And of the agent, the host knows what both say to each other.
ONLY = {("models", "export"): "export.streaming", ("device", "device.agent"): "device.agent.protocol"}


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
    "device.agent": set(),  # sent to the board alone
    "bench": declared(),
}
FILES = sorted(str(path.relative_to(ROOT)) for folder in SIBLINGS for path in (ROOT / folder).rglob("*.py"))


def imports(file: str, source: str) -> Iterator[tuple[int, str, str]]:
    """Line, text and absolute name (below `tonearm`, if it is ours: a leading dot) of everything imported."""
    package = file.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or "", node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
            is_outside = node.level > len(package) + 1
            text = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{text}: {alias.name}", "." + ("" if is_outside else ".".join([*base, alias.name]))


def room_of(module: str) -> str:
    """The room of a module, `bench.results`, or its folder where it is in none."""
    room = ".".join(module.split(".")[:2])
    return room if room in ROOMS else module.split(".")[0]


def is_allowed(file: str, module: str) -> bool:
    """Whether one of our modules may be imported from a file."""
    mine, its = room_of(file.removesuffix(".py").replace("/", ".")), room_of(module)
    folder, other = mine.split(".")[0], its.split(".")[0]
    if mine == its or (file in ALL_ROOMS and folder == other):
        return True
    if folder == other:
        only = ONLY.get((folder, its), its)
        return its in (ROOMS[mine] if mine in ROOMS else BESIDE_ROOMS[folder]) and f"{module}.".startswith(f"{only}.")
    only = ONLY.get((folder, other), other)
    return mine != "device.agent" and other in SIBLINGS[folder] and f"{module}.".startswith(f"{only}.")


def violations(file: str, source: str) -> list[str]:
    """Every import of `source` that its place does not allow, with file and line."""
    room = room_of(file.removesuffix(".py").replace("/", "."))
    packages = PACKAGES.get(room, PACKAGES[room.split(".")[0]])
    found = []
    for line, text, name in imports(file, source):
        top = name.split(".")[0]
        fine = is_allowed(file, name[1:]) if name.startswith(".") else top in sys.stdlib_module_names or top in packages
        if not fine:
            found.append(f"{file}:{line}: {room} may not import {text}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_its_place_may(file: str) -> None:
    found = violations(file, (ROOT / file).read_text())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("runtime/x.py", "from ..export import graph"),
        ("runtime/x.py", "def f():\n    import torch"),
        ("runtime/x.py", "from .. import models"),
        ("export/x.py", "from ..models.families.hpn import HpN"),
        ("export/lint/x.py", "from ..foreign.plan import Plan"),
        ("models/x.py", "import paramiko"),
        ("models/x.py", "from ..export import write"),
        ("models/families/x.py", "from ..training.train import train"),
        ("device/x.py", "if TYPE_CHECKING:\n    from ..bench import cli"),
        ("device/ssh/x.py", "from ..virtual import qemu"),
        ("device/agent/x.py", "import paramiko"),
        ("device/agent/x.py", "from ..errors import DeviceError"),
        ("device/agent/x.py", "from ...runtime.bundle import Bundle"),
        ("bench/x.py", "import tonearm.runtime.bundle"),
        ("bench/x.py", "from tonearm.runtime import bundle"),
        ("bench/x.py", "import sklearn.undeclared"),
        ("bench/x.py", "from ... import outside"),
        ("bench/x.py", "from .sweep.run import sweep"),
        ("bench/results/x.py", "from .. import report"),
        ("bench/results/x.py", "from ..sweep.plan import Plan"),
        ("bench/report/x.py", "from ..commands.report import report"),
    ],
)
def test_an_import_the_wrong_way_is_found_with_its_line(file: str, source: str) -> None:
    line = source.count("\n") + 1
    assert [found.split(": ")[0] for found in violations(file, source)] == [f"{file}:{line}"]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("runtime/x.py", "import json, numpy.linalg\nfrom .bundle import Bundle"),
        ("models/families/x.py", "from ...export.streaming import step\nfrom . import hpn"),
        ("device/agent/x.py", "import json\nfrom .files import inside"),
        ("device/x.py", "from ..runtime import bundle\nfrom paramiko.common import DEBUG"),
        ("device/virtual/x.py", "from ...runtime import bundle\nfrom ..ssh import keys"),
        ("bench/x.py", "from ..export import write\nimport pandas"),
        ("bench/cli.py", "from .parser import parser"),
        ("bench/report/x.py", "from ..results.store import load\nfrom .notes import notes"),
    ],
)
def test_an_import_the_right_way_is_let_through(file: str, source: str) -> None:
    assert violations(file, source) == []


def test_every_part_of_the_agent_is_sent() -> None:
    modules = {path.stem for path in (ROOT / "device/agent").glob("*.py")} - {"__init__", "main"}
    assert sorted(PARTS) == sorted(modules)


def test_every_package_has_a_rule_and_is_installed() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {file.rpartition("/")[0].replace("/", ".") for file in FILES}
    assert {package.removeprefix("tonearm.") for package in packages} == folders
    assert {room_of(folder) for folder in folders} == set(SIBLINGS) | set(ROOMS)


def test_every_room_says_what_it_holds() -> None:
    for room in ROOMS:
        assert ast.get_docstring(ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text())), room


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in FILES}
    needs = {}
    for name, file in names.items():
        found = {module[1:] for _, _, module in imports(file, (ROOT / file).read_text()) if module.startswith(".")}
        needs[name] = {one if one in names else one.rpartition(".")[0] for one in found} - {name}
    TopologicalSorter(needs).prepare()
