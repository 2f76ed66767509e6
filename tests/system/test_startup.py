"""The way in: what only has to answer imports no other package, and Ctrl-C is answered while Python imports.

Nothing here is timed: `tests/support/startup.py` prints processor time and memory.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tonearm.bench.interrupts import INTERRUPTED

TONEARM = str(Path(sys.executable).parent / "tonearm")
INSTALLED = importlib.metadata.packages_distributions().keys()
ASKED = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_SHELL": "bash", "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull}
# Interrupts itself where it is about to import a module, as a person would who is quick.
INTERRUPTED_AT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

from tonearm.bench.cli import main
sys.meta_path.insert(0, Interrupt())
sys.exit(main(sys.argv[2:]))
"""


def third_party(*arguments: str, status: int = 0, asked: str = "") -> set[str]:
    """The packages, neither Python's nor ours, that a process of `tonearm` imports beside those of any Python here.

    Args:
        arguments: its words.
        status: with which it has to end.
        asked: the line that a shell wants completed, instead of running a command.
    """
    environment = {"COMP_LINE": asked, "COMP_POINT": str(len(asked)), **ASKED} if asked else {}
    found = imported([TONEARM, *arguments], status, environment) - imported(["-c", "pass"], 0, {}) - {"tonearm"}
    return found & INSTALLED


def imported(arguments: list[str], status: int, environment: dict[str, str]) -> set[str]:
    """The top-level names that a process of Python imports, or tries to."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    assert done.returncode == status, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 10, done.stderr
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines[1:]}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sweep", "--help"], ["board", "info", "--help"]])
def test_help_and_version_import_no_other_package(arguments: list[str]) -> None:
    assert third_party(*arguments) == set()


@pytest.mark.parametrize("arguments", [[], ["depoly"], ["deploy", "hpn-reduced"], ["gate", "a", "b", "--floor"]])
def test_wrong_usage_imports_no_other_package(arguments: list[str]) -> None:
    assert third_party(*arguments, status=2) == set()


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("tonearm dep", set()),
        ("tonearm deploy hpn", set()),
        ("tonearm train hpn-full --instrument f", set()),
        ("tonearm deploy --board v", {"platformdirs"}),  # where boards.toml is
    ],
)
def test_completion_imports_little_but_its_library(line: str, needed: set[str]) -> None:
    assert third_party(asked=line) == {"argcomplete", *needed}


def test_the_models_are_listed_without_torch_or_numpy() -> None:
    assert third_party("models") == {"rich"}


@pytest.mark.parametrize(
    "module", ["tonearm.bench.parser", "tonearm.bench.output.console", "rich.console", "numpy", "pandas", "pyarrow"]
)
def test_an_interrupt_while_python_imports_is_answered_in_a_line(module: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED_AT, module, "report", "nothing", "--html", "report.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{INTERRUPTED}\n")
