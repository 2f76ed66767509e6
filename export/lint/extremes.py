"""The linter's check of loud, silent and extreme input: is what comes out always a finite number?

```
input     | extreme, EXTREME frames | the example, CALM frames |      one call
then      | the example, CALM frames |                                another, with the states of the first
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from .. import extremes
from ..probe import Finding, copied, example_of, is_audio, told
from ..streaming import Signals, StreamingModule, step

EXTREME, CALM = 8, 4  # frames
Kinds = Callable[[float, float, int, int], Iterator[tuple[str, np.ndarray]]]


def check_extremes(module: StreamingModule) -> list[Finding]:
    """What keeps it from being streamed: input that will be played is answered with what is no finite number."""
    return _check(module, extremes.within, list(module.inputs))


def warn_beyond(module: StreamingModule) -> list[Finding]:
    """The same for input above full scale, and above the range of controls: a warning."""
    return _check(module, extremes.beyond, [name for name in module.inputs if name not in module.noise])


def _check(module: StreamingModule, kinds: Kinds, names: list[str]) -> list[Finding]:
    """For each input and output, the first kind of signal that it goes wrong with."""
    example = example_of(module, EXTREME + CALM)
    found: dict[tuple[str, str], Finding] = {}
    for name in names:
        low, high = _range(module, name, example)
        for kind, signal in kinds(low, high, EXTREME, module.inputs[name]):
            given = {**example, name: torch.cat([torch.from_numpy(signal), example[name][:, EXTREME:]], 1)}
            for finding in _odd(module, given, example, f"where {name} is {kind}"):
                found.setdefault((name, finding.tensor), finding)
    return list(found.values())


def _range(module: StreamingModule, name: str, example: Signals) -> tuple[float, float]:
    """Full scale; of a control, the range of its example."""
    if is_audio(module, name) or name in module.noise:
        return -1.0, 1.0
    return float(example[name].min()), float(example[name].max())


def _odd(module: StreamingModule, given: Signals, example: Signals, where: str) -> Iterator[Finding]:
    """What is not finite in a call with the extreme signal, and in the one after it."""
    calm = {name: value[:, :CALM] for name, value in example.items()}
    try:
        with torch.no_grad():
            outputs, states = step(module, copied(given), module.zero_states())
            outputs = copied(outputs)
            after, _ = step(module, copied(calm), copied(states))
    except Exception as error:
        yield Finding("finite", "forward", None, f"raises {told(error)} {where}")
        return
    lost = [name for name, state in states.items() if not state.isfinite().all()]
    for name, value in outputs.items():
        odd, place = (value, "") if not value.isfinite().all() else (after[name], " of the call after one")
        if not odd.isfinite().all():
            yield _not_finite(
                name, odd, f"the output is {{}}, not a finite number, at this sample{place} {where}", lost
            )
    for name in lost:  # a delay may hold it back for longer than what is played here
        if _are_finite(outputs, after) and states[name].isnan().any():
            yield _not_finite(name, states[name], f"the state is {{}}, not a number, after a call {where}", lost)


def _are_finite(*calls: Signals) -> bool:
    return all(bool(value.isfinite().all()) for outputs in calls for value in outputs.values())


def _not_finite(name: str, value: Tensor, what: str, lost: list[str]) -> Finding:
    index = int(torch.nonzero(~value.isfinite().flatten())[0])
    more = f"; from then on the states ({', '.join(lost)}) are lost, and with them all that follows" if lost else ""
    advice = what.format(f"{float(value.flatten()[index]):g}")
    return Finding("finite", name, index, f"{advice}{more}: mind sqrt, log, pow, exp and division, clamp their input")
