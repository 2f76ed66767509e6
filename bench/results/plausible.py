"""Records that can't be: times, memory and sensors that no board has are refused by name, and never reach a table.

Older than any of these checks is that the arrays fit together: see `samples`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...runtime.telemetry import COLUMNS as TELEMETRY
from ..stats.step_times import ticks
from ..terms import PACED, TIME
from .fields import number, text, whole
from .samples import Arrays

LONGEST_NS = 1 << 42  # of a step: 73 minutes, or as many instructions
LAST_NS = 1 << 54  # when a step starts: seven months after the first
LATEST = 253_402_300_799  # the last second of the year 9999
LONGEST_START = 1e6  # seconds
SHORTEST_FLOOR = 5  # ns: to read the clock twice takes longer on any processor
GAP = 100  # times a step: what lies between steps back to back is less work than a step
MOST_KB = 1 << 34
# What sensors can say; NaN is what they did not.
SENSORS = {"frequency_khz": (0, 1e8), "temperature_mc": (-1e5, 3e5)}


def check_plausible(case: dict[str, Any], run: Arrays) -> None:
    """`ValueError` says what of a case can't be, by name."""
    step = run["step_ns"]
    if step.min() < 1:
        raise ValueError(f"step {int(step.argmin())} takes no time")
    for name in ("step_ns", "first_ns", "warmup_ns", "floor_before_ns", "floor_after_ns"):
        if name in run and run[name].size and run[name].max() > LONGEST_NS:
            raise ValueError(f"{name} is up to {run[name].max()} ns, which no board takes")
    if "start_ns" in run and run["start_ns"].max() > LAST_NS:
        raise ValueError(f"a step starts {run['start_ns'].max()} ns after the first")
    if case["clock"] == TIME:
        usual = float(np.median(step))
        _check_floor(run, usual)
        _check_clock(case, run, usual)
    _check_memory(case)
    _check_seconds(case)
    _check_profile(case.get("profile"))
    for count in case["record"].get("not_finite", {}).values():
        whole(count)


def _check_floor(run: Arrays, usual: float) -> None:
    """An empty step takes some time, and a `usual` one, ns, takes longer."""
    for name in ("floor_before_ns", "floor_after_ns"):
        if name not in run or not run[name].size:
            continue
        floor = float(np.median(run[name]))
        if floor < SHORTEST_FLOOR:
            raise ValueError(f"an empty step takes {floor:g} ns ({name}), less than reading the clock")
        if usual < floor:
            raise ValueError(f"a step takes {usual:g} ns, less than an empty one ({floor:g} ns, {name})")


def _check_clock(case: dict[str, Any], run: Arrays, usual: float) -> None:
    """Steps on the audio clock wait for their tick; others follow each other."""
    if "start_ns" not in run:
        return
    start, step, request = run["start_ns"], run["step_ns"], case["record"]["request"]
    if request.get("mode") == PACED:
        early = np.flatnonzero(start < ticks(step.size, request["block"], case["sample_rate"]))
        if early.size:
            raise ValueError(f"step {early[0]} starts before its tick on the audio clock")
    elif step.size > 1:
        gap = float(np.median(start[1:] - (start + step)[:-1]))
        if gap > GAP * usual:
            raise ValueError(f"{gap:.0f} ns pass between steps back to back, which take {usual:.0f} ns")


def _check_memory(case: dict[str, Any]) -> None:
    """No process has more memory than its board."""
    known = number(case["facts"].get("memory_kb"))
    most = known if known > 0 else MOST_KB
    for stage, weighed in case["record"]["memory"].items():
        for name, value in weighed.items():
            if number(value) > most:
                raise ValueError(f"{name} after {stage} is {value} kB, more than the board has ({most:.0f} kB)")


def _check_seconds(case: dict[str, Any]) -> None:
    for name, value in case["record"]["seconds"].items():
        if number(value) > LONGEST_START:
            raise ValueError(f"{name} took {value} s")
    if number(case.get("measured_at")) > LATEST:
        raise ValueError(f"measured_at is {case['measured_at']}, after the year 9999")


def _check_profile(profile: Any) -> None:
    """That of a case that was profiled is as `sweep.profile` makes it."""
    for node in profile["nodes"] if profile else ():
        texts = [text(node[key]) for key in ("name", "op", "part")]
        if whole(node["ns"]) > LONGEST_NS:
            raise ValueError(f"node {texts[0]:.40} takes {node['ns']} ns")
    if profile and (not profile["nodes"] or whole(profile["plain_ns"]) > LONGEST_NS):
        raise ValueError("its profile has no nodes, or a step that no board takes")


def known_sensors(run: Arrays) -> Arrays:
    """The arrays with NaN where a sensor says what can't be: a broken one is no reason to lose a measurement."""
    if "telemetry" not in run:
        return run
    looks = run["telemetry"].copy()
    for name, (least, most) in SENSORS.items():
        column = looks[:, TELEMETRY.index(name)]
        column[(column < least) | (column > most)] = math.nan
    return {**run, "telemetry": looks}
