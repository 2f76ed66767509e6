"""Weights are read without running what a file carries, and only where they fit."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tonearm.models.catalogue import describe_weights, find, load
from tonearm.models.checkpoints import load_weights, read_state_dict
from tonearm.models.errors import CheckpointError, UnknownModelError
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden" / "hpn-reduced.pt"


class Trap:
    """A pickle of this makes a file where it is opened."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.made,)


def small_checkpoint(zipped: bool) -> bytes:
    state = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
    content = io.BytesIO()
    torch.save(state, content, _use_new_zipfile_serialization=zipped)
    return content.getvalue()


@pytest.fixture
def state() -> dict[str, Tensor]:
    return read_state_dict(GOLDEN)


def test_the_golden_checkpoint_becomes_the_models_weights(state: dict[str, Tensor]) -> None:
    loaded = load("hpn-reduced", GOLDEN).state_dict()
    assert set(loaded) == set(state)
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert not torch.equal(loaded["synth.reverb.noise"], load("hpn-reduced").state_dict()["synth.reverb.noise"])


def test_a_model_is_loaded_for_evaluation() -> None:
    assert not any(module.training for module in load("hpn-reduced", GOLDEN).modules())


@pytest.mark.parametrize("read", [read_state_dict, describe_weights, lambda path: load("hpn-reduced", path)])
def test_a_missing_file_is_named(tmp_path: Path, read: Any) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*/missing\.pt"):
        read(tmp_path / "missing.pt")


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("saved_by", ["torch", "torch, unzipped", "pickle"])
def test_a_malicious_pickle_is_refused_and_never_run(tmp_path: Path, saved_by: str, protocol: int) -> None:
    made, path = tmp_path / "made", tmp_path / "trap.pt"
    content = {"weight": torch.zeros(2), "trap": Trap(made)}
    if saved_by == "pickle":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=saved_by == "torch")
    with pytest.raises(CheckpointError, match=r"trap\.pt is not a file of plain tensors"):
        read_state_dict(path)
    assert not made.exists()


def test_the_trap_of_these_tests_does_snap(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "made")))  # noqa: S301
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], torch.zeros(2), {"state_dict": {"weight": torch.zeros(2)}, "epoch": 3}, {"lr": 0.1}]
)
def test_a_file_with_more_than_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "run.ckpt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"run\.ckpt holds more than named tensors"):
        read_state_dict(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"not weights\n", b"PK\x03\x04"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        read_state_dict(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        read_state_dict(tmp_path)


@settings(deadline=None, max_examples=300)
@given(
    zipped=st.booleans(),
    damage=st.dictionaries(st.integers(0, 2000), st.integers(0, 255), max_size=4),
    cut=st.booleans(),
)
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, zipped: bool, damage: dict[int, int], cut: bool
) -> None:
    content = bytearray(small_checkpoint(zipped))
    for place, value in damage.items():
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(content[: max(damage, default=0)] if cut else content)
    try:
        assert all(isinstance(value, Tensor) for value in read_state_dict(path).values())
    except CheckpointError as error:
        assert "damaged.pt" in str(error)


def test_everything_that_does_not_fit_is_listed(state: dict[str, Tensor]) -> None:
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


def test_weights_that_do_not_fit_change_nothing(state: dict[str, Tensor]) -> None:
    module = load("hpn-reduced")
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state["synth.reverb.noise"] = torch.zeros(8000, 1)
    with pytest.raises(CheckpointError):
        load_weights(module, state, "run.pt")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_weights_of_another_size_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"decoder\.gru\.weight_hh_l0 is \(48, 16\), the model has \(1536, 512\)"):
        load("hpn-full", GOLDEN)


def test_weights_are_described_by_their_name_and_hash_or_called_untrained() -> None:
    assert describe_weights(GOLDEN).startswith("checkpoint hpn-reduced.pt, sha256 ")
    assert describe_weights(None).startswith("untrained: ")


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
