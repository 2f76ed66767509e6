"""Keys of weights: from those that training code leaves in a checkpoint to those of our models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import CheckpointError

PARTS = ("decoder", "synth")
WRAPPERS = ("model", "module", "_orig_mod", "student")  # Lightning, DataParallel, torch.compile, distillation
INNER_WRAPPERS = ("module", "_orig_mod")
TEACHER = "teacher"
DDX7_PARTS = {("net", "0"): "decoder", ("net", "1"): "synth"}
MAX_LISTED = 3


class Key(NamedTuple):
    """A key, cut: the wrappers around the model, what the model calls its parts ("net." or ""), and the rest."""

    wrapper: str
    style: str
    rest: str


def cut(key: str) -> Key:
    """`model.net.0._orig_mod.gru.bias_hh_l0` is `model.`, `net.` and `decoder.gru.bias_hh_l0`."""
    words = key.split(".")
    start = 0
    while start < len(words) and words[start] in WRAPPERS:
        start += 1
    wrapper, rest, style = "".join(f"{word}." for word in words[:start]), words[start:], ""
    if (rest[0] if rest else "", rest[1] if len(rest) > 1 else "") in DDX7_PARTS:
        style, rest = "net.", [DDX7_PARTS[rest[0], rest[1]], *rest[2:]]
    return Key(wrapper, style, ".".join(word for word in rest if word not in INNER_WRAPPERS))


def canonical(state: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The entries of the one model in `state` under that model's own keys, and notes on what was left out.

    Entries of no model we know stay as they are. `CheckpointError`, to be put after the file's name, where there
    are two models, or only a teacher.
    """
    cuts = {key: cut(key) for key in state}
    teacher = [key for key in cuts if cuts[key].rest.split(".")[0] == TEACHER]
    ours = {key: cuts[key] for key in cuts if cuts[key].rest.startswith(tuple(f"{part}." for part in PARTS))}
    if teacher and not ours:
        raise CheckpointError(f"holds a {TEACHER} but no student")
    if not ours:
        return dict(state), []
    wrapper = _one_model(ours)
    outside = [key for key in cuts if key not in teacher and cuts[key].wrapper != wrapper]
    left_out = {*teacher, *outside}
    notes = [f"ignored {TEACHER}.*: {len(teacher)} entries of distillation's teacher"] if teacher else []
    notes += [f"ignored outside {wrapper}*: {listed(outside)}"] if outside else []
    return {cuts[key].rest: value for key, value in state.items() if key not in left_out}, notes


def _one_model(ours: Mapping[str, Key]) -> str:
    """The wrapper that all these keys have; `CheckpointError` names the prefixes where they are those of two models."""
    prefixes = sorted({key.wrapper + key.style for key in ours.values()})
    if len(prefixes) > 1:
        named = " and ".join(f"{prefix}*" if prefix else "no prefix" for prefix in prefixes)
        raise CheckpointError(f"mixes two models, under {named}: save one of them alone")
    seen: set[str] = set()
    for name, key in ours.items():
        if key.rest in seen:
            raise CheckpointError(f"mixes two models: {name} appears under two names")
        seen.add(key.rest)
    return next(iter(ours.values())).wrapper


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
