"""Weights are read without running what a file carries, and only where they fit."""

from __future__ import annotations

import argparse
import functools
import hashlib
import math
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import places
import pytest
import safetensors.torch
import torch
from tonearm.models.catalogue import find, load, resolve
from tonearm.models.errors import CheckpointError, UnknownModelError
from tonearm.models.files.checkpoints import load_weights, read_checkpoint
from torch import Tensor, nn

GOLDEN = places.GOLDEN / "hpn-reduced.pt"
SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
FILES = [("a.pt", True), ("a.pth", False), ("a.ckpt", True), ("a.safetensors", True)]


def write(path: Path, content: Any, zipped: bool = True) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.fixture
def state() -> dict[str, Tensor]:
    return read_checkpoint(GOLDEN).state


def test_the_golden_checkpoint_becomes_the_models_weights(state: dict[str, Tensor]) -> None:
    loaded = load("hpn-reduced", GOLDEN).state_dict()
    assert set(loaded) == set(state)
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert not torch.equal(loaded["synth.reverb.noise"], load("hpn-reduced").state_dict()["synth.reverb.noise"])


def test_a_model_is_loaded_for_evaluation() -> None:
    assert not any(module.training for module in load("hpn-reduced", GOLDEN).modules())


@pytest.mark.parametrize(
    "read",
    [read_checkpoint, functools.partial(resolve, "hpn-reduced"), functools.partial(load, "hpn-reduced")],
)
def test_a_missing_file_is_named(tmp_path: Path, read: Any) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*/missing\.pt"):
        read(tmp_path / "missing.pt")


@pytest.mark.parametrize(("name", "zipped"), FILES)
def test_every_kind_of_file_gives_the_same_weights(tmp_path: Path, name: str, zipped: bool) -> None:
    found = read_checkpoint(write(tmp_path / name, SMALL, zipped))
    assert list(found.state) == list(SMALL) or name.endswith("safetensors")
    assert all(torch.equal(found.state[key], SMALL[key]) for key in SMALL)
    assert found.notes == ()


@pytest.mark.parametrize(("name", "zipped"), FILES)
def test_a_modules_own_state_dict_is_read(tmp_path: Path, name: str, zipped: bool) -> None:
    wanted = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()
    found = read_checkpoint(write(tmp_path / name, wanted, zipped)).state
    assert set(found) == set(wanted)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_weights_of_a_type_that_no_model_has_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", SMALL | {"mask": torch.zeros(2, dtype=torch.bool)})
    with pytest.raises(CheckpointError, match=r"has weights of an unsupported type, torch\.bool: mask$"):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_share_numbers_or_lie_crosswise_are_read(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {"whole": base, "across": base.T, "part": base[1:, ::2], "one": base[2, 3], "wrapped": nn.Parameter(base)}
    found = read_checkpoint(write(tmp_path / "a.pt", state, zipped)).state
    assert all(torch.equal(found[key], state[key]) for key in state)


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8]


@pytest.mark.parametrize(("name", "zipped"), FILES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_keep_their_type(tmp_path: Path, name: str, zipped: bool, dtype: torch.dtype) -> None:
    wanted = torch.tensor([1, 1, 1, 1, 3, 14]).to(dtype)
    found = read_checkpoint(write(tmp_path / name, {"synth.fr": wanted}, zipped))
    assert found.state["synth.fr"].dtype == dtype
    assert torch.equal(found.state["synth.fr"], wanted)
    assert found.notes == ()


def test_precision_that_gets_lost_is_noted(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["synth.reverb.wet"] = torch.tensor(0.1, dtype=torch.float64)
    state["synth.reverb.decay"] = torch.tensor(0.5, dtype=torch.float64)
    notes: list[str] = []
    module = load("hpn-reduced", write(tmp_path / "a.pt", state), notes.append)
    assert notes == ["float64 is rounded to float32: synth.reverb.wet"]
    assert module.state_dict()["synth.reverb.wet"] == torch.tensor(0.1)


def test_weights_of_half_the_precision_become_float32(tmp_path: Path, state: dict[str, Tensor]) -> None:
    halves = {key: value.half() for key, value in state.items()}
    loaded = load("hpn-reduced", write(tmp_path / "a.pt", halves)).state_dict()
    assert all(torch.equal(loaded[key], halves[key].float()) for key in halves)
    assert {value.dtype for value in loaded.values()} == {torch.float32}


@pytest.mark.parametrize(("name", "zipped"), FILES)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e300])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, name: str, zipped: bool, number: float) -> None:
    state = {"good": torch.zeros(2), "bad": torch.tensor([0, number], dtype=torch.float64)}
    with pytest.raises(CheckpointError, match=r"a\.\w+ has weights that are not finite as float32: bad$"):
        read_checkpoint(write(tmp_path / name, state, zipped))


