"""Weight norm: a weight as a norm `g` and a direction `v`, in the way that a model has it.

PyTorch writes `weight_g` and `weight_v`, or `parametrizations.weight.original0` and `original1`, which `keys` renames.
`g` has the shape of `v` with 1 for each dimension that the norm is taken over, or none where it is taken over all. What
is exported or has its weight norm removed has the product alone, `weight`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def with_products(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, and `weight` for every `weight_g` and `weight_v` (whatever its name) that has none."""
    whole = {key[:-2] for key in state if key.endswith("_v") and f"{key[:-2]}_g" in state}
    products = {key: product(state[f"{key}_g"], state[f"{key}_v"]) for key in whole if key not in state}
    return {**state, **{key: value for key, value in products.items() if value is not None}}


def product(norm: Tensor, direction: Tensor) -> Tensor | None:
    """`g v / |v|`; None where the shape of `g` says no dimensions to take the norm over, and for whole numbers."""
    if not (norm.is_floating_point() and direction.is_floating_point()):
        return None
    every = range(direction.dim())
    over = [one for one in every if norm.dim() == 0 or norm.shape[one : one + 1] == (1,)]
    sizes = tuple(1 if one in over else direction.shape[one] for one in every)
    if norm.dim() not in (0, direction.dim()) or (norm.dim() and tuple(norm.shape) != sizes) or not over:
        return None
    length = torch.linalg.vector_norm(direction.float(), dim=over, keepdim=True)
    return norm.float() * direction.float() / length


def as_wanted(state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The weights with weight norm where `wanted`, shapes by key, has it in that form, and without where it has none.

    What fits already stays as it is. What can't be made to fit stays too.
    """
    known = with_products(state)
    made: dict[str, Tensor] = {}
    for key, shape in wanted.items():
        if key.endswith("_v") and f"{key[:-2]}_g" in wanted:
            made |= _parts(key[:-2], state, known, wanted)
        elif key not in state and key in known and tuple(known[key].shape) == shape:
            made[key] = known[key]
    replaced = {part for key in made for part in _forms(key)}
    return {**{key: value for key, value in state.items() if key not in replaced}, **made}


def _parts(
    key: str, state: Mapping[str, Tensor], known: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Norm and direction of the weight `key`, where they are not there in the wanted shapes but can be had."""
    norm, direction = f"{key}_g", f"{key}_v"
    fits = all(part in state and tuple(state[part].shape) == wanted[part] for part in (norm, direction))
    if fits or key not in known or tuple(known[key].shape) != wanted[direction] or not known[key].is_floating_point():
        return {}
    weight = known[key].float()
    over = [one for one, size in enumerate(wanted[norm]) if size == 1]
    length = torch.linalg.vector_norm(weight, dim=over or None, keepdim=bool(over))
    # A direction of zeros has no length to be divided by.
    return {norm: length.reshape(wanted[norm]), direction: torch.where(length == 0, torch.ones_like(weight), weight)}


def _forms(key: str) -> tuple[str, str, str]:
    """All keys that one weight can have."""
    whole = key[:-2] if key.endswith(("_g", "_v")) else key
    return whole, f"{whole}_g", f"{whole}_v"
