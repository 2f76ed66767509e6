"""Completion in real shells, as a person has it: what Tab makes of a line."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from terminals import typed

# How each shell starts with nobody's configuration, and what a person adds to it. Each is told to edit as Emacs does.
SHELLS = {
    "bash": (["bash", "--noprofile", "--norc", "-i"], "set -o emacs; source <(tonearm completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "bindkey -e; autoload -U compinit; compinit -D -u; source <(tonearm completion zsh)"),
    "fish": (["fish", "--no-config", "--private"], "tonearm completion fish | source"),
}
LINES = {
    "tonearm dep": "tonearm deploy",
    "tonearm board doc": "tonearm board doctor",
    "tonearm sweep --smal": "tonearm sweep --smallest-block",
    "tonearm train hpn-full --instrument tru": "tonearm train hpn-full --instrument trumpet",
    "tonearm export hpn-15": "tonearm export hpn-156",
    "tonearm distill hpn-156 --teacher hpn-4": "tonearm distill hpn-156 --teacher hpn-44",
    "tonearm deploy hpn-156 --board loopback work": "tonearm deploy hpn-156 --board loopback workshop",
    "tonearm board info loo": "tonearm board info loopback",
    "tonearm deploy bun": "tonearm deploy bundles/mine",
    "tonearm deploy ./elsewhere/yo": "tonearm deploy ./elsewhere/yours/",
    "tonearm report resu": "tonearm report results/",
    "tonearm completion z": "tonearm completion zsh",
}
START = "\x01"  # Ctrl-A


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with bundles and results, and a board of one's own."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "xterm")
    for folder in ("bundles/mine", "elsewhere/yours", "results"):
        (tmp_path / "here" / folder).mkdir(parents=True)
    (tmp_path / "here" / "bundles" / "mine" / "manifest.json").write_text("{}")
    (tmp_path / "config" / "tonearm").mkdir(parents=True)
    (tmp_path / "config" / "tonearm" / "boards.toml").write_text('[workshop]\nhost = "127.0.0.1"\n')
    monkeypatch.chdir(tmp_path / "here")


def there(shell: str) -> object:
    """A shell, left out where it is not installed."""
    return pytest.param(shell, marks=pytest.mark.skipif(not shutil.which(shell), reason=f"no {shell}: apt install it"))


@pytest.mark.parametrize("shell", [there(shell) for shell in SHELLS])
@pytest.mark.usefixtures("place")
def test_tab_completes_commands_options_models_boards_and_bundles(shell: str) -> None:
    """Each completed line is printed, so that it needs not be read off an editor's drawings."""
    command, setup = SHELLS[shell]
    keys = [("", f'{setup}; echo rea""dy\r')]  # the quotes tell what is printed from what is typed
    for index, line in enumerate(LINES):
        keys.append((f"line {index - 1}: " if index else "ready", f'{line}\t{START}echo li""ne {index}: \r'))
    keys.append((f"line {len(LINES) - 1}: ", "exit\r"))
    _, shown = typed(command, keys)
    assert re.findall(r"line \d+: (tonearm.*?)\s*\n", shown) == list(LINES.values())
