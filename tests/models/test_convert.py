"""A checkpoint as .safetensors: the same weights under the model's own keys, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import places
import pytest
import safetensors.torch
import torch
from commands import process, tonearm
from tonearm.models.catalogue import load
from tonearm.models.errors import CheckpointError
from tonearm.models.files.checkpoints import convert, read_checkpoint

GOLDEN = places.GOLDEN / "hpn-reduced.pt"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of Lightning's with a teacher and hyper-parameters."""
    state = read_checkpoint(GOLDEN).state
    weights = {f"model.{key}": value for key, value in state.items()}
    teacher = {f"teacher.{key}": value for key, value in state.items()}
    torch.save({"state_dict": weights | teacher, "hyper_parameters": {"at": Path("runs")}}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_the_new_file_holds_the_same_numbers_under_the_models_own_keys(tmp_path: Path, run: Path) -> None:
    convert(run, tmp_path / "new" / "student.safetensors")
    wanted = read_checkpoint(GOLDEN).state
    found = safetensors.torch.load_file(tmp_path / "new" / "student.safetensors")
    assert set(found) == set(wanted)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["student.safetensors"]


def test_both_files_give_the_same_model(tmp_path: Path, run: Path) -> None:
    convert(run, tmp_path / "student.safetensors")
    old, new = (load("hpn-reduced", path).state_dict() for path in (run, tmp_path / "student.safetensors"))
    assert set(old) == set(new)
    assert all(torch.equal(old[key], new[key]) for key in old)


def test_numbers_keep_their_type_and_need_not_lie_in_a_row(tmp_path: Path) -> None:
    base = torch.arange(6).reshape(2, 3)
    state = {"decoder.a": base.T, "decoder.b": base[:, 1], "synth.fr": base[0], "synth.c": base.half()}
    torch.save(state, tmp_path / "old.pt")
    convert(tmp_path / "old.pt", tmp_path / "new.safetensors")
    found = read_checkpoint(tmp_path / "new.safetensors").state
    assert all(torch.equal(found[key], state[key]) and found[key].dtype == state[key].dtype for key in state)


@pytest.mark.parametrize("name", ["new.pt", "new", "new.safetensors.bak"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"weights are written as \.safetensors, so name it new"):
        convert(GOLDEN, tmp_path / name)


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "new.safetensors").write_bytes(b"precious")
    with pytest.raises(CheckpointError, match=r"new\.safetensors exists already: remove it, or use another name"):
        convert(GOLDEN, tmp_path / "new.safetensors")
    assert (tmp_path / "new.safetensors").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"weight": torch.zeros(1), "decoder.a": torch.zeros(1)},
            "holds weights that belong to no known model: weight$",
        ),
        ({"decoder.a": torch.tensor(float("nan"))}, "not finite"),
        ([1], "holds no named tensors"),
    ],
)
def test_of_a_file_that_is_refused_nothing_is_written(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match=rf"old\.pt .*{said}"):
        convert(tmp_path / "old.pt", tmp_path / "new.safetensors")
    assert [path.name for path in tmp_path.glob("*new*")] == []


def test_the_command_says_what_it_kept_and_what_it_left_out(tmp_path: Path, run: Path) -> None:
    done = process("convert", run, tmp_path / "new.safetensors")
    assert done.stdout == f"{tmp_path / 'new.safetensors'}\n"
    assert done.stderr.splitlines() == [
        f"{run}: ignored beside the weights: hyper_parameters; nothing in there was run",
        f"{run}: ignored teacher.*: 50 entries of distillation's teacher",
        f"kept: 50 tensors, 39512 numbers, 0.16 MB of {run.stat().st_size / 1e6:.2f} MB",
    ]
    again = tonearm("convert", run, tmp_path / "new.safetensors", status=1)
    assert again.stderr.startswith("tonearm: ") and "exists already" in again.stderr


def test_an_export_says_what_of_the_checkpoint_it_left_out(tmp_path: Path, run: Path) -> None:
    options = ["--checkpoint", run, "--block", 64, "-o", tmp_path / "bundle"]
    done = tonearm("export", "hpn-reduced", *options)
    assert f"{run}: ignored teacher.*: 50 entries of distillation's teacher" in done.stderr.splitlines()
