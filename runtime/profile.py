"""Where a step's time goes: ONNX Runtime's own profiler, read node by node.

The profiler makes every node slower, by several times what a small one takes, and counts whole microseconds. So the
same steps are timed without it as well, and whoever reads the profile can tell the one from the other.
"""

from __future__ import annotations

import bisect
import json
from pathlib import Path
from typing import Any

import numpy as np

from .bundle import Bundle
from .errors import SessionError
from .measure import back_to_back, clip_blocks
from .stream import Stream

WARMUP = 3  # steps: the first ones allocate
PREFIX = "profile"
KERNEL = "_kernel_time"
CONTROL = ("If", "Loop", "Scan")  # nodes whose time holds that of the nodes inside them

Node = tuple[int, str, str]  # index, name, operator
Event = tuple[Node, int, int]  # a node, and when it began and ended, in microseconds


def profile(bundle: Bundle, signals: dict[str, np.ndarray], block: int, threads: int, steps: int) -> dict[str, Any]:
    """Profile `steps` steps after a few to warm up, on controls repeated as often as needed.

    Args:
        bundle: whose graph is run.
        signals: as from `clip.check_signals`, `(1, frames, width)` each.
        block: samples per step.
        threads: as in `Stream`.
        steps: how many are profiled, and as many are timed without the profiler.

    Returns:
        `steps`; `step_ns`, the mean step while profiled; `plain_ns`, the median one without; `nodes` in the order in
        which they first ran: `name`, `op`, and `ns`, the node's mean in a step as the profiler has it; `profiler_ns`,
        what the profiler adds to each node: the median of all nodes' sum in a step, less `plain_ns`, in equal parts (no
        more than the shortest node takes, for what disturbs the profiled steps is not the profiler).

    Raises:
        SessionError: the profile can't be read, or does not hold all steps.
    """
    plain_ns = int(np.median(_step_times(Stream(bundle, block, threads), signals, steps)))
    stream = Stream(bundle, block, threads, profile=PREFIX)
    try:
        step_ns = round(_step_times(stream, signals, steps).mean())
    finally:
        file = Path(stream.end_profile())
        text = file.read_text(errors="replace")
        file.unlink()
    nodes, times = node_times(text, steps)
    rows = [{"name": name, "op": op, "ns": round(ns)} for (name, op), ns in zip(nodes, times.mean(1))]
    added = (float(np.median(times.sum(0))) - plain_ns) / len(nodes)
    profiler_ns = max(0, min(round(added), *(row["ns"] for row in rows)))
    return {"steps": steps, "step_ns": step_ns, "plain_ns": plain_ns, "profiler_ns": profiler_ns, "nodes": rows}


def _step_times(stream: Stream, signals: dict[str, np.ndarray], steps: int) -> np.ndarray:
    """The times of `steps` steps after a few to warm up, in nanoseconds."""
    times = np.zeros(WARMUP + steps, np.int64)
    back_to_back(stream.step, clip_blocks(stream, signals), times)
    return times[WARMUP:]


def node_times(text: str, steps: int) -> tuple[list[tuple[str, str]], np.ndarray]:
    """What each node of the graph took in each of the last `steps` steps.

    Args:
        text: what ONNX Runtime's profiler wrote.
        steps: how many.

    Returns:
        Name and operator of each node, and `(nodes, steps)` nanoseconds.

    Raises:
        SessionError: it is no profile, or one of fewer steps.
    """
    times: dict[Node, list[int]] = {}
    for node, start, end in _outermost(_events(text)):
        times.setdefault(node, []).append(end - start)
    if not times or min(map(len, times.values())) < steps:
        raise SessionError(f"ONNX Runtime's profile does not hold {steps} steps of every node: ask for fewer steps")
    return [node[1:] for node in times], 1000 * np.array([durations[-steps:] for durations in times.values()])


def _events(text: str) -> list[Event]:
    """What ran when, without the much larger rest, which is dropped while it is read."""
    try:
        found = json.loads(text, object_hook=_event)
        return [event for event in found if isinstance(event, tuple)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SessionError(f"ONNX Runtime's profile can't be read: {error!r}") from error


def _event(found: dict[str, Any]) -> Any:
    """An object of the profile: a node's run as an `Event`, its arguments as they are, of others nothing."""
    if "op_name" in found:
        return {"op_name": found["op_name"], "node_index": found.get("node_index", 0)}
    name = found.get("name", "")
    if found.get("cat") != "Node" or not name.endswith(KERNEL):
        return None
    about, start = found["args"], int(found["ts"])
    return (int(about["node_index"]), name[: -len(KERNEL)], about["op_name"]), start, start + int(found["dur"])


def _outermost(events: list[Event]) -> list[Event]:
    """Without the nodes inside of others, which are counted with those."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted((start, end) for (_, _, op), start, end in events if op in CONTROL):
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
        elif start == spans[-1][0]:  # the longer one holds the other
            spans[-1] = (start, end)
    starts = [start for start, _ in spans]
    return [event for event in events if not _inside(event, spans, starts)]


def _inside(event: Event, spans: list[tuple[int, int]], starts: list[int]) -> bool:
    (_, _, op), start, end = event
    nearest = bisect.bisect_right(starts, start) - 1
    if nearest < 0 or start >= spans[nearest][1]:
        return False
    return not (op in CONTROL and (start, end) == spans[nearest])
