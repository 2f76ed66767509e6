"""What a board says of itself is believed only where it makes sense."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from systems import FACTS
from tonearm.device.errors import AgentError
from tonearm.device.facts import read_facts
from tonearm.device.loopback import serve
from tonearm.device.ssh.connection import Connection


def said(facts: dict[str, Any]) -> str:
    """The agent's answer with these facts."""
    return "TONEARM-1 " + json.dumps({**facts, "files": []})


def saying(folder: Path, answer: str) -> str:
    """A PATH on which `python3` reads what it is sent and answers with one line."""
    script = folder / "bin" / "python3"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(answer)}\nexec /bin/cat >/dev/null\n")
    script.chmod(0o755)
    return str(script.parent)


def ask(folder: Path, answer: str) -> dict[str, Any]:
    with serve(folder, saying(folder, answer)) as endpoint, Connection("pi", endpoint, silence=2) as connection:
        return read_facts(connection)


def test_plausible_facts_are_believed(tmp_path: Path) -> None:
    facts = ask(tmp_path, said(FACTS))
    assert (facts["machine"], facts["libc"], facts["libc_version"]) == ("aarch64", "glibc", "2.36")


def test_what_would_move_the_cursor_is_not_printed(tmp_path: Path) -> None:
    assert ask(tmp_path, said({**FACTS, "cpu": "A\x1b[2J72"}))["cpu"] == "A?[2J72"


@pytest.mark.parametrize(
    "change",
    [
        {"machine": "../../../tmp/evil"},
        {"machine": ""},
        {"libc": ["glibc", ""]},
        {"libc": ["glibc", "2"]},
        {"libc": "glibc"},
        {"python": [3, 11]},
        {"python": "3.11.2"},
        {"cores": "many"},
        {"free_bytes": None},
        {"root": ...},
    ],
)
def test_facts_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    changed = {key: value for key, value in {**FACTS, **change}.items() if value is not ...}
    with pytest.raises(AgentError, match=r"^pi: it sent invalid facts"):
        ask(tmp_path, said(changed))


@pytest.mark.parametrize(
    "answer",
    [
        "TONEARM-1 ",
        "TONEARM-1 7",
        'TONEARM-1 {"files": 7}',
        'TONEARM-1 {"files": [{"name": "a"}]}',
        "TONEARM-1 " + "[" * 100_000,
        "TONEARM-1-PROGRESS " + "9" * 6000 + " 1\nTONEARM-1 {}",
    ],
    ids=["nothing", "a number", "no list", "no size", "too deep", "a long number"],
)
def test_an_answer_that_makes_no_sense_is_refused(tmp_path: Path, answer: str) -> None:
    with pytest.raises(AgentError, match=r"^pi: it sent an invalid answer"):
        ask(tmp_path, answer)


def test_a_file_in_the_boards_home_does_not_come_between(tmp_path: Path) -> None:
    with serve(tmp_path) as endpoint, Connection("pi", endpoint) as connection:
        (tmp_path / "home" / "platform.py").write_text("raise SystemExit('a script of the person')")
        assert read_facts(connection)["machine"]
