"""The plan for streaming a graph made elsewhere: sizes, constants, signals, states, hop, given or guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ForeignError
from .guesses import Tensor, correspond, guess_hop, guess_states

FLOATS = ("float32", "float64", "float16")


@dataclass(frozen=True)
class Plan:
    """The plan for streaming a graph: the signals in and out, the output each state comes out as, and constants."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    states: dict[Tensor, str]
    constants: dict[str, np.ndarray]
    hop: int

    def __str__(self) -> str:
        lines = [f"state {state.name} -> {output} {state.shape}" for state, output in self.states.items()]
        lines += [f"set {name} = {value.tolist()}" for name, value in self.constants.items()]
        signals = f"{', '.join(map(str, self.inputs))} -> {', '.join(map(str, self.outputs))}"
        return "\n".join([*lines, f"{signals}: {self.hop} samples a call"])


@dataclass(frozen=True)
class How:
    """How a person wants a graph to be streamed; see `convert.import_graph`."""

    sample_rate: int
    states: Mapping[str, str] | None
    hop: int | None
    latency: int
    constants: Mapping[str, str]
    dims: Mapping[str, int]


def check_types(inputs: Sequence[Tensor], outputs: Mapping[str, str | None], states: Mapping[str, str] | None) -> None:
    """`ForeignError` for an input that no signal can feed and that is no state either.

    Args:
        inputs: all that change from call to call.
        outputs: numpy's type of each output by name, None where it has no such type.
        states: as given, or None where they will be guessed.
    """
    for one in inputs:
        if states is None:
            state = any(dtype == one.dtype and correspond(one.name, name) for name, dtype in outputs.items())
        else:
            state = one.name in states
        if one.dtype not in FLOATS and not state:
            raise ForeignError(_no_signal(one))


def _no_signal(one: Tensor) -> str:
    return (
        f"input {one} is neither a signal nor a state: if its value never changes, give it, --set {one.name}=VALUE; "
        f"if it is a state, name all states, --state {one.name}=OUTPUT"
    )


def make_plan(
    inputs: list[Tensor],
    outputs: list[Tensor],
    constants: dict[str, np.ndarray],
    states: Mapping[str, str] | None,
    hop: int | None,
) -> Plan:
    """Who is who; `ForeignError` where that is neither given nor clear."""
    pairs = guess_states(inputs, outputs) if states is None else _checked_states(inputs, outputs, states)
    signals = tuple(one for one in inputs if one.name not in pairs)
    results = tuple(one for one in outputs if one.name not in pairs.values())
    if not signals or not results:
        every = "output is a state" if signals else "input is a state or has a fixed value (--set)"
        raise ForeignError(f"every {every}: no signal is left to stream")
    for one in signals:
        if one.dtype not in FLOATS or not one.size:
            raise ForeignError(_no_signal(one))
    return Plan(
        inputs=signals,
        outputs=results,
        states={one: pairs[one.name] for one in inputs if one.name in pairs},
        constants=constants,
        hop=hop or guess_hop(signals, results),
    )


def check_names(option: str, given: Mapping[str, Any], known: list[str]) -> None:
    """`ForeignError` for what an option names that is not there."""
    for name in given:
        if name not in known:
            raise ForeignError(f"{option} {name}: the graph has no such name, only {', '.join(known) or 'none'}")


def _checked_states(inputs: list[Tensor], outputs: list[Tensor], states: Mapping[str, str]) -> dict[str, str]:
    before, after = ({one.name: one for one in side} for side in (inputs, outputs))
    check_names("--state", states, list(before))
    for name, output in states.items():
        if output not in after:
            raise ForeignError(f"--state {name}={output}: the outputs are {', '.join(after)}")
        if not before[name].fits(after[output]):
            raise ForeignError(f"--state {name}={output}: {before[name]} can't take what {after[output]} gives")
        if list(states.values()).count(output) > 1:
            raise ForeignError(f"--state {name}={output}: {output} is given to two states")
    return dict(states)
