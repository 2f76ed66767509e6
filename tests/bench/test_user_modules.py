"""A module of a person's own, `my_module:build`: exported by one command when it streams, else told what to change."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import places
import pytest
import torch
from commands import process, tonearm
from tonearm.bench.bundles import default_blocks
from tonearm.bench.errors import BenchError
from tonearm.bench.user_modules import bundle_name, describe, load_own
from tonearm.export.streaming import StreamingModule
from tonearm.models.catalogue import load
from tonearm.runtime.bundle import read_bundle
from tonearm.runtime.clip import read_arrays
from tonearm.runtime.parity import check_parity
from tonearm.runtime.stream import Stream

README = (places.ROOT / "export" / "README.md").read_text()


@pytest.mark.parametrize(
    ("hop", "blocks"),
    [(64, [64, 128, 256, 512, 1024, 2048, 4096]), (512, [512, 1024, 2048, 4096]), (48, [48, 96, 192, 384])],
)
def test_the_blocks_are_whole_numbers_of_hops(hop: int, blocks: list[int]) -> None:
    assert default_blocks(hop) == blocks


@pytest.fixture
def own_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A person in the folder of their modules; what is imported from there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def complaint(folder: Path, *arguments: str) -> list[str]:
    """What a command that fails says, without its progress; nothing is left in the folder but the person's files."""
    there = {path for path in folder.iterdir() if path.name != "__pycache__"}
    done = tonearm(*arguments, status=1)
    lines = [line for line in done.stderr.splitlines() if not line.endswith(" ...")]
    assert done.stdout == "", done.stderr
    assert lines[-1].startswith("tonearm: ") and "Traceback" not in done.stderr
    assert {path for path in folder.iterdir() if path.name != "__pycache__"} == there
    return lines


@pytest.fixture
def readmes_module(tmp_path: Path) -> str:
    """The README's example, as amp.py in an empty folder."""
    block = re.search(r"## Your own model.*?```python\n(.*?)```", README, re.DOTALL)
    assert block
    (tmp_path / "amp.py").write_text(block[1])
    return block[1]


@pytest.mark.usefixtures("readmes_module")
def test_the_readmes_module_becomes_a_bundle_that_streams_as_it_does(tmp_path: Path) -> None:
    done = process("export", "amp:build", "--block", 64, 256, cwd=tmp_path)
    assert done.stdout.strip() == "bundles/amp"
    assert re.search(r"amp: amp:build, weights sha256 [0-9a-f]{16}; .*; blocks of 64, 256 samples", done.stderr)
    bundle = read_bundle(tmp_path / "bundles" / "amp")
    golden = read_arrays(bundle.folder / bundle.golden)
    assert np.ptp(golden["audio"]) > 0.1
    for block in (64, 256):
        assert check_parity(Stream(bundle, block), golden)["error"] < 1e-4


@pytest.mark.usefixtures("own_imports")
def test_findings_are_printed_one_a_line_and_nothing_is_written(tmp_path: Path, readmes_module: str) -> None:
    hidden = readmes_module.replace("heard, memory = ", "heard, self.kept = ").replace(
        "2), memory)", '2), getattr(self, "kept", None))'
    )
    assert hidden != readmes_module
    (tmp_path / "amp.py").write_text(hidden)
    finding, summary = complaint(tmp_path, "export", "amp:build")
    assert finding.startswith("hidden state: kept, sample 0: ")
    assert "amp:build would not stream as it should: 1 finding, nothing was exported" in summary


