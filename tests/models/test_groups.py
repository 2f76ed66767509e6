"""Of what a run leaves in one file, the ordinary weights are taken, others by name, and all else is said."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import places
import pytest
import torch
from commands import tonearm
from tonearm.models.catalogue import load, models_for
from tonearm.models.errors import CheckpointError
from tonearm.models.files.checkpoints import read_checkpoint
from torch import Tensor, nn

State = dict[str, Tensor]


@dataclasses.dataclass
class Settings:
    """Of a training, pickled with its weights."""

    rate: float = 1e-3


@pytest.fixture(scope="module", params=["hpn-reduced", "ddx7-reduced-flute", "wavetable-reduced"])
def state(request: pytest.FixtureRequest) -> State:
    return read_checkpoint(places.GOLDEN / f"{request.param}.pt").state


@pytest.fixture(scope="module")
def small() -> State:
    return read_checkpoint(places.GOLDEN / "ddx7-reduced-flute.pt").state


def saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "run.pt")
    return folder / "run.pt"


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    return set(found) == set(wanted) and all(torch.equal(found[key], wanted[key]) for key in wanted)


def more(state: State) -> State:
    """Other weights of the same model: whatever is trained is larger by a half."""
    return {key: value + 0.5 if is_trained(key) else value for key, value in state.items()}


def is_trained(key: str) -> bool:
    return key not in ("synth.fr", "synth.reverb.t")


BESIDE = {
    "loss": torch.tensor(0.3),
    "losses": [torch.tensor(0.3), [1, (2, "three")]],
    "rng": torch.get_rng_state(),
    "numpy_rng": np.random.get_state(),
    "python_rng": random.getstate(),
    "best": np.float64(0.25),
    "curve": np.zeros(3),
    "epoch": 5,
    "arguments": argparse.Namespace(seed=1, folder=Path("runs")),
    "settings": Settings(),
    "history": collections.OrderedDict(step=torch.arange(3)),
    "counts": collections.defaultdict(list, a=[1]),
    "device": torch.device("cpu"),
    "type": torch.float16,
    "mask": torch.zeros(2, dtype=torch.bool),
    "statistics": {"f0": {"mean": torch.tensor(220.0)}},
    "nothing": None,
}


@pytest.mark.parametrize("zipped", [True, False])
def test_the_recipe_for_a_general_checkpoint_is_read_whatever_lies_beside_the_weights(
    tmp_path: Path, state: State, zipped: bool
) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(1, 2)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3)
    run = {"optimizer_state_dict": optimizer.state_dict(), "scheduler": schedule.state_dict(), **BESIDE}
    torch.save({"model_state_dict": state, **run}, tmp_path / "run.pth", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "run.pth")
    assert same(found.state, state)
    assert found.notes == (
        f"ignored beside the weights: optimizer_state_dict, scheduler, loss and {len(run) - 3} more; nothing in there "
        "was run",
    )


@pytest.mark.parametrize("name", BESIDE)
def test_each_of_these_may_lie_beside_the_weights(tmp_path: Path, small: State, name: str) -> None:
    found = read_checkpoint(saved(tmp_path, {name: BESIDE[name], "model": small}))
    assert same(found.state, small)
    assert found.notes == (f"ignored beside the weights: {name}; nothing in there was run",)


def test_an_optimizer_that_is_keyed_like_the_weights_is_left_out(tmp_path: Path, small: State) -> None:
    optimizer = {"state": {key: {"exp_avg": value} for key, value in small.items()}, "param_groups": []}
    assert same(read_checkpoint(saved(tmp_path, {"model": small, "optim": optimizer})).state, small)


@pytest.mark.parametrize(
    "nested",
    [
        lambda state: {"state": {"model": state, "step": 3}},
        lambda state: {"checkpoint": {"model": {"state_dict": state}}, "step": 3},
        lambda state: {"decoder": inside(state, "decoder."), "synth": inside(state, "synth."), "step": 3},
        lambda state: {"generator": under("module.", state), "discriminator": {"convs.0.weight": torch.zeros(3)}},
        lambda state: under("generator.", state) | {"discriminator.convs.0.weight": torch.zeros(3)},
        lambda state: {"model": under("_orig_mod.module.", state)},
        lambda state: under("model.generator._orig_mod.", state),
        lambda state: under("autoencoder.decoder.", state),
        lambda state: {"model": collections.defaultdict(None, state)},
    ],
)
def test_weights_are_found_however_deep_they_lie(
    tmp_path: Path, state: State, nested: Callable[[State], dict[str, Any]]
) -> None:
    assert same(read_checkpoint(saved(tmp_path, nested(state))).state, state)


def under(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def inside(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def averaged_model(plain: State, mean: State) -> dict[str, Any]:
    return {**under("model.", plain), "ema_model.n_averaged": torch.tensor(7), **under("ema_model.module.", mean)}


def of_latent_diffusion(plain: State, mean: State) -> dict[str, Any]:
    names = {f"model_ema.{key.replace('.', '')}": value for key, value in mean.items() if is_trained(key)}
    counts = {"model_ema.decay": torch.tensor(0.99), "model_ema.num_updates": torch.tensor(7)}
    return {"state_dict": {**under("model.", plain), **names, **counts}, "epoch": 3}


def unnamed(plain: State, mean: State) -> dict[str, Any]:
    values = [value for key, value in mean.items() if is_trained(key)]
    return {"model": plain, "ema": {"decay": 0.99, "num_updates": 7, "shadow_params": values, "collected_params": None}}


def shadow(plain: State, mean: State) -> dict[str, Any]:
    return {"model": plain, "ema": {"shadow": {k: v for k, v in mean.items() if is_trained(k)}, "backup": {}}}


LAYOUTS: dict[str, tuple[Callable[[State, State], dict[str, Any]], str]] = {
    "two dicts": (lambda plain, mean: {"model": plain, "ema": mean, "epoch": 3}, "ema"),
    "model_ema": (lambda plain, mean: {"model": plain, "model_ema": under("module.", mean)}, "model_ema"),
    "timm": (lambda plain, mean: {"state_dict": plain, "state_dict_ema": mean}, "state_dict_ema"),
    "BasicSR": (lambda plain, mean: {"params": plain, "params_ema": mean}, "params_ema"),
    "AveragedModel": (averaged_model, "ema_model"),
    "AveragedModel's own": (
        lambda plain, mean: {"model": plain, "swa": {"n_averaged": torch.tensor(7), **under("module.", mean)}},
        "swa",
    ),
    "glued": (lambda plain, mean: {**plain, **under("ema_", mean)}, "ema"),
    "latent diffusion": (of_latent_diffusion, "model_ema"),
    "torch_ema": (unnamed, "shadow_params"),
    "shadow": (shadow, "shadow"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_averaged_weights_are_taken_only_when_they_are_asked_for(tmp_path: Path, state: State, layout: str) -> None:
    make, name = LAYOUTS[layout]
    mean = more(state)
    path = saved(tmp_path, make(state, mean))
    plain = read_checkpoint(path)
    assert same(plain.state, state)
    assert [note for note in plain.notes if note.startswith("other weights are there too, ")]
    for asked in (name, "ema"):
        found = read_checkpoint(path, asked)
        assert same(found.state, mean), asked
        assert any(note.startswith("uses the weights ") for note in found.notes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_name_that_no_weights_have_lists_those_there_are(tmp_path: Path, small: State, layout: str) -> None:
    make, name = LAYOUTS[layout]
    path = saved(tmp_path, make(small, more(small)))
    with pytest.raises(CheckpointError, match=r"run\.pt has no weights named emma: those there are ") as caught:
        read_checkpoint(path, "emma")
    assert name in str(caught.value)


def test_averaged_weights_alone_are_taken_and_called_so(tmp_path: Path, small: State) -> None:
    found = read_checkpoint(saved(tmp_path, {"ema": small, "step": 3}))
    assert same(found.state, small)
    assert found.notes[-1] == "uses averaged weights, ema: there are no others"


def test_a_teacher_s_averaged_weights_are_no_student(tmp_path: Path, small: State) -> None:
    for teacher in ({"model": small, "ema": small}, {"ema": small}):
        with pytest.raises(CheckpointError, match="holds a teacher but no student"):
            read_checkpoint(saved(tmp_path, {"teacher": teacher}))


def test_weights_without_names_that_could_be_several_are_refused(tmp_path: Path) -> None:
    state = read_checkpoint(places.GOLDEN / "wavetable-reduced.pt").state
    values = [value for key, value in state.items() if is_trained(key)]
    path = saved(tmp_path, {"model": state, "ema": {"shadow_params": [v for v in values if v.shape != (512,)][:-1]}})
    assert same(read_checkpoint(path).state, state)
    trained = [
        value for key, value in state.items() if is_trained(key) and not key.endswith(("s.0", "s.1", "s.2", "s.3"))
    ]
    assert same(read_checkpoint(saved(tmp_path, {"model": state, "ema": trained}), "ema").state, state)
    path = saved(tmp_path, {"model": state, "ema": {"shadow_params": values[:-3]}})
    with pytest.raises(CheckpointError, match=r"weights without names under ema\.shadow_params, which can't be told"):
        read_checkpoint(path, "ema")


def test_two_models_are_never_chosen_between_unless_one_is_named(tmp_path: Path, small: State) -> None:
    path = saved(tmp_path, {"last": small, "best": more(small)})
    with pytest.raises(
        CheckpointError, match=r"under best\.\* and last\.\*: save one of them alone or choose one with"
    ):
        read_checkpoint(path)
    assert same(read_checkpoint(path, "best").state, more(small))


def test_of_several_the_one_that_looks_like_a_model_is_taken(tmp_path: Path, small: State) -> None:
    others = {"discriminator": {"decoder.convs.0.weight": torch.zeros(2)}, "encoder": {"decoder.x": torch.zeros(1)}}
    assert same(read_checkpoint(saved(tmp_path, {"generator": small, **others})).state, small)


def test_another_models_averaged_weights_are_no_mixture(tmp_path: Path) -> None:
    weights = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    found = read_checkpoint(saved(tmp_path, {"model": weights, "ema": weights, "loss": torch.zeros(()), "epoch": 3}))
    assert same(found.state, weights)


def test_a_dict_that_holds_itself_ends(tmp_path: Path, small: State) -> None:
    content: dict[str, Any] = {"model": small}
    content["itself"] = content
    with pytest.raises(CheckpointError, match=r"mixes two models|holds \d+ groups"):
        read_checkpoint(saved(tmp_path, content))


def test_dicts_that_hold_each_other_many_times_are_refused(tmp_path: Path) -> None:
    inner: dict[str, Any] = {str(number): 0 for number in range(100)}
    for _ in range(4):
        inner = {str(number): inner for number in range(100)}
    with pytest.raises(CheckpointError, match="holds more than 200000 entries"):
        read_checkpoint(saved(tmp_path, inner))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_precision_are_read_and_loaded(tmp_path: Path, small: State, dtype: torch.dtype) -> None:
    path = saved(tmp_path, {"model": {key: value.to(dtype) for key, value in small.items()}})
    loaded = load("ddx7-reduced-flute", path).state_dict()
    assert all(torch.equal(loaded[key], small[key].to(dtype).float()) for key in small)


def test_a_name_of_weights_reaches_convert_and_export(tmp_path: Path, small: State) -> None:
    path = saved(tmp_path, {"model": small, "ema": more(small)})
    said = tonearm("convert", path, tmp_path / "plain.safetensors").stderr
    assert "run.pt: other weights are there too, ema: export and convert take them with --weights ema" in said
    tonearm("convert", path, tmp_path / "ema.safetensors", "--weights", "ema")
    assert same(read_checkpoint(tmp_path / "plain.safetensors").state, small)
    assert same(read_checkpoint(tmp_path / "ema.safetensors").state, more(small))
    options = ["--checkpoint", path, "--weights", "ema", "--block", 64, "-o", tmp_path / "bundle"]
    told = tonearm("export", "ddx7-reduced-flute", *options).stderr
    assert "uses the weights ema" in told and "checkpoint run.pt (ema), sha256" in told
    assert "--checkpoint" in tonearm("export", "hpn-reduced", "--weights", "ema", status=1).stderr


def test_a_stray_key_hides_no_family() -> None:
    state = read_checkpoint(places.GOLDEN / "hpn-reduced.pt").state | {"synth.stray": torch.zeros(1)}
    assert [model.name for model in models_for(state)] == ["hpn-reduced"]


def test_a_model_of_another_project_is_told_from_ours_in_one_short_line(tmp_path: Path) -> None:
    path = saved(tmp_path, {"generator": {f"ups.{number}.weight": torch.zeros(2) for number in range(100)}})
    with pytest.raises(CheckpointError) as caught:
        load("hpn-reduced", path)
    said = str(caught.value)
    assert "run.pt does not fit the model, nor any other of Tonearm's: " in said
    assert "unexpected ups.0.weight" in said and "and 97 more" in said
    assert len(said) < 600
