"""What is to be known about a board's figures: what was granted, what was not measured, why steps were slow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...device.text import printable
from ..output.numbers import count, duration
from ..stats.node_parts import parts
from ..stats.step_times import steps_needed
from ..terms import INSTRUCTIONS, PACED, TIME
from .board import Board, Row
from .slow_steps import sentence, together

CLOCKS = {
    INSTRUCTIONS: (
        "virtual board: its clock counts instructions, not time. M = million instructions a step, MIPS = million "
        "instructions a second of audio. They repeat to 0.1% and so show regressions, not the speed of any real board"
    ),
    TIME: (
        "RTF = p50 / length of the block; misses: steps that ended too late, or, with none, the upper bound of their "
        "rate (95%)"
    ),
}
MODES = {
    "burst": "burst: steps run back to back, as in most benchmarks; a step longer than its block is a miss",
    PACED: "paced: steps start on the audio clock, as with a sound card; a block too late for 2 buffers is a "
    "miss; xruns: blocks too late for 3 and for 4 buffers",
}
# Column of the cases -> what is not measured when none of them has it, and why.
SENSORS = {
    "celsius_max": "temperature (no sensor)",
    "frequency_max_mhz": "frequency (the kernel reports none)",
    "throttled": "throttling (only a Raspberry Pi reports it)",
}
PROFILED = 3  # cases in the note; the page has all
POWER = "power (no sensor is read)"


def notes(board: Board) -> list[str]:
    """All that is said below a board's table, a sentence each."""
    return [
        *reading(board),
        *granted_lines(board),
        *sound_lines(board),
        *slow_lines(board),
        *profile_lines(board),
        not_measured(board),
        versions_line(board),
        *weights_lines(board.cases),
    ]


def reading(board: Board) -> list[str]:
    """How the figures are to be read."""
    modes = [text for mode, text in MODES.items() if mode in {row["mode"] for row in board.cases}]
    timed = board.clock == TIME
    floor = floor_lines(board.cases, board.clock)
    return [CLOCKS[board.clock], *(modes if timed else []), steps_line(board.cases), *floor]


def steps_line(cases: Sequence[Row]) -> str:
    """How many steps the figures stand on."""
    counts = sorted({row["n"] for row in cases})
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    need = f"p99 needs {steps_needed(99)}, p99.9 {steps_needed(99.9)} for 95% confidence"
    return f"{span} steps per case after the warm-up, none left out ({need})"


def told(values: Iterable[Any]) -> str:
    """Each value once, as text; what is not known is left out."""
    known = [str(value) for value in values if str(value) not in ("", "nan", "None")]
    return " / ".join(dict.fromkeys(known))


def _all(cases: Sequence[Row], column: str) -> list[Any]:
    return [row[column] for row in cases]


def _known(cases: Sequence[Row], column: str) -> list[float]:
    return [row[column] for row in cases if not math.isnan(row[column])]


def granted(board: Board) -> dict[str, str]:
    """What the board granted to the measured processes."""
    locked = [{True: "locked", False: "not locked"}.get(value, "") for value in _all(board.cases, "memory_lock")]
    facts = {
        "governor": told(_all(board.cases, "governor")),
        "scheduling": told(_all(board.cases, "scheduling")),
        "cores": told(_all(board.cases, "affinity")),
        "memory": told(locked),
    }
    return {name: text or "not known" for name, text in facts.items()}


def counting(board: Board) -> str:
    """Why instructions were not counted; empty if they were, or if nobody knows."""
    return told(text for text in (grant.get("instructions", "") for grant in _grants(board)) if text != "granted")


def refused(board: Board) -> dict[str, str]:
    """What was asked for and refused, and why."""
    found: dict[str, str] = {}
    for grant in _grants(board):
        found |= {str(what): printable(str(why)) for what, why in grant.get("refused", {}).items()}
    return found


def _grants(board: Board) -> list[dict[str, Any]]:
    return [entry["record"].get("granted", {}) for entry in board.entries]


