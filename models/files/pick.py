"""Which of the weights in a checkpoint are taken, and in words what is left out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import CheckpointError
from .groups import Entry, Group, entries_of, is_tensor, other_groups, our_groups, with_names
from .keys import TEACHER, listed, plain

NO_NAME = "no prefix"


class Picked(NamedTuple):
    """The entries that are weights, and in words what else there is."""

    state: dict[str, Any]
    notes: list[str]


def pick(saved: Mapping[str, Any], wanted: str = "") -> Picked:
    """The one model in what a run has saved, under that model's own keys where it is one of ours.

    Args:
        saved: dicts within dicts; `Stored` or tensors are weights.
        wanted: the name of a group of weights; by default the ordinary ones.

    Raises:
        CheckpointError: to be put after the file's name, where there are two models or none, or no such group.
    """
    entries = entries_of(saved)
    groups = our_groups(entries)
    if groups:
        chosen = _named(groups, wanted) if wanted else _ordinary(groups, True)
        state, notes = _completed(chosen, groups)
        more, left_out = _around(chosen, groups, entries)
        return Picked({**state, **more}, [*left_out, *notes, *_choice(chosen, groups, wanted)])
    groups = other_groups(entries)
    if not groups:
        return Picked({}, [])
    chosen = _named(groups, wanted) if wanted else _ordinary(groups, False)
    others = {name for group in groups.values() for name in group.members}
    beside = _beside(chosen, [entry for entry in entries if entry.full not in others])
    return Picked(chosen.state, [*beside, *_choice(chosen, groups, wanted)])


def _ordinary(groups: dict[str, Group], is_ours: bool) -> Group:
    """The weights of a run as it stands: not averaged, not a teacher's."""
    found = [group for group in groups.values() if not group.is_averaged and not group.is_teachers]
    if not found:
        found = [group for group in groups.values() if group.is_averaged and not group.is_teachers]
    if not found:
        raise CheckpointError(f"holds a {TEACHER} but no student")
    if not is_ours:  # it is refused later, for it fits no model
        return max(found, key=lambda group: sum(map(is_tensor, group.state.values())))
    whole = [group for group in found if group.is_whole]
    lightnings = [group for group in whole or found if group.prefix.startswith("state_dict.")]
    alone = next((some[0] for some in (found, whole, lightnings) if len(some) == 1), None)
    if alone is None:
        raise CheckpointError(_mixture(found))
    return alone


def _mixture(found: list[Group]) -> str:
    homes = set.union(*(group.homes for group in found))
    inside = "".join(f"{name}." for name in min(homes)) if len(homes) == 1 else ""
    prefixes = sorted(group.prefix.removeprefix(inside) for group in found)
    named = [f"{prefix}*" if prefix else NO_NAME for prefix in prefixes]
    names = sorted({group.name for group in found} - {""})
    how = f" or choose one with --weights, {listed(names)}" if names else ""
    return f"mixes two models, under {' and '.join(named[:2])}: save one of them alone{how}"


def _named(groups: dict[str, Group], wanted: str) -> Group:
    """The group that somebody has asked for: by its whole name, a name on the way to it, or a word of one."""
    every = list(groups.values())
    ways: list[Callable[[Group], bool]] = [
        lambda group: wanted == group.name,
        lambda group: wanted in group.name.split("."),
        lambda group: wanted in re.split(r"[._]", group.name),
        lambda group: wanted == "ema" and group.is_averaged,
    ]
    found = next((some for is_meant in ways if (some := [group for group in every if is_meant(group)])), [])
    if len(found) == 1:
        return found[0]
    problem = f"has several weights named {wanted}" if found else f"has no weights named {wanted}"
    there = sorted({group.name or NO_NAME for group in (found or every)})
    raise CheckpointError(f"{problem}: those there are {listed(there, 10)}")