OWN = """
import sys
import torch
from tonearm.export.streaming import StreamingModule

number = 3

def fails():
    raise ValueError("no weights here")

def other():
    print("noise on stdout")
    return torch.nn.Linear(1, 1)

def leaves():
    sys.exit("bye")

def unknown():
    from tonearm.models.catalogue import load
    load("nobodys")

class Bare(StreamingModule):
    pass

ready = Bare()
"""


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nothing:build", "no module nothing: it is neither in "),
        ("own.part:build", "no module own.part: it is neither in "),
        ("own:nothing", "has no nothing: name a function in it"),
        ("own:number", "own:number is of type int: name a function"),
        ("own:fails", "own:fails raises ValueError: no weights here (own.py, line 9)"),
        ("own:leaves", "own:leaves raises SystemExit: bye (own.py, line 16)"),
        ("own:unknown", "(own.py, line 20)"),
        ("own:other", "own:other must return a StreamingModule, not Linear"),
        ("broken:build", "importing broken raises SyntaxError: "),
        (
            "needs:build",
            "needs raises ModuleNotFoundError: No module named 'nobody_has_this' (needs.py, line 1)",
        ),
        ("own.py:build", "for build() in my_module.py, write my_module:build"),
        ("./own:build", "./own:build is not of the form MODULE:FUNCTION"),
        ("own:", "own: is not of the form MODULE:FUNCTION"),
    ],
)
def test_a_module_that_can_not_be_had_is_told_in_one_line(
    tmp_path: Path, own_imports: None, target: str, said: str
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("x = = 1\n")
    (tmp_path / "needs.py").write_text("import nobody_has_this\n")
    with pytest.raises(BenchError) as caught:
        load_own(target)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_class_or_a_module_that_is_there_already_is_taken_too(tmp_path: Path, own_imports: None) -> None:
    (tmp_path / "own.py").write_text(OWN)
    for target in ("own:Bare", "own:ready"):
        module = load_own(target)
        assert type(module).__name__ == "Bare" and not module.training


@pytest.mark.parametrize(
    ("target", "name"),
    [("amp:build", "amp"), ("amp:small", "amp-small"), ("amps.tube:build", "amps.tube"), ("_amp:build", "amp")],
)
def test_the_bundle_is_named_after_the_module_and_what_is_not_its_build(target: str, name: str) -> None:
    assert bundle_name(target) == name


def test_the_hash_of_the_weights_changes_with_them() -> None:
    module = load("hpn-reduced")
    before = describe(module, "own:build")
    assert describe(load("hpn-reduced"), "own:build") == before
    with torch.no_grad():
        next(module.parameters())[0] += 1
    assert describe(module, "own:build") != before


def test_a_module_without_weights_is_not_described_by_a_hash_of_nothing() -> None:
    assert describe(StreamingModule(), "own:build").text == "own:build, no weights"


@pytest.mark.usefixtures("readmes_module", "own_imports")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "amp:build", "--checkpoint", "a.pt"], "is built by its own code: leave out --checkpoint"),
        (["export", "amp:build", "--causal"], "is built by its own code: leave out"),
        (["export", "amp:build", "--block", "100"], "a block of 100 samples is not a whole number of hops of 64"),
        (["export", "amp:later"], "has no later: name a function in it"),
        (["export", "hpn:reduced"], "hpn-reduced is the name of one of Tonearm's models"),
        (["deploy", "amp:build", "--board", "loopback"], "is not exported yet: run tonearm export amp:build"),
    ],
)
def test_what_does_not_go_with_a_module_of_ones_own_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    assert said in complaint(tmp_path, *arguments)[-1]


ROOTS = """
import torch
from tonearm.export.streaming import StreamingModule


class Roots(StreamingModule):
    sample_rate, hop, latency = 16_000, 64, 0
    inputs, outputs = {"sound": 64}, {"audio": 64}

    def __init__(self, most):
        super().__init__()
        self.most = most

    def zero_states(self, batch=1):
        return {}

    def example(self, frames):
        return {"sound": 0.3 * torch.sin(torch.arange(64.0 * frames) / 9).reshape(1, frames, 64)}

    def forward(self, sound):
        return (sound * (self.most - sound).sqrt(),)


def small():
    return Roots(0.5)


def build():
    return Roots(2.0)
"""


@pytest.mark.usefixtures("own_imports")
def test_a_module_that_full_scale_makes_no_number_of_is_refused_and_one_for_more_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "roots.py").write_text(ROOTS)
    lines = complaint(tmp_path, "export", "roots:small", "--block", "64")
    assert "roots:small would not stream as it should: 1 finding" in " ".join(lines)
    assert "finite: audio, sample 0: the output is nan, not a finite number" in " ".join(lines)
    assert "where sound is 1 throughout" in " ".join(lines)
    said = tonearm("export", "roots:build", "--block", "64").stderr
    assert "roots:build: warning, for input above full scale: finite: audio, sample 0: the output is nan" in said
    assert "where sound is 4 throughout" in said
    assert read_bundle(tmp_path / "bundles" / "roots").name == "roots"