@pytest.mark.parametrize(
    "strange",
    [
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2, dtype=torch.bool),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.complex(torch.zeros(2), torch.ones(2)).conj().imag,  # marked as negated, its numbers are not
        0.1,
        "text",
    ],
)
def test_what_is_no_ordinary_tensor_is_refused_by_its_name(tmp_path: Path, strange: Any) -> None:
    path = write(tmp_path / "run.pt", SMALL | {"strange": strange})
    with pytest.raises(CheckpointError, match=r"run\.pt holds more than named tensors: strange; save"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2), {}, {"state_dict": {}}, {0: torch.zeros(2)}])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CheckpointError, match=r"run\.ckpt holds no named tensors"):
        read_checkpoint(write(tmp_path / "run.ckpt", content))


@pytest.fixture
def lightning(tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of Lightning's, with a teacher, and with objects of a package that is no longer there."""
    package = types.ModuleType("package_of_the_training")
    config = type("Config", (dict,), {"__module__": package.__name__})
    package.Config = config  # type: ignore[attr-defined]
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(3))])
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{key}": value for key, value in state.items()}
        | {f"teacher.{key}": value + 1 for key, value in state.items()}
        | {"loss.window": torch.hann_window(64)},
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": {
            "config": config(lr=1e-3),
            "options": argparse.Namespace(seed=1),
            "make": functools.partial(torch.optim.AdamW, lr=1e-3),
            "folder": Path("runs"),
        },
    }
    with monkeypatch.context() as present:
        present.setitem(sys.modules, package.__name__, package)
        return write(tmp_path / "last.ckpt", content)


def test_lightnings_weights_are_taken_and_the_rest_is_left_out_and_said(
    lightning: Path, state: dict[str, Tensor]
) -> None:
    with pytest.raises(Exception, match="weights_only"):
        torch.load(lightning, weights_only=True)
    notes: list[str] = []
    loaded = load("hpn-reduced", lightning, notes.append).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert notes == [
        "ignored beside the weights: epoch, pytorch-lightning_version, optimizer_states and 1 more; "
        "nothing in there was run",
        "ignored teacher.*: 50 entries of distillation's teacher",
        "ignored outside model.*: loss.window",
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"not weights\n", b"PK\x03\x04", pickle.dumps({"weight": [1.0]})])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        read_checkpoint(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        read_checkpoint(tmp_path)


def test_what_does_not_fit_is_listed(state: dict[str, Tensor]) -> None:
    del state["synth.reverb.wet"], state["decoder.gru.bias_hh_l0"]
    state["teacher.gain"] = torch.zeros(1)
    state["synth.reverb.noise"] = torch.zeros(8000, 1)
    with pytest.raises(CheckpointError) as caught:
        load_weights(load("hpn-reduced"), state, "run.pt")
    message = str(caught.value)
    assert message.startswith("run.pt does not fit the model: ")
    assert set(message.removeprefix("run.pt does not fit the model: ").split("; ")) == {
        "missing synth.reverb.wet",
        "missing decoder.gru.bias_hh_l0",
        "unexpected teacher.gain",
        "synth.reverb.noise is (8000, 1), the model has (16000, 1)",
    }


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64])
def test_quantized_weights_without_their_scales_are_refused_by_name(
    state: dict[str, Tensor], dtype: torch.dtype
) -> None:
    state["decoder.gru.weight_hh_l0"] = torch.ones(48, 16, dtype=dtype)
    with pytest.raises(
        CheckpointError, match=rf"fit the model: decoder\.gru\.weight_hh_l0 is {str(dtype)[6:]}, the model"
    ):
        load_weights(load("hpn-reduced"), state, "run.pt")


def test_whole_numbers_of_a_buffer_may_be_int64_where_the_models_are_float() -> None:
    module = nn.Module()
    module.register_buffer("fr", torch.zeros(3))
    load_weights(module, {"fr": torch.tensor([1, 3, 14])}, "run.pt")
    assert module.state_dict()["fr"].tolist() == [1, 3, 14]
    with pytest.raises(CheckpointError, match="fr is int8"):
        load_weights(module, {"fr": torch.tensor([1, 3, 14], dtype=torch.int8)}, "run.pt")


