"""Time a stream's steps, back to back or on the audio clock, each step's time and circumstances kept.

```
burst   |step 0|step 1|step 2|step 3|                        each as soon as the one before has ended
paced   |step 0|....|step 1|....|step 2 is too long|step 3|..|step 4|
        tick 0      tick 1      tick 2      tick 3           absolute: what is late does not move the ticks
```
A sound card of two buffers plays one while the other is computed: what a tick asks for must be there at the next.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip import hold_last
from .clock import sleep_until
from .sound import are_finite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stream import Stream

Blocks = list[list[tuple[np.ndarray, np.ndarray]]]
Ticks = Callable[[int], int]

PER_STEP = ("step_ns", "start_ns", "instructions")
COUNTERS = ("voluntary", "involuntary", "minor_faults", "major_faults")
SILENCE = 0.03  # of the clip's peak, -30 dB: in a rest there is the tail of a reverb
LEAD_NS = 1_000_000  # from now to the first tick


def allocate(steps: int, warmup: int, floor: int) -> dict[str, np.ndarray]:
    """The arrays that `measure` fills, their memory taken now, so that it does not count as the model's.

    Int64 nanoseconds: `first_ns` (1,), `warmup_ns` (warmup - 1,), `step_ns` and `start_ns` (steps,), `floor_before_ns`
    and `floor_after_ns` (floor,). `instructions` (steps,) int64, `counts` (steps, 4) int32, see `COUNTERS`.
    """
    sizes = {"first_ns": 1, "warmup_ns": max(warmup - 1, 0), "floor_before_ns": floor, "floor_after_ns": floor}
    sizes |= dict.fromkeys(PER_STEP, steps)
    arrays = {name: np.full(size, -1, np.int64) for name, size in sizes.items()}
    return {**arrays, "counts": np.full((steps, len(COUNTERS)), -1, np.int32)}


def measure(
    stream: Stream,
    signals: dict[str, np.ndarray],
    arrays: dict[str, np.ndarray],
    tick_ns: Ticks | None = None,
    instructions: Callable[[], int] | None = None,
    ready: Callable[[], None] = lambda: None,
    stop_after_misses: int = 0,
) -> dict[str, np.ndarray]:
    """Time steps after a warm-up from the same thread, on controls repeated as often as needed.

    A step is what a player must do for a block: write the controls, run the graph. The state is reset after
    the warm-up; the very first step of all is reported apart. An empty loop before and after is the floor.

    Args:
        stream: what is timed.
        signals: the controls, `(1, frames, width)` each.
        arrays: as from `allocate`; they say how much is measured.
        tick_ns: when tick i is, nanoseconds after tick 0; None: steps back to back.
        instructions: counts those of this process, if the kernel allows.
        ready: called once the stream is warm.
        stop_after_misses: end with the step that is the n-th to be late for the next tick; 0: do all steps.

    Returns:
        What `allocate` says, cut to the steps that were done, `counts` by name, `gc_ns`: when Python collected garbage,
        `origin_ns` (1,), tick 0 on the monotonic clock, and `not_finite`: the steps whose outputs were not finite
        numbers. `instructions` is empty where they are not counted.
    """
    blocks, count = clip_blocks(stream, signals), instructions or (lambda: 0)
    nothing: Blocks = [[] for _ in blocks]
    warm = np.empty(arrays["warmup_ns"].size + 1, np.int64)
    back_to_back(stream.step, blocks, warm)
    arrays["first_ns"][:], arrays["warmup_ns"][:] = warm[:1], warm[1:]
    stream.reset()
    ready()
    with _without_garbage_collection() as collected:
        back_to_back(lambda: None, nothing, arrays["floor_before_ns"])
        origin, timed, odd = _timed(stream, blocks, arrays, tick_ns, count, stop_after_misses)
        back_to_back(lambda: None, nothing, arrays["floor_after_ns"])
    found = {key: value for key, value in arrays.items() if key != "counts"}
    found |= {key: arrays[key][:timed] for key in PER_STEP} | dict(zip(COUNTERS, arrays["counts"][:timed].T))
    if instructions is None:
        found["instructions"] = found["instructions"][:0]
    found |= {"gc_ns": np.array(collected, np.int64) - origin, "origin_ns": np.array([origin])}
    return {**found, "not_finite": np.array(odd, np.int64)}


def silent_blocks(output: np.ndarray, values: int) -> np.ndarray:
    """Which blocks of a clip's output, `values` numbers each, are silent: `(blocks,)` uint8."""
    count = -(-output.size // values)
    padded = np.pad(np.abs(output), (0, count * values - output.size), mode="edge")
    peaks = padded.reshape(count, values).max(1)
    return (peaks <= SILENCE * peaks.max()).astype(np.uint8)


def clip_blocks(stream: Stream, signals: dict[str, np.ndarray]) -> Blocks:
    """For each block of the clip, the pairs (buffer, what to write into it)."""
    frames = next(iter(signals.values())).shape[1]
    count = -(-frames // stream.frames)
    padded = {name: hold_last(value, count * stream.frames) for name, value in signals.items()}
    cuts = [slice(start * stream.frames, (start + 1) * stream.frames) for start in range(count)]
    return [[(stream.inputs[name], padded[name][:, cut]) for name in stream.inputs] for cut in cuts]


@contextmanager
def _without_garbage_collection() -> Iterator[list[int]]:
    """Python's collector is off; the block gets the times at which it ran all the same."""
    collected: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            collected.append(time.perf_counter_ns())

    gc.collect()
    gc.freeze()
    gc.disable()
    gc.callbacks.append(note)
    try:
        yield collected
    finally:
        gc.callbacks.remove(note)
        gc.enable()
        gc.unfreeze()


def back_to_back(step: Callable[[], None], blocks: Blocks, times: np.ndarray) -> None:
    """Fill `times` with what each step took, nanoseconds."""
    count, clock, copy = len(blocks), time.perf_counter_ns, np.copyto
    for index in range(times.size):
        block = blocks[index % count]
        before = clock()
        for buffer, values in block:
            copy(buffer, values)
        step()
        times[index] = clock() - before


def _timed(
    stream: Stream,
    blocks: Blocks,
    arrays: dict[str, np.ndarray],
    tick_ns: Ticks | None,
    instructions: Callable[[], int],
    stop_after_misses: int,
) -> tuple[int, int, list[int]]:
    """Fill `start_ns`, `step_ns`, `instructions`, `counts`: when tick 0 was, and how many steps were done.

    Also those whose outputs are not finite. This is looked at, and what is counted is read, outside of the time.
    """
    starts, times, counts, retired = (arrays[key] for key in ("start_ns", "step_ns", "counts", "instructions"))
    count, clock, copy = len(blocks), time.perf_counter_ns, np.copyto
    usage, us = resource.getrusage, resource.RUSAGE_SELF  # with ONNX Runtime's threads
    origin = clock() + LEAD_NS if tick_ns else 0
    step, outputs, odd = stream.step, list(stream.outputs.values()), []
    misses, timed = 0, times.size
    for index in range(times.size):
        block = blocks[index % count]
        if tick_ns:
            sleep_until(origin + tick_ns(index))
        was, done = usage(us), instructions()
        before = clock()
        for buffer, values in block:
            copy(buffer, values)
        step()
        after = clock()
        retired[index], now = instructions() - done, usage(us)
        starts[index], times[index] = before, after - before
        counts[index, 0] = now.ru_nvcsw - was.ru_nvcsw
        counts[index, 1] = now.ru_nivcsw - was.ru_nivcsw
        counts[index, 2] = now.ru_minflt - was.ru_minflt
        counts[index, 3] = now.ru_majflt - was.ru_majflt
        if not are_finite(outputs):
            odd.append(index)
        misses += bool(tick_ns and after > origin + tick_ns(index + 1))
        if stop_after_misses and misses == stop_after_misses:
            timed = index + 1
            break
    origin = origin or int(starts[0])
    starts -= origin
    return origin, timed, odd
