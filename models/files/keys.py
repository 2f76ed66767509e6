"""Keys of weights: from those that training code leaves in a checkpoint to those of our models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# What wraps a module in the middle of a key: DataParallel, torch.compile, FSDP, activation checkpointing.
INNER_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
TEACHER = "teacher"
AVERAGED = {"ema", "shadow", "swa", "average", "averaged", "averaging", "avg", "polyak"}
# The last "decoder" or "synth" of a key is ours, what stands before it wraps the model. "ema_" may be glued to it.
OURS = re.compile(r"(?P<wrapper>(?:.*\.)?(?:\w*(?:ema|swa|avg|shadow)_)?)(?P<part>decoder|synth)\.(?P<rest>.+)", re.S)
DDX7 = re.compile(r"(?P<wrapper>(?:.*?\.)??)net\.(?P<part>[01])\.(?P<rest>.+)", re.S)  # as its repository has them
DDX7_PARTS = {"0": "decoder", "1": "synth"}
# PyTorch's weight norm as it is written today, and as it was: a norm and a direction instead of a weight.
PARAMETRIZED = re.compile(r"(.*\.)?parametrizations\.([^.]+)\.original([01])", re.S)
WEIGHT_NORM = {"0": "_g", "1": "_v"}
MAX_LISTED = 3
MAX_NAME = 100  # of a name that is shown
MAX_KEY = 500


class Key(NamedTuple):
    """A key, cut: the wrappers around the model, what the model calls its parts ("net." or ""), and the rest."""

    wrapper: str
    style: str
    rest: str


def cut(key: str) -> Key | None:
    """`model.net.0._orig_mod.gru.bias_hh_l0` is `model.`, `net.` and `decoder.gru.bias_hh_l0`; None if not ours."""
    if len(key) > MAX_KEY:
        return None
    if found := OURS.fullmatch(key):
        return Key(found["wrapper"], "", plain(f"{found['part']}.{found['rest']}"))
    if found := DDX7.fullmatch(key):
        return Key(found["wrapper"], "net.", plain(f"{DDX7_PARTS[found['part']]}.{found['rest']}"))
    return None


def plain(key: str) -> str:
    """A key without what wraps modules within the model, weight norm as it was written at first."""
    key = ".".join(word for word in key.split(".") if word not in INNER_WRAPPERS)
    if found := PARAMETRIZED.fullmatch(key):
        return f"{found[1] or ''}{found[2]}{WEIGHT_NORM[found[3]]}"
    return key


def group_name(prefix: str) -> str:
    """What people call the weights below a prefix: `ema_model.module.` is `ema_model`; "" where nothing is said."""
    return ".".join(word for word in prefix.rstrip("._").split(".") if word and word not in INNER_WRAPPERS)


def is_averaged(name: str) -> bool:
    """Whether a name says that these weights are the mean of those of many steps."""
    return bool(AVERAGED & set(re.split(r"[._]", name.lower())))


def listed(names: Iterable[str], most: int = MAX_LISTED) -> str:
    """The first few names, and how many more there are."""
    short = [name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..." for name in names]
    return ", ".join(short[:most]) + (f" and {len(short) - most} more" if len(short) > most else "")
