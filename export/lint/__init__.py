"""A linter for anyone's streaming module: what would break in the stream is found before anything is exported."""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import StreamingError
from ..probe import Finding, change, clip, copied, difference, play, told, varied
from ..streaming import Signals, StreamingModule, step, stream
from .contract import LENGTHS, check_contract
from .extremes import check_extremes, warn_beyond
from .latency import check_latency

SINGLE_FRAMES = 8
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
INTERNAL = frozenset(vars(nn.Module()))  # attributes of torch's own

Check = Callable[[StreamingModule], list[Finding]]


def lint(module: StreamingModule) -> list[Finding]:
    """Find everything that keeps `module` from being streamed; empty for a good one.

    The checks run in stages, and what would only be a consequence of an earlier finding is not reported. The module
    is taken as it is: call `eval()` before. It is left as it is where it can be copied (`copy.deepcopy`).
    """
    module = _copy(module)
    stages: tuple[tuple[Check, ...], ...] = (
        (check_contract,),
        (check_in_place, check_repeats),
        (check_causality,),
        (check_states, check_latency),
        (check_extremes,),
    )
    for stage in stages:
        found = [finding for check in stage for finding in _guarded(check, module)]
        if found:
            return list(dict.fromkeys(found))
    return []


def warn(module: StreamingModule) -> list[Finding]:
    """What a good module can't play, but needn't: input above full scale that is answered with no finite numbers."""
    return _guarded(warn_beyond, _copy(module))


def _copy(module: StreamingModule) -> StreamingModule:
    with torch.no_grad(), contextlib.suppress(Exception):  # some can't be: weight_norm's tensors, for example
        return copy.deepcopy(module)
    return module


def _guarded(check: Check, module: StreamingModule) -> list[Finding]:
    """A check's findings; where the module raises on the way, that is the finding."""
    try:
        return check(module)
    except StreamingError as error:
        return [Finding("contract", "example", None, str(error))]
    except Exception as error:
        return [Finding("contract", "forward", None, f"raises {told(error)}")]


def check_in_place(module: StreamingModule) -> list[Finding]:
    """Does a call write into what it was given, or into what an earlier call returned?

    A result that shares memory with an input or a state is fine as long as nobody writes there: a view costs nothing.
    """
    inputs, states = module.example(LENGTHS[-1]), module.zero_states()
    given = {**inputs, **states}
    before = copied(given)
    with torch.no_grad():
        returned = {name: value for results in step(module, inputs, states) for name, value in results.items()}
        found = [_written(name, at) for name, at in _touched(before, given)]
        kept = copied(returned)
        step(module, {n: varied(module, n, v, 1) for n, v in before.items() if n in inputs}, module.zero_states())
    return found + [_overwritten(name, at, _owner(module, returned[name])) for name, at in _touched(kept, returned)]


def _touched(before: Signals, after: Signals) -> list[tuple[str, int]]:
    """Tensors that have other values now, each with the first of them."""
    unequal = {name: torch.nonzero((value != after[name]).flatten()) for name, value in before.items()}
    return [(name, int(places[0])) for name, places in unequal.items() if len(places)]


def _written(name: str, at: int) -> Finding:
    advice = "forward writes into this argument, and whoever called may still need it: compute a new tensor instead"
    return Finding("in place", name, at, advice)


def _overwritten(name: str, at: int, owner: str) -> Finding:
    advice = f"what one call returns is overwritten by the next{owner}: return a new tensor, or a clone()"
    return Finding("in place", name, at, advice)


def _owner(module: StreamingModule, value: Tensor) -> str:
    """The buffer or parameter of the module that `value` shares memory with, in words."""
    place = value.untyped_storage().data_ptr()
    tensors = {**dict(module.named_buffers()), **dict(module.named_parameters()), **_attributes(module)}
    names = [n for n, t in tensors.items() if isinstance(t, Tensor) and t.untyped_storage().data_ptr() == place]
    return f", for it shares memory with {names[0]}" if names else ""


def check_repeats(module: StreamingModule) -> list[Finding]:
    """Is every pass from zero states the same? If not, a state hides in the module, or it draws random numbers."""
    inputs = clip(module)
    before = _remembered(module)
    first = _seeded(module, inputs, 0)
    _seeded(module, {name: varied(module, name, value, 1) for name, value in inputs.items()}, 0)
    after = _remembered(module)
    again = _seeded(module, inputs, 0)
    wrong = difference(first, again)
    hidden = [name for name, value in after.items() if before.get(name) != value]
    if wrong and hidden:
        return [_hidden(", ".join(hidden), *wrong)]
    wrong = wrong or difference(again, _seeded(module, inputs, 1))
    return [_random(module, *wrong)] if wrong else []


