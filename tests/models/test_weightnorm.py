"""Weights with weight norm are those of the model, however PyTorch has written them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import places
import pytest
import torch
from tonearm.export.streaming import render
from tonearm.models.catalogue import load
from tonearm.models.convert import convert
from tonearm.models.files.checkpoints import load_weights, read_checkpoint
from tonearm.models.files.weightnorm import product
from torch import Tensor, nn

FLUTE = places.GOLDEN / "ddx7-reduced-flute.pt"
State = dict[str, Tensor]
LAYERS = {
    "linear": lambda: nn.Linear(3, 5),
    "conv": lambda: nn.Conv1d(3, 5, 4),
    "narrow": lambda: nn.Conv1d(3, 1, 4),
    "transposed": lambda: nn.ConvTranspose1d(3, 5, 4),
    "plane": lambda: nn.Conv2d(3, 5, (2, 4)),
}


def in_todays_keys(state: State) -> State:
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {
        key.replace(key.rpartition(".")[2], new.get(key.rpartition(".")[2], key.rpartition(".")[2])): value
        for key, value in state.items()
    }


def folded(state: State) -> State:
    found = {key: value for key, value in state.items() if not key.endswith(("_g", "_v"))}
    for key in [key[:-2] for key in state if key.endswith("_v")]:
        direction = state[f"{key}_v"]
        found[key] = state[f"{key}_g"] * direction / direction.norm(dim=(1, 2), keepdim=True)
    return found


def along_another(state: State, dim: int | None) -> State:
    """The same weights with their norms taken over all dimensions but `dim`."""
    found = {key: value for key, value in folded(state).items() if key not in {k[:-2] for k in state if k[-2:] == "_v"}}
    for key in [key[:-2] for key in state if key.endswith("_v")]:
        found |= {
            f"{key}_v": folded(state)[key],
            f"{key}_g": torch.norm_except_dim(folded(state)[key], 2, -1 if dim is None else dim),
        }
    return found


FORMS: list[Any] = [
    in_todays_keys,
    folded,
    lambda state: along_another(state, 1),
    lambda state: in_todays_keys(along_another(state, 2)),
    lambda state: along_another(state, None),
]


@pytest.mark.parametrize("form", FORMS)
def test_weights_in_every_form_sound_the_same(tmp_path: Path, form: Any) -> None:
    torch.save(form(read_checkpoint(FLUTE).state), tmp_path / "run.pth")
    wanted, found = load("ddx7-reduced-flute", FLUTE), load("ddx7-reduced-flute", tmp_path / "run.pth")
    clip = wanted.example(50)
    torch.testing.assert_close(render(found, clip)["audio"], render(wanted, clip)["audio"], rtol=0, atol=1e-5)
    convert(tmp_path / "run.pth", tmp_path / "new.safetensors")
    again = load("ddx7-reduced-flute", tmp_path / "new.safetensors").state_dict()
    assert all(torch.equal(value, again[key]) for key, value in found.state_dict().items())


def test_todays_keys_change_no_number(tmp_path: Path) -> None:
    state = read_checkpoint(FLUTE).state
    torch.save(in_todays_keys(state), tmp_path / "run.pth")
    loaded = load("ddx7-reduced-flute", tmp_path / "run.pth").state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
def test_a_layer_without_weight_norm_takes_the_product(tmp_path: Path, norm: Any, layer: str, dim: int | None) -> None:
    module = nn.ModuleDict({"decoder": LAYERS[layer]()})
    norm(module["decoder"], dim=dim)
    with torch.no_grad():
        for key, value in module.named_parameters():
            value.mul_(1.5 if key.endswith(("_g", "original0")) else 1)
    module["decoder"](
        torch.zeros(1, 3, 3, 9) if layer == "plane" else torch.zeros(1, *((3,) if layer == "linear" else (3, 9)))
    )
    torch.save(module.state_dict(), tmp_path / "run.pt")
    plain = nn.ModuleDict({"decoder": LAYERS[layer]()})
    load_weights(plain, read_checkpoint(tmp_path / "run.pt").state, "run.pt")
    torch.testing.assert_close(plain["decoder"].weight, module["decoder"].weight)


@pytest.mark.parametrize("name", ["weight_hh_l0", "weight_ih_l0"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_recurrent_layer_with_weight_norm_fits(tmp_path: Path, name: str) -> None:
    module = load("hpn-reduced", places.GOLDEN / "hpn-reduced.pt")
    wanted = {key: value.clone() for key, value in module.state_dict().items()}
    nn.utils.weight_norm(module.decoder.gru, name)  # type: ignore[arg-type,union-attr]
    torch.save(module.state_dict(), tmp_path / "run.pt")
    loaded = load("hpn-reduced", tmp_path / "run.pt").state_dict()
    assert set(loaded) == set(wanted)
    for key, value in wanted.items():
        torch.testing.assert_close(loaded[key], value)


def test_a_weight_of_zeros_stays_zeros() -> None:
    state = folded(read_checkpoint(FLUTE).state)
    state["decoder.net.1.block.0.weight"][3] = 0
    module = load("ddx7-reduced-flute")
    load_weights(module, state, "run.pt")
    layer: Any = module.get_submodule("decoder.net.1.block.0")
    torch.testing.assert_close(layer.weight(), state["decoder.net.1.block.0.weight"])


def test_a_norm_of_another_shape_is_no_norm() -> None:
    assert product(torch.ones(4, 1, 1), torch.ones(5, 3, 2)) is None
    assert product(torch.ones(5), torch.ones(5, 3, 2)) is None
    assert product(torch.ones(5, 3, 2), torch.ones(5, 3, 2)) is None
