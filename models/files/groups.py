"""The groups of weights in a checkpoint: a run leaves several, and much beside them.

```
{"epoch": 5, "model": {"module.decoder.gru.bias_hh_l0": ...},      group "model"
             "ema": {"shadow_params": [...]}}                      group "ema.shadow_params", weights without names
```

Dicts within dicts count as one dict with the names of all joined by dots, so that a group is what has one prefix.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import CheckpointError
from .keys import TEACHER, Key, cut, group_name, is_averaged
from .torchfiles import Stored, shape_of

MAX_DEPTH = 5
MAX_ENTRIES = 200_000  # a small file can hold a dict that holds another one many times, and so on
MAX_GROUPS = 64
OPTIMIZER = re.compile(r"(?:.*_)?optim(?:izer)?s?(?:_states?)?(?:_dicts?)?", re.I)  # keyed like weights by some
BUFFERS = ("synth.fr", "synth.reverb.t")  # not among a module's parameters
FIXED = tuple(f"synth.wavetables.wavetables.{number}" for number in range(4))  # nor among those that are trained
SIGNS = ("decoder.gru.weight_hh_l0", "decoder.gru.weight_hh_l0_v", "decoder.net.0.block.0.bias")


class Entry(NamedTuple):
    """A value in the dicts named by `path`."""

    path: tuple[str, ...]
    key: str
    value: Any

    @property
    def full(self) -> str:
        """The names of all dicts and the key, joined by dots."""
        return ".".join((*self.path, self.key))


@dataclass
class Group:
    """Weights below one prefix, under the model's own keys.

    Attributes:
        name: what people call them.
        wrapper: the prefix without the model's own style.
        prefix: what all their full names begin with.
        state: the weights.
        homes: the dicts they lie in.
        members: their full names.
        unnamed: weights of which only the order is known.
    """

    name: str
    wrapper: str
    prefix: str
    state: dict[str, Any] = field(default_factory=dict)
    homes: set[tuple[str, ...]] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    unnamed: list[Any] | None = None

    @property
    def is_averaged(self) -> bool:
        """Whether its name says that its weights are a mean."""
        return is_averaged(self.name)

    @property
    def is_whole(self) -> bool:
        """Whether it has what every model of ours has, and hardly another."""
        return any(sign in self.state for sign in SIGNS)

    @property
    def is_teachers(self) -> bool:
        """Whether it is what a student learned from."""
        return TEACHER in self.name.split(".")


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor, read or declared."""
    return isinstance(value, Stored | Tensor)


def entries_of(saved: Mapping[str, Any]) -> list[Entry]:
    """Every value in dicts within dicts; `CheckpointError` where there are too many."""
    entries = list(itertools.islice(_entries(saved, ()), MAX_ENTRIES + 1))
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"holds more than {MAX_ENTRIES} entries: save model.state_dict() alone")
    return entries


def _entries(saved: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Entry]:
    for key, value in saved.items():
        if isinstance(value, dict) and value and len(path) < MAX_DEPTH and not OPTIMIZER.fullmatch(key):
            yield from _entries(value, (*path, key))
        else:
            yield Entry(path, key, value)


def our_groups(entries: list[Entry]) -> dict[str, Group]:
    """The groups whose keys are those of our models, by prefix."""
    groups: dict[str, Group] = {}
    for entry in entries:
        if key := cut(entry.full):
            _add(groups, key, entry)
    groups = {prefix: group for prefix, group in groups.items() if any(map(is_tensor, group.state.values()))}
    if len(groups) > MAX_GROUPS:
        raise CheckpointError(f"holds {len(groups)} groups of weights: save model.state_dict() of one model alone")
    if groups:
        _add_without_dots(groups, entries)
        _add_unnamed(groups, entries)
    return groups


def _add(groups: dict[str, Group], key: Key, entry: Entry) -> None:
    prefix = key.wrapper + key.style
    group = groups.setdefault(prefix, Group(group_name(prefix), key.wrapper, prefix))
    if key.rest in group.state:
        raise CheckpointError(f"mixes two models: {entry.key} appears under two names")
    group.state[key.rest] = entry.value
    group.homes.add(entry.path)
    group.members.add(entry.full)


def _add_without_dots(groups: dict[str, Group], entries: list[Entry]) -> None:
    """Averaged weights as buffers, whose names can have no dots: `model_ema.decodergrubias_hh_l0`."""
    known = {full.replace(".", ""): rest for full, rest in _names(groups)}
    for entry in entries:
        prefix, dot, last = entry.full.rpartition(".")
        if last in known and is_tensor(entry.value) and is_averaged(prefix):
            _add(groups, Key(prefix + dot, "", known[last]), entry)


def _names(groups: dict[str, Group]) -> Iterator[tuple[str, str]]:
    for group in groups.values():
        for rest in group.state:
            yield rest, rest
            yield group.name + rest, rest


def _add_unnamed(groups: dict[str, Group], entries: list[Entry]) -> None:
    """Averaged weights as a list in the order of the model's parameters, as torch_ema and diffusers leave them."""
    for entry in entries:
        values = entry.value if isinstance(entry.value, list) and is_averaged(entry.full) else []
        if values and all(map(is_tensor, values)):
            prefix = f"{entry.full}."
            groups[prefix] = Group(entry.full, prefix, prefix, {}, {entry.path}, {entry.full}, values)


def other_groups(entries: list[Entry]) -> dict[str, Group]:
    """Where there is no model of ours: every dict that holds tensors, with all it holds."""
    groups: dict[str, Group] = {}
    for entry in entries:
        prefix = "".join(f"{name}." for name in entry.path)
        group = groups.setdefault(prefix, Group(group_name(prefix), prefix, prefix, homes={entry.path}))
        group.state[entry.key] = entry.value
        group.members.add(entry.full)
    return {prefix: group for prefix, group in groups.items() if any(map(is_tensor, group.state.values()))}


def with_names(group: Group, ordinary: Mapping[str, Any]) -> dict[str, Any]:
    """The names of the ordinary weights, in their order, where only one choice of them fits the shapes."""
    values: list[Any] = group.unnamed or []
    shapes = [shape_of(value) for value in values]
    for left_out in ((), BUFFERS, BUFFERS + FIXED):
        names = [key for key in ordinary if key not in left_out]
        if [shape_of(ordinary[key]) for key in names] == shapes:
            return dict(zip(names, values, strict=True))
    known = [(key, shape_of(value)) for key, value in ordinary.items() if key not in BUFFERS]
    found, backwards = _in_order(shapes, known), _in_order(shapes[::-1], known[::-1])
    if found is None or backwards is None or found != backwards[::-1]:
        raise CheckpointError(
            f"holds {len(values)} weights without names under {group.name}, which can't be told apart by the shapes of "
            "the ordinary ones: copy them into the model and save its state_dict()"
        )
    return dict(zip(found, values, strict=True))


def _in_order(shapes: list[Any], known: list[tuple[str, Any]]) -> list[str] | None:
    """The first name for each shape, without going back; None where one finds none."""
    rest = iter(known)
    names = [next((key for key, shape in rest if shape == wanted), None) for wanted in shapes]
    return None if None in names else [name for name in names if name is not None]