def _seeded(module: StreamingModule, inputs: Signals, seed: int) -> Signals:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return play(module, inputs)


def _hidden(name: str, output: str, sample: int) -> Finding:
    advice = (
        f"forward keeps something here from call to call: a second pass from zero states gives another {output}; "
        "make it a state, an argument and a result of forward and zeros in zero_states()"
    )
    return Finding("hidden state", name, sample, advice)


def _random(module: StreamingModule, output: str, sample: int) -> Finding:
    training = [name for name, part in module.named_modules() if part.training and isinstance(part, DROPOUTS)]
    advice = (
        "two calls with the same inputs and states differ: take noise as an input (and name it in `noise`), "
        "keep nothing outside of the states, and call eval()"
    )
    return Finding("determinism", output, sample, "; ".join([advice, *(f"{n} is in training mode" for n in training)]))


def _attributes(module: StreamingModule) -> dict[str, Any]:
    """Attributes set on the module and its parts, but for parameters, buffers and parts, by dotted name."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if name not in INTERNAL
    }


def _remembered(module: StreamingModule) -> dict[str, Any]:
    """The values of everything a module may remember in, so that they can be compared later."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: _value(value) for name, value in {**tensors, **_attributes(module)}.items()}


def _value(kept: Any) -> Any:
    if isinstance(kept, Tensor):
        return tuple(kept.shape), kept.detach().flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(kept, np.ndarray):
        return kept.shape, kept.tobytes()
    if isinstance(kept, (list, tuple, deque)):
        return tuple(_value(item) for item in kept)
    if isinstance(kept, dict):
        return tuple((str(name), _value(item)) for name, item in kept.items())
    return repr(kept) if isinstance(kept, (int, float, complex, str, bytes, type(None))) else None


def check_causality(module: StreamingModule) -> list[Finding]:
    """Does new input change output that was out before it?"""
    inputs = clip(module)
    before = play(module, inputs)
    return [finding for name in inputs for finding in _early(module, inputs, name, before)]


def _early(module: StreamingModule, inputs: Signals, name: str, before: Signals) -> list[Finding]:
    frames = inputs[name].shape[1]
    for frame in (frames // 4, frames // 2, frames - 1):
        changed, start = change(module, inputs, name, frame)
        if start is None:
            continue
        start -= start % module.hop
        early = {n: value.flatten(1)[:, : start // module.hop * value.shape[2]] for n, value in before.items()}
        after = play(module, changed)
        wrong = difference(early, {n: after[n].flatten(1)[:, : value.shape[1]] for n, value in early.items()})
        if wrong:
            return [_acausal(name, start, *wrong)]
    return []


def _acausal(name: str, start: int, output: str, sample: int) -> Finding:
    advice = (
        f"new values of {name} from sample {start} on change it here, before they arrive: "
        "pad on the left only, or delay the output by as much as is looked ahead and declare that as latency"
    )
    return Finding("causality", output, sample, advice)


def check_states(module: StreamingModule) -> list[Finding]:
    """Is a clip in blocks the same as the whole clip at once?"""
    inputs = clip(module)
    whole = play(module, inputs)
    frames = next(iter(inputs.values())).shape[1]
    for partition in ([frames // 2, frames - frames // 2], [1] * SINGLE_FRAMES + [frames - SINGLE_FRAMES]):
        with torch.no_grad():
            blocks = [copied(outputs) for outputs in stream(module, copied(inputs), partition)]
        wrong = difference(whole, {name: torch.cat([block[name] for block in blocks], 1) for name in whole})
        if wrong and wrong[1] < partition[0] * module.outputs[wrong[0]]:
            return [_depends_on_length(partition[0], frames, *wrong)]
        if wrong:
            return [_lost(module, inputs, partition[0], *wrong)]
    return []


def _depends_on_length(frames: int, total: int, output: str, sample: int) -> Finding:
    advice = (
        f"the first block, of {frames} frames, is another sound than the same frames of a call of {total}: "
        "make what is computed for a frame independent of how many there are in the call"
    )
    return Finding("time axis", output, sample, advice)


def _lost(module: StreamingModule, inputs: Signals, frames: int, output: str, sample: int) -> Finding:
    with torch.no_grad():
        _, states = step(module, copied(inputs), module.zero_states())
    idle = [name for name, value in states.items() if not value.any()]
    hint = f" ({', '.join(idle)} came back as zeros)" if idle else ""
    advice = (
        f"two blocks, the first of {frames} frames, give something else than one call: the states that forward "
        f"returns{hint} do not carry all that the next block needs; keep it in a state"
    )
    return Finding("states", output, sample, advice)
