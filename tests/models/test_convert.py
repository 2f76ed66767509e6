"""A checkpoint as .safetensors: the same weights under the model's own keys, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import places
import pytest
import safetensors.torch
import torch
from commands import process, tonearm
from tonearm.models.catalogue import load
from tonearm.models.convert import convert
from tonearm.models.errors import CheckpointError
from tonearm.models.files.checkpoints import read_checkpoint

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
    state = read_checkpoint(places.GOLDEN / "ddx7-reduced-violin.pt").state
    state = {key: value.half() for key, value in state.items()}
    across = state["decoder.net.1.block.0.weight_v"].transpose(0, 1).contiguous().transpose(0, 1)
    state |= {"synth.fr": torch.tensor([1, 1, 1, 1, 3, 14]), "decoder.net.1.block.0.weight_v": across}
    state["decoder.net.0.block.0.bias"] = state["decoder.net.0.block.3.bias"]
    torch.save(state, tmp_path / "old.pt")
    convert(tmp_path / "old.pt", tmp_path / "new.safetensors")
    found = read_checkpoint(tmp_path / "new.safetensors").state
    assert all(torch.equal(found[key], state[key]) and found[key].dtype == state[key].dtype for key in state)


def test_what_is_converted_can_be_loaded_or_is_refused(tmp_path: Path) -> None:
    state = read_checkpoint(GOLDEN).state
    dry = {key: value for key, value in state.items() if not key.startswith("synth.reverb.")}
    for kept, new, has_reverb in ((state, "wet.safetensors", True), (dry, "dry.safetensors", False)):
        torch.save(kept, tmp_path / "old.pt")
        _, model = convert(tmp_path / "old.pt", tmp_path / new)
        load(model, tmp_path / new, reverb=has_reverb)
    for spoiled in ({"decoder.gru.bias_hh_l0": torch.zeros(3)}, {"synth.stray": torch.zeros(1)}):
        torch.save(state | spoiled, tmp_path / "old.pt")
        with pytest.raises(CheckpointError, match=r"old\.pt does not fit the model: "):
            convert(tmp_path / "old.pt", tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


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
            "holds weights that belong to no known model: decoder.a, weight; tonearm models lists",
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
        f"kept: 50 tensors, 39512 numbers, 0.16 MB of {run.stat().st_size / 1e6:.2f} MB, for hpn-reduced",
    ]
    again = tonearm("convert", run, tmp_path / "new.safetensors", status=1)
    assert again.stderr.startswith("tonearm: ") and "exists already" in again.stderr


def test_an_export_says_what_of_the_checkpoint_it_left_out(tmp_path: Path, run: Path) -> None:
    options = ["--checkpoint", run, "--block", 64, "-o", tmp_path / "bundle"]
    done = tonearm("export", "hpn-reduced", *options)
    assert f"{run}: ignored teacher.*: 50 entries of distillation's teacher" in done.stderr.splitlines()
