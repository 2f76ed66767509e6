"""Where a model's time goes on a board: node by node, and by part of the model."""

from __future__ import annotations

import math
from typing import Any

from ...device.descriptor import descriptor
from ...device.errors import AgentError
from ...device.releases import TASK_SECONDS, Release, run_task
from ...device.runtimes.provision import Site
from ...device.ssh.connection import Connection
from ...device.text import printable
from ..stats.node_parts import part_of

MAX_NODES = 20_000
MAX_NAME = 400  # characters


def profile_case(
    connection: Connection,
    site: Site,
    release: Release,
    block: int,
    threads: int,
    steps: int | None = None,
    deadline: float = TASK_SECONDS,
) -> dict[str, Any]:
    """Profile a release in a fresh process on the board.

    Args:
        connection: to the board.
        site: what is installed there.
        release: what is profiled.
        block: samples per step.
        threads: of ONNX Runtime.
        steps: how many; by default as many as the kind of board takes.
        deadline: seconds.

    Returns:
        `steps`; `step_ns`, the mean step while profiled; `plain_ns`, the median one without the profiler; `nodes`,
        `{"name", "op", "part", "ns"}` each: its share of `plain_ns`, by its mean time while profiled less
        `profiler_ns`, what the profiler itself adds to every node. On a virtual board times are instructions.

    Raises:
        AgentError: what the runner could not do, or what it says makes no sense.
    """
    steps = steps or descriptor(connection.name).profile_steps
    request = {"task": "profile", "block": block, "threads": threads, "steps": steps}
    record, _ = run_task(connection, site, release, request, deadline=deadline)
    try:
        return _checked(record["profile"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise AgentError(f"it sent an invalid profile: {error!r}", board=connection.name) from error


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """A profile as a board sends it, with the parts; one of the errors that `profile_case` catches."""
    if not isinstance(found["nodes"], list) or not 0 < len(found["nodes"]) <= MAX_NODES:
        raise ValueError("its nodes are not a list, none or too many")
    profiler_ns = _whole(found["profiler_ns"])
    times = {key: _whole(found[key]) for key in ("steps", "step_ns", "plain_ns")}
    nodes = [_node(node, profiler_ns) for node in found["nodes"]]
    scale = times["plain_ns"] / (sum(node["ns"] for node in nodes) or 1)
    nodes = [{**node, "ns": round(node["ns"] * scale)} for node in nodes]
    return {**times, "profiler_ns": profiler_ns, "nodes": nodes}


def _node(found: dict[str, Any], profiler_ns: int) -> dict[str, Any]:
    name, op = (printable(found[key])[:MAX_NAME] for key in ("name", "op"))
    return {"name": name, "op": op, "part": part_of(name), "ns": max(0, _whole(found["ns"]) - profiler_ns)}


def _whole(value: Any) -> int:
    """A number that is no time before none, and none that a day of nanoseconds could not hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{str(value)[:40]!r} is not a number")
    if not 0 <= value < 1e14:
        raise ValueError(f"{value} is not a time in ns")
    return round(value)