def _completed(chosen: Group, groups: dict[str, Group]) -> tuple[dict[str, Any], list[str]]:
    """A group's weights; what is not averaged, such as buffers, comes from the ordinary ones."""
    ordinary = {prefix: group for prefix, group in groups.items() if not (group.is_averaged or group.is_teachers)}
    beside = _ordinary(ordinary, True).state if ordinary and chosen.is_averaged and not chosen.is_teachers else {}
    state = chosen.state if chosen.unnamed is None else with_names(chosen, beside)
    added = {key: value for key, value in beside.items() if key not in _covered(state)}
    notes = [f"not averaged, so taken from the ordinary weights: {listed(added)}"] if added else []
    return {**state, **added}, notes


def _covered(state: Mapping[str, Any]) -> set[str]:
    """The keys that need not be added: also a weight where its norm and direction are there, and the reverse."""
    whole = {key[:-2] for key in state if key.endswith(("_g", "_v"))}
    return {*state, *whole, *(f"{key}{end}" for key in state for end in ("_g", "_v"))}


def _around(chosen: Group, groups: dict[str, Group], entries: list[Entry]) -> tuple[dict[str, Any], list[str]]:
    """What lies below the same wrapper, and so belongs to the model, and notes on all else."""
    others = [group for group in groups.values() if group is not chosen]
    theirs = chosen.members.union(*(group.members for group in others))
    near_them = tuple(f"{root}{end}" for group in others if (root := _root(group, chosen)) for end in "._")
    around = [entry for entry in entries if entry.full not in theirs and not entry.full.startswith(near_them)]
    taught = [] if chosen.is_teachers else [entry for entry in entries if TEACHER in entry.full.split(".")]
    lessons = {entry.full for entry in taught}
    around = [entry for entry in around if entry.full not in lessons]
    near = [entry for entry in around if entry.path in chosen.homes and is_tensor(entry.value)]
    inside = [entry for entry in near if entry.full.startswith(chosen.wrapper) and chosen.unnamed is None]
    outside = [entry.key for entry in near if not entry.full.startswith(chosen.wrapper)]
    notes = _beside(chosen, around)
    notes += [f"ignored {TEACHER}.*: {len(taught)} entries of distillation's teacher"] if taught else []
    notes += [f"ignored outside {_relative(chosen)}*: {listed(outside)}"] if outside else []
    return {plain(entry.full.removeprefix(chosen.wrapper)): entry.value for entry in inside}, notes


def _root(other: Group, chosen: Group) -> str:
    """The name below which the other group lies and the chosen one doesn't: `ema` for `ema.shadow.`, beside `model.`"""
    mine, words = chosen.prefix.split("."), other.prefix.rstrip("._").split(".")
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(mine, words, strict=False)))
    return ".".join(words[: same + 1]) if same < len(words) else ""


def _relative(group: Group) -> str:
    """The wrapper as it stands in the keys of the group's dict."""
    return group.wrapper.removeprefix("".join(f"{name}." for name in min(group.homes)))


def _beside(chosen: Group, entries: list[Entry]) -> list[str]:
    """A note on what lies in other dicts or is no tensor, by its outermost name."""
    others = [entry for entry in entries if entry.path not in chosen.homes or not is_tensor(entry.value)]
    names = {_outermost((*entry.path, entry.key), chosen): None for entry in others}
    return [f"ignored beside the weights: {listed(names)}; nothing in there was run"] if names else []


def _outermost(way: tuple[str, ...], chosen: Group) -> str:
    """The first names on the way to a value that are not on the way to the group."""
    ends = (end for end in range(1, len(way)) if all(home[:end] != way[:end] for home in chosen.homes))
    return ".".join(way[: next(ends, len(way))])


def _choice(chosen: Group, groups: dict[str, Group], wanted: str) -> list[str]:
    """Which weights these are, where there are several: averaged ones are often better, and never taken unasked."""
    others = sorted({group.name for group in groups.values() if group is not chosen and not group.is_teachers} - {""})
    if wanted:
        return [f"uses the weights {chosen.name}"]
    if chosen.is_averaged:
        return [f"uses averaged weights, {chosen.name}: there are no others"]
    return (
        [f"other weights are there too, {listed(others)}: export and convert take them with --weights {others[0]}"]
        if others
        else []
    )