def granted_lines(board: Board) -> list[str]:
    """What was granted and refused, in sentences; a virtual board has nothing to grant."""
    if board.clock == INSTRUCTIONS:
        return []
    parts = [f"{what} {text}" for what, text in granted(board).items()]
    not_given = [f"{what.replace('_', ' ')} ({why})" for what, why in refused(board).items()]
    return ["granted: " + ", ".join(parts), *(["refused: " + ", ".join(not_given)] if not_given else [])]


def floor_lines(cases: Sequence[Row], clock: str) -> list[str]:
    """The noise floor, in a sentence; nothing where it was not measured."""
    usual, longest = (max(_known(cases, column), default=math.nan) for column in ("floor_p50", "floor_max"))
    if math.isnan(usual):
        return []
    if clock == INSTRUCTIONS:
        return [f"noise floor: an empty step counts {usual:.0f} instructions; smaller differences mean nothing"]
    return [
        f"noise floor: an empty step takes {duration(usual)} (p50), {duration(longest)} (max); smaller differences "
        "of p50 or max mean nothing"
    ]


def sound_lines(board: Board) -> list[str]:
    """Which runs were of no sound: they can't be played, whatever they cost."""
    found = []
    for entry in board.entries:
        record = entry["record"]
        odd = record.get("not_finite")
        if isinstance(odd, dict):
            block = record["request"]["block"]
            steps = f"{count(odd.get('steps', 0), 'step')}, the first of them step {odd.get('first', 0)}"
            found.append(f"{printable(record['model'])}, block {block}: outputs were not finite numbers in {steps}")
    return [f"not playable: {'; '.join(dict.fromkeys(found))}"] if found else []


def slow_lines(board: Board) -> list[str]:
    """What coincided with slow steps, the dearest first, in a sentence."""
    return [sentence(together(board.name, board.slow))] if board.slow else []


def profile_lines(board: Board) -> list[str]:
    """What share of a step each part of the model takes, of the first cases that were profiled."""
    told_cases = [f"{name}: {_shares(parts(profile['nodes']))}" for name, profile in board.profiles[:PROFILED]]
    more = len(board.profiles) - len(told_cases)
    rest = [f"{count(more, 'case')} more with --html"] if more else []
    return [f"profiled: {'; '.join([*told_cases, *rest])}"] if told_cases else []


def _shares(costs: Mapping[str, int]) -> str:
    total = sum(costs.values()) or 1
    return ", ".join(f"{part} {cost / total:.0%}" for part, cost in costs.items())


def unmeasured(board: Board) -> list[str]:
    """What was not measured, each with the reason."""
    if board.clock == INSTRUCTIONS:
        return ["time, power, temperature, frequency, context switches (this board is virtual)"]
    missing = [text for column, text in SENSORS.items() if not _known(board.cases, column)]
    if not _known(board.cases, "instructions"):
        why = counting(board)
        missing.append(f"instructions ({f'not counted: {why}' if why else 'not asked for'})")
    if all(row["mode"] != PACED for row in board.cases):
        missing.append("paced playback (not asked for)")
    return [*missing, POWER]


def not_measured(board: Board) -> str:
    """`unmeasured` in a sentence."""
    return f"not measured: {', '.join(unmeasured(board))}"


def versions_line(board: Board) -> str:
    """The software that ran."""
    cases = board.cases
    flushed = told({True: "flushed", False: "not flushed"}.get(value, "") for value in _all(cases, "denormals_flushed"))
    parts = [
        f"{name} {told(_all(cases, column))}"
        for name, column in (("Python", "python"), ("NumPy", "numpy"))
        if told(_all(cases, column))
    ]
    torch = told(entry["record"].get("torch", "") for entry in board.entries)
    parts += [f"PyTorch {torch}"] if torch else []
    runtime = told(_all(cases, "onnxruntime"))
    parts += [*([f"ONNX Runtime {runtime}"] if runtime else []), f"denormals {flushed or 'not known'}"]
    return f"software: {', '.join(parts)}"


def weights_lines(cases: Sequence[Row]) -> list[str]:
    """Where the weights of each model come from."""
    pairs = dict.fromkeys((row["model"], row["weights"]) for row in cases)
    return [f"{model}: {weights}" for model, weights in pairs]
