"""Keys as training code leaves them become the model's own, and two models are never mixed."""

from __future__ import annotations

from pathlib import Path

import places
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tonearm.export.streaming import render
from tonearm.models.catalogue import family_and_width, load
from tonearm.models.errors import CheckpointError
from tonearm.models.families.hpn import HpN
from tonearm.models.files.checkpoints import read_checkpoint
from tonearm.models.files.pick import pick
from torch import Tensor

GOLDEN = places.GOLDEN / "hpn-reduced.pt"
ONE, TWO, THREE, FOUR = (torch.zeros(1) for _ in range(4))
KEYS = ["decoder.net.0.block.0.bias", "decoder.gru.weight_hh_l0", "synth.fr", "synth.reverb.wet"]


def ddx7(key: str) -> str:
    """A key as the DDX7 repository calls it."""
    return key.replace("decoder.", "net.0.", 1).replace("synth.", "net.1.", 1)


@pytest.fixture
def state() -> dict[str, Tensor]:
    return read_checkpoint(GOLDEN).state


@given(
    wrappers=st.lists(st.sampled_from(["model", "module", "_orig_mod", "student", "generator", "decoder"]), max_size=4),
    renamed=st.booleans(),
    compiled=st.booleans(),
)
def test_whatever_wraps_a_model_comes_off(wrappers: list[str], renamed: bool, compiled: bool) -> None:
    wrappers = [word for word in wrappers if not (renamed and word == "decoder")]
    weights = {key: torch.zeros(1) for key in KEYS}
    found = {}
    for key in KEYS:
        name = ddx7(key) if renamed else key
        name = name.replace(".reverb", "._orig_mod.reverb") if compiled else name
        found[".".join([*wrappers, name])] = weights[key]
    assert pick(found) == (weights, [])


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "model._orig_mod."])
def test_a_checkpoint_of_the_ddx7_repository_fits(tmp_path: Path, state: dict[str, Tensor], prefix: str) -> None:
    torch.save({prefix + ddx7(key): value for key, value in state.items()}, tmp_path / "state_best.pth")
    loaded = load("hpn-reduced", tmp_path / "state_best.pth").state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["model.decoder.a", "decoder.a"], r"mixes two models, under no prefix and model\.\*: save one"),
        (["net.0.a", "decoder.b"], r"under no prefix and net\.\*"),
        (["model.net.0.a", "model.synth.b"], r"under model\.\* and model\.net\.\*"),
        (["decoder.a", "decoder._orig_mod.a"], r"mixes two models: decoder\._orig_mod\.a appears under two names"),
        (["teacher.decoder.a", "teacher.synth.a"], "holds a teacher but no student"),
    ],
)
def test_two_models_in_one_file_are_refused_by_their_prefixes(tmp_path: Path, keys: list[str], said: str) -> None:
    torch.save({"state_dict": {key: torch.zeros(1) for key in keys}}, tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match=rf"run\.ckpt .*{said}"):
        read_checkpoint(tmp_path / "run.ckpt")


@pytest.mark.parametrize("prefix", ["", "model."])
def test_of_a_student_and_its_teacher_the_student_is_loaded(prefix: str) -> None:
    state = {f"{prefix}student.decoder.a": ONE, f"{prefix}teacher.decoder.a": TWO, f"{prefix}student.synth.b": THREE}
    kept, notes = pick(state)
    assert kept == {"decoder.a": ONE, "synth.b": THREE}
    assert notes == ["ignored teacher.*: 1 entries of distillation's teacher"]


def test_keys_of_no_model_stay_as_they_are() -> None:
    state = {"weight": ONE, "model.bias": TWO}
    assert pick(state) == (state, [])


def test_what_lies_beside_an_unwrapped_model_is_not_ignored() -> None:
    state = {"decoder.a": ONE, "extra.b": TWO}
    assert pick(state) == (state, [])


def test_what_lies_beside_a_wrapped_model_is_ignored_and_said() -> None:
    state = {"model.decoder.a": ONE, "model.extra.b": TWO, "loss.c": THREE, "teacher.decoder.a": FOUR}
    kept, notes = pick(state)
    assert kept == {"decoder.a": ONE, "extra.b": TWO}
    assert notes == ["ignored teacher.*: 1 entries of distillation's teacher", "ignored outside model.*: loss.c"]


@pytest.mark.parametrize(
    ("state", "meant"),
    [
        ({"decoder.gru.weight_hh_l0": torch.zeros(48, 16)}, ("hpn", 16)),
        (
            {"decoder.gru.weight_hh_l0": torch.zeros(48, 16), "synth.wavetables.wavetables.0": torch.zeros(512)},
            ("wavetable", 16),
        ),
        ({"decoder.net.0.block.0.bias": torch.zeros(64)}, ("ddx7", 64)),
        ({"decoder.gru.weight_hh_l0": torch.zeros(48, 16), "synth.stray": torch.zeros(1)}, ("hpn", 16)),
        ({"decoder.gru.weight_hh_l0": torch.zeros(())}, ("", 0)),
        ({}, ("", 0)),
    ],
)
def test_the_family_and_width_of_weights_are_told_by_their_keys(
    state: dict[str, Tensor], meant: tuple[str, int]
) -> None:
    assert family_and_width(state) == meant


def test_the_sizes_of_hpn_are_those_of_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    wanted = HpN(16, harmonics=60, bands=33)  # 60 harmonics: the DDX7 repository's HpN
    torch.save({ddx7(key): value for key, value in wanted.state_dict().items()}, tmp_path / "sixty.pth")
    found = load("hpn-reduced", tmp_path / "sixty.pth")
    assert found.get_submodule("decoder.proj_matrices.1").weight.shape == (60, 16)
    clip = found.example(8)
    assert torch.equal(render(found, clip)["audio"], render(wanted.eval(), clip)["audio"])


@pytest.mark.parametrize(("head", "rows"), [(1, 0), (2, 32), (2, 1026), (2, 0)])
def test_sizes_that_no_synthesizer_has_are_refused(
    tmp_path: Path, state: dict[str, Tensor], head: int, rows: int
) -> None:
    state[f"decoder.proj_matrices.{head}.weight"] = torch.zeros(rows, 16)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"the checkpoint is for \d+ harmonics and \d+ noise bands: HpN has"):
        load("hpn-reduced", tmp_path / "odd.pt")


def test_a_head_of_another_width_is_listed_with_all_else(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["decoder.proj_matrices.1.weight"] = torch.zeros(60, 17)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"proj_matrices\.1\.weight is \(60, 17\), the model has \(100, 16\)"):
        load("hpn-reduced", tmp_path / "odd.pt")