@pytest.mark.parametrize("name", ["model", "model_state_dict", "net"])
def test_weights_beside_a_training_runs_other_things_are_read(tmp_path: Path, name: str) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(3))]).state_dict()
    content = {"epoch": 3, name: SMALL, "optimizer": optimizer, "args": argparse.Namespace(seed=1)}
    found = read_checkpoint(write(tmp_path / "run.pt", content))
    assert all(torch.equal(found.state[key], SMALL[key]) for key in SMALL)
    assert found.notes == ("ignored beside the weights: epoch, optimizer, args; nothing in there was run",)


@pytest.mark.parametrize("name", ["weights.pt", "weights.bin", "weights"])
def test_a_safetensors_file_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(safetensors.torch.save(SMALL))
    found = read_checkpoint(tmp_path / name).state
    assert all(torch.equal(found[key], SMALL[key]) for key in SMALL)


def test_weights_that_do_not_fit_change_nothing(state: dict[str, Tensor]) -> None:
    module = load("hpn-reduced")
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state["synth.reverb.noise"] = torch.zeros(8000, 1)
    with pytest.raises(CheckpointError):
        load_weights(module, state, "run.pt")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_weights_of_another_size_are_refused() -> None:
    with pytest.raises(CheckpointError, match="does not fit the model, it is probably for hpn-reduced: ") as caught:
        load("hpn-full", GOLDEN)
    said = str(caught.value)
    assert "decoder.in_mlps.0.0.weight is (16, 1), the model has (512, 1)" in said
    assert said.count("the model has") == 3 and said.endswith("; and 40 more")


def test_weights_are_described_by_their_name_and_hash_or_called_untrained() -> None:
    given = resolve("hpn-reduced", GOLDEN).provenance
    random, packaged = (resolve(name).provenance for name in ("hpn-reduced", "hpn-reduced-flute"))
    assert given.text == f"checkpoint hpn-reduced.pt, sha256 {given.digest[:16]}"
    assert random.text.startswith("untrained: ")
    assert packaged.text == f"trained, comes with Tonearm, sha256 {packaged.digest[:16]}"
    assert (given.kind, random.kind, packaged.kind) == ("checkpoint", "untrained", "trained")
    assert (given.source, packaged.source) == ("hpn-reduced.pt", "hpn-reduced-flute.safetensors")
    assert given.digest == hashlib.sha256(GOLDEN.read_bytes()).hexdigest()
    assert (given.is_trained, random.is_trained, packaged.is_trained) == (True, False, True)


@pytest.mark.parametrize(("typed", "meant"), [("hpn-ful", "hpn-full"), ("hpn_reduced", "hpn-reduced")])
@pytest.mark.parametrize("lookup", [find, load])
def test_a_name_nearly_right_is_corrected(lookup: Any, typed: str, meant: str) -> None:
    with pytest.raises(UnknownModelError, match=f"unknown model '{typed}': did you mean {meant}"):
        lookup(typed)


def test_a_name_like_no_other_is_told_where_the_list_is() -> None:
    with pytest.raises(UnknownModelError) as caught:
        find("theremin")
    assert "did you mean" not in str(caught.value)
    assert "tonearm models" in str(caught.value)


FLUTE = places.GOLDEN / "ddx7-reduced-flute.pt"


@pytest.mark.parametrize("name", ["ddx7-reduced-violin", "ddx7-reduced-piano"])
def test_weights_of_another_patch_are_refused_though_they_fit_in_shape(name: str) -> None:
    with pytest.raises(CheckpointError, match="other frequency ratios") as caught:
        load(name, FLUTE)
    assert "[1.0, 1.0, 1.0, 2.0, 2.0, 1.5]" in str(caught.value)
    assert str(caught.value).endswith("it is probably for ddx7-reduced-flute")


def test_weights_of_another_size_name_the_model_they_are_for() -> None:
    with pytest.raises(CheckpointError, match="does not fit the model, it is probably for ddx7-reduced-flute: "):
        load("ddx7-full-flute", FLUTE)


def test_without_reverb_its_weights_are_left_out_and_this_is_said() -> None:
    notes: list[str] = []
    module = load("ddx7-reduced-flute", FLUTE, notes.append, reverb=False)
    assert notes == ["the reverb's weights are left out"]
    assert not [key for key in module.state_dict() if "reverb" in key]
