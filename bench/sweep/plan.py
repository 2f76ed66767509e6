"""What a sweep measures: a grid of cases, from the command line or a file, in the order in which they are measured."""

from __future__ import annotations

import difflib
import math
import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from ...device.descriptor import LOOPBACK, Descriptor, descriptor
from ...runtime.bundle import Bundle
from ..errors import BenchError
from ..terms import BURST, ENGINES, MODES, ONNXRUNTIME, PACED, PROTOCOLS, TORCH
from .cases import Case
from .conditions import COOL_DOWN
from .torch_engine import module_of

# Of steps on the audio clock, 1000 would be four seconds of small blocks and four minutes of large ones.
PACED_SECONDS, PACED_STEPS = 10, 100


@dataclass(frozen=True)
class Plan:
    """A grid, and how it is measured; what is empty or None is chosen for each bundle and board."""

    models: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    blocks: tuple[int, ...] = ()
    threads: tuple[int, ...] = (1,)
    modes: tuple[str, ...] = ()
    engines: tuple[str, ...] = (ONNXRUNTIME,)
    repeats: int | None = None
    steps: int | None = None
    seconds: float | None = None
    seed: int = 0
    output: Path = Path("results")
    cool_down: float = COOL_DOWN
    tune: bool = False
    profile: bool = False
    protocol: str = ""


def cases_of(plan: Plan, bundles: Sequence[Bundle], name: str) -> list[Case]:
    """The cases for the board `name`: all of the first repeat, shuffled by the seed, then the next in another order.

    So that neither drift of the board nor a neighbour in the order looks like a difference of models.

    Raises:
        BundleError: a bundle has no graph for one of the blocks.
        EngineError: a model can't be made again in PyTorch, which is asked for.
    """
    for bundle in bundles if TORCH in plan.engines else ():
        module_of(bundle)
    kind = descriptor(name)
    modes = plan.modes or ((BURST,) if kind.counts_instructions else MODES)
    cells = [
        Case(bundle, block, threads, steps_of(plan, bundle.sample_rate, block, mode, kind), mode, engine)
        for bundle in bundles
        for block, threads, mode, engine in product(plan.blocks or bundle.graphs, plan.threads, modes, plan.engines)
    ]
    once = list({case.key: replace(case, protocol=plan.protocol) for case in cells}.values())
    for case in once:
        case.bundle.graph(case.block)
    order = random.Random(plan.seed)
    repeats = plan.repeats or kind.repeats
    return [replace(case, repeat=repeat) for repeat in range(repeats) for case in order.sample(once, len(once))]


def steps_of(plan: Plan, sample_rate: int, block: int, mode: str, kind: Descriptor) -> int:
    """How many steps are timed."""
    if plan.steps:
        return plan.steps
    if plan.seconds:
        return seconds_as_steps(plan.seconds, sample_rate, block)
    if mode == PACED:
        return max(PACED_STEPS, seconds_as_steps(PACED_SECONDS, sample_rate, block))
    return max(kind.steps, kind.samples // block)


def seconds_as_steps(seconds: float, sample_rate: int, block: int) -> int:
    """So many that they make at least `seconds` of audio."""
    return math.ceil(seconds * sample_rate / block)


def of_precisions(bundles: Sequence[Bundle], precisions: Sequence[str]) -> list[Bundle]:
    """The bundles of these precisions, of all if none is named; `BenchError` names one that no bundle has."""
    there = sorted({bundle.precision for bundle in bundles})
    for precision in precisions:
        if precision not in there:
            raise BenchError(f"none of the bundles has precision {precision}: they have {', '.join(there)}")
    return [bundle for bundle in bundles if bundle.precision in (precisions or there)]


def check_plan(plan: Plan) -> None:
    """`BenchError` says what can't be measured so."""
    counting = [name for name in plan.boards if descriptor(name).counts_instructions]
    if counting and PACED in plan.modes:
        why = f"as the clock of {counting[0]} counts instructions, nothing there is on time or late"
        raise BenchError(f"--modes paced: {why}; leave the board out, or use --modes burst")
    if TORCH not in plan.engines:
        return
    elsewhere = [name for name in plan.boards if name != LOOPBACK]
    if elsewhere:
        raise BenchError(f"the engine torch runs on this machine only: use --board {LOOPBACK}, not {elsewhere[0]}")


def read_plan(path: Path) -> dict[str, Any]:
    """What a plan.toml says, by the fields of `Plan`.

    Raises:
        BenchError: it can't be read, or a key is unknown or of another kind; the key is named.
    """
    try:
        said = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    plan = {key: _value(path, key, value) for key, value in said.items()}
    if "steps" in plan and "seconds" in plan:
        raise BenchError(f"{path}: steps and seconds both set the length of a case: keep one of them")
    return plan


def _value(path: Path, key: str, value: Any) -> Any:
    if key not in _KEYS:
        near = difflib.get_close_matches(key, _KEYS, 1)
        raise BenchError(
            f"{path}: {key}: " + (f"did you mean {near[0]}?" if near else f"not one of {', '.join(_KEYS)}")
        )
    fits, wanted, read = _KEYS[key]
    if not fits(value):
        raise BenchError(f"{path}: {key}: {wanted}, not {value!r:.60}")
    return read(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A list of such values, none twice."""
    return lambda value: (
        isinstance(value, list) and len(value) > 0 and all(map(fits, value)) and len(set(value)) == len(value)
    )


_TEXTS = (_list_of(_is_text), "a list of names without repeats", tuple)
_COUNTS = (_list_of(_is_count), "a list of whole numbers from 1 without repeats", tuple)
_COUNT = (_is_count, "a whole number from 1", int)
_FLAG = (lambda value: isinstance(value, bool), "true or false", bool)
_KEYS: dict[str, tuple[Callable[[Any], bool], str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("models", "boards", "precisions"), _TEXTS),
    **dict.fromkeys(("blocks", "threads"), _COUNTS),
    "modes": (_list_of(MODES.__contains__), f"a list of {' and '.join(MODES)}", tuple),
    "engines": (_list_of(ENGINES.__contains__), f"a list of {' and '.join(ENGINES)}", tuple),
    **dict.fromkeys(("repeats", "steps"), _COUNT),
    "seconds": (lambda value: _is_seconds(value) and value > 0, "a number of seconds above 0", float),
    "seed": (lambda value: type(value) is int, "a whole number", int),
    "output": (_is_text, "the name of a folder", Path),
    "cool_down": (_is_seconds, "a number of seconds from 0", float),
    **dict.fromkeys(("tune", "profile"), _FLAG),
    "protocol": (lambda value: value in PROTOCOLS, f"{' or '.join(PROTOCOLS)}", str),
}
