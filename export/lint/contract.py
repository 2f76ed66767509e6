"""The linter's first checks: does a module keep to the streaming convention at all, for any number of frames?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from ...runtime.bundle import STATE_TYPES, next_name
from ...runtime.clip import lag
from ...runtime.errors import SignalError
from ...runtime.names import shown, wrong_names
from ..probe import Finding, clip, play, told
from ..streaming import StreamingModule

LENGTHS = (4, 1, 2, 7, 16)  # frames of the calls that are tried
DTYPES = [getattr(torch, name) for name in STATE_TYPES]


def check_contract(module: StreamingModule) -> list[Finding]:
    """Attributes, names, states, example and one call: what breaks the convention, in the order it has to be mended."""
    for check in (_attributes, _whole_latency, _weights, _names, _states):
        found = list(check(module))
        if found:
            return found
    tried = {frames: list(_call(module, frames)) for frames in LENGTHS}
    if all(tried.values()):
        return tried[LENGTHS[0]]
    return _time_axis(tried) or list(_finite(module))


def _time_axis(tried: Mapping[int, list[Finding]]) -> list[Finding]:
    """The first number of frames that goes wrong where others go well."""
    well = ", ".join(str(frames) for frames, found in tried.items() if not found)
    for frames, found in tried.items():
        if found:
            return [Finding("time axis", f.tensor, f.sample, _frozen(f, frames, well)) for f in found]
    return []


def _frozen(found: Finding, frames: int, well: str) -> str:
    return (
        f"a call of {frames} frames goes wrong where {well} went well: {found.advice}; "
        "take the number of frames from the shape of the inputs at every call, and keep none from an earlier one"
    )


def _problem(tensor: str, advice: str, sample: int | None = None) -> Finding:
    return Finding("contract", tensor, sample, advice)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _attributes(module: StreamingModule) -> Iterator[Finding]:
    for name, least in (("sample_rate", 1), ("hop", 1), ("latency", 0)):
        value = getattr(module, name, None)
        if not _is_count(value, least):
            yield _problem(name, f"is {value!r}: set it to a whole number from {least}")
    for name in ("inputs", "outputs"):
        value = getattr(module, name, None)
        if not _are_widths(value):
            yield _problem(name, f"is {value!r}: set it to the width of each by name, such as {{'level': 1}}")
    noise = getattr(module, "noise", ())
    if not isinstance(noise, tuple) or set(noise) - set(getattr(module, "inputs", None) or ()):
        yield _problem("noise", f"is {noise!r}: set it to a tuple of names of inputs, such as ('hiss',)")


def _are_widths(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and name and _is_count(width, 1) for name, width in value.items())
    )


def _whole_latency(module: StreamingModule) -> Iterator[Finding]:
    for name, width in module.outputs.items():
        try:
            lag(module.latency, module.hop, width)
        except SignalError as error:
            unit = module.hop // math.gcd(module.hop, width)
            yield _problem(name, f"{error}: delay by a multiple of {unit}, and declare that")


def _weights(module: StreamingModule) -> Iterator[Finding]:
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(value):
            yield _problem(name, "has no size until the module is first called: call it once in build()")


def _names(module: StreamingModule) -> Iterator[Finding]:
    """In a graph all of them are names of one kind."""
    try:
        states = list(module.zero_states())
    except Exception:  # told by _states
        return
    names = [*module.inputs, *module.outputs, *states, *map(next_name, states)]
    for name, reason in wrong_names(map(str, names)):
        yield _problem(shown(name), f"{reason}: rename it; inputs, outputs, states and STATE_next must differ")


def _states(module: StreamingModule) -> Iterator[Finding]:
    try:
        states = module.zero_states()
        module.zero_states(1)
    except Exception as error:
        yield _problem("zero_states", f"raises {told(error)}; it takes the batch size, 1 if not given, returns a dict")
        return
    if not isinstance(states, dict):
        yield _problem("zero_states", f"returns {_kind(states)}: return a dict of tensors by name, {{}} for none")
        return
    for name, value in states.items():
        if not isinstance(value, Tensor) or value.dtype not in DTYPES:
            yield _problem(str(name), f"the state is {_kind(value)}: it must be a tensor of {', '.join(STATE_TYPES)}")
        elif value.any():
            yield _problem(str(name), "the state does not begin as zeros, as every stream does: code it so that it can")


def _kind(value: Any) -> str:
    """What something is, as a person would say it."""
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _misfit(value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> str:
    """What is wrong with a tensor that should have this shape and type; empty if nothing is."""
    if isinstance(value, Tensor) and tuple(value.shape) == shape and value.dtype == dtype:
        return ""
    return f"is {_kind(value)}, expected a tensor of {str(dtype).removeprefix('torch.')} {shape}"


def _call(module: StreamingModule, frames: int) -> Iterator[Finding]:
    """One call of `frames` frames: the example, and what `forward` returns for it."""
    try:
        inputs, again = module.example(frames), module.example(frames)
    except Exception as error:
        yield _problem("example", _missing(error, "example(frames), which gives inputs to verify the export with"))
        return
    found = list(_example(module, inputs, again, frames))
    yield from found or _results(module, inputs, frames)


def _missing(error: Exception, method: str) -> str:
    """What an exception tells; of a method that nobody has written, that."""
    return f"is missing: write {method}" if isinstance(error, NotImplementedError) else f"raises {told(error)}"


def _example(module: StreamingModule, inputs: Any, again: Any, frames: int) -> Iterator[Finding]:
    if not isinstance(inputs, dict) or list(inputs) != list(module.inputs):
        given = list(inputs) if isinstance(inputs, dict) else _kind(inputs)
        yield _problem("example", f"gives {given}: it must give {list(module.inputs)}, by name, in this order")
        return
    for name, width in module.inputs.items():
        wrong = _misfit(inputs[name], (1, frames, width), torch.float32)
        if wrong:
            yield _problem(name, f"in example({frames}) the input {wrong}")
        elif not torch.isfinite(inputs[name]).all():
            yield _problem(name, f"in example({frames}) the input is not a finite number", _first_odd(inputs[name]))
        elif not torch.equal(inputs[name], again[name]):
            yield _problem(name, "example() gives other values each time: seed what is random in it")


def _results(module: StreamingModule, inputs: dict[str, Tensor], frames: int) -> Iterator[Finding]:
    states = module.zero_states()
    try:
        with torch.no_grad():
            results = module(*(v.clone() for v in inputs.values()), *(v.clone() for v in states.values()))
    except Exception as error:
        yield _problem("forward", _missing(error, "forward(*inputs, *states), which returns (*outputs, *states)"))
        return
    wanted = [*module.outputs, *states]
    if not isinstance(results, (tuple, list)) or len(results) != len(wanted):
        given = len(results) if isinstance(results, (tuple, list)) else _kind(results)
        yield _problem("forward", f"returns {given}: it must return a tuple of {len(wanted)}: {', '.join(wanted)}")
        return
    shapes = [(1, frames, width) for width in module.outputs.values()] + [tuple(s.shape) for s in states.values()]
    types = [torch.float32] * len(module.outputs) + [state.dtype for state in states.values()]
    for index, (name, value) in enumerate(zip(wanted, results, strict=True)):
        wrong = _misfit(value, shapes[index], types[index])
        if wrong:
            yield _problem(name, f"the {'output' if name in module.outputs else 'returned state'} {wrong}")


def _finite(module: StreamingModule) -> Iterator[Finding]:
    for name, value in play(module, clip(module)).items():
        if not torch.isfinite(value).all():
            yield _problem(name, "the output is not a finite number: mind log and division of 0", _first_odd(value))


def _first_odd(value: Tensor) -> int:
    """The first value that is not a finite number, counted flat."""
    return int(torch.nonzero(~torch.isfinite(value).flatten())[0])
