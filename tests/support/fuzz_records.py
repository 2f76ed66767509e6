"""Mutated records of boards, passed through what is done with results: kept, loaded, reported, compared.

`python tests/support/fuzz_records.py --tries 1500 --seed 0` prints what became of them. A mutant is made from the seed
and its number alone. What is kept is shown in the terminal and as Markdown, and some of it as a page; nothing may end
in a traceback, and no table may show what no board can have.
"""

from __future__ import annotations

import io
import random
import re
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from fuzzing import HANG, TRACEBACK, Counts, Tell, command_line
from made_results import PERIOD, entry, made_arrays, packed, telemetry
from mutants import Rng, changed, damaged
from rich.console import Console
from tonearm.bench.errors import BenchError
from tonearm.bench.output.tables import Table, markdown
from tonearm.bench.report.html import write_html
from tonearm.bench.report.markdown import markdown as report
from tonearm.bench.report.terminal import terminal_tables
from tonearm.bench.results.store import append, load
from tonearm.bench.terms import BURST, INSTRUCTIONS, PACED

SECONDS = 60  # for one mutant
PAGES = 25  # one in so many that were kept is shown as a page, which takes seconds
REFUSED, KEPT, SHOWN = "refused by name", "kept and shown", "showed what can't be"
OUTCOMES = (REFUSED, KEPT, TRACEBACK, HANG, SHOWN)
STEPS = 320
BYTES = re.compile(r"\d{16}|[\x00-\x08\x0b-\x1f\x7f]|nan|inf\b")  # what no figure of a real board looks like


class HangError(Exception):
    """It took too long."""


def bases() -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Cases with all that a record can hold: back to back, on the audio clock, on a virtual board."""
    step = 1_000_000 + 1000 * np.arange(STEPS, dtype=np.int64) % 50_000
    looks = telemetry(*({"t_ns": 1e8 * n, "temperature_mc": 45_000, "frequency_khz": 1.5e6} for n in range(-1, 13)))
    nodes = [{"name": f"/decoder/{n}", "op": "Gemm", "part": "decoder", "ns": 1000 + n} for n in range(5)]
    made = []
    for mode, clock in ((BURST, "time"), (PACED, "time"), (BURST, INSTRUCTIONS)):
        case = entry("virtual" if clock == INSTRUCTIONS else "pi", clock=clock)
        case["facts"] = case["facts"] | {"memory_kb": 4_000_000, "hostname": "pi", "governor": "performance"}
        request = case["record"]["request"] | {"format": 2, "task": "measure", "mode": mode, "steps": STEPS}
        granted = {"affinity": [3], "scheduling": "fifo 80", "memory_lock": True, "governor": "performance"}
        granted |= {"refused": {"memory": "not permitted"}, "instructions": "counted"}
        case["record"] = case["record"] | {"request": request, "granted": granted}
        case["profile"] = {"steps": 4, "nodes": nodes, "step_ns": 1_200_000, "plain_ns": 1_000_000}
        case["cooldown"] = {"waited_s": 2.5, "celsius": 44.0, "limit_reached": False}
        start = np.arange(STEPS, dtype=np.int64) * PERIOD if mode == PACED else None
        made.append((case, made_arrays(step, start) | {"telemetry": looks}))
    return made


def mutant(rng: Rng) -> tuple[dict[str, Any], bytes, str]:
    """A case's line and its file of arrays, and what was changed."""
    case, arrays = rng.choice(BASES)
    kind = rng.choice(["record", "record", "line", "arrays", "arrays", "bytes"])
    if kind == "record":
        for _ in range(rng.choice([1, 1, 2, 3])):
            case = case | {"record": changed(case["record"], rng)}
    elif kind == "line":
        key = rng.choice(list(case))
        case = case | {key: changed(case[key], rng)}
    elif kind == "arrays":
        arrays = changed_arrays(arrays, rng)
    content = packed(arrays)
    return case, damaged(content, rng) if kind == "bytes" else content, kind


def changed_arrays(arrays: dict[str, np.ndarray], rng: Rng) -> dict[str, np.ndarray]:
    """One array of another size, type or scale, with an odd number, or without it."""
    name = rng.choice([name for name in arrays if arrays[name].size])
    values, way = arrays[name].copy(), rng.choice(["odd", "odd", "scale", "size", "type", "drop", "order"])
    if way == "odd":
        odd = rng.choice([0, -1, 1, 1 << 31, 1 << 55, 1 << 62, np.nan, np.inf])
        values = values if np.isfinite(odd) and values.dtype.kind == "i" else values.astype(np.float64)
        with np.errstate(all="ignore"):
            values.flat[rng.randrange(values.size)] = np.asarray(odd).astype(values.dtype)
    elif way == "scale":
        with np.errstate(all="ignore"):
            values = (values * rng.choice([0.0, 1e-3, 1e3, -1.0, 1e12])).astype(values.dtype)
    elif way == "size":
        values = values[: rng.randrange(len(values))]
    elif way == "type":
        values = values.astype(rng.choice(["f4", "i1", "c8", "U3", "u8"]))
    elif way == "order":
        values = values[::-1]
    return {key: value for key, value in {**arrays, name: values}.items() if way != "drop" or key != name}


def judge(box: Path, case: dict[str, Any], content: bytes, page: bool) -> tuple[str, str]:
    """What becomes of a case, and what is said about it."""
    try:
        append(box, "a", case, content)
        append(box, "b", BASES[0][0], packed(BASES[0][1]))
        found = load(box)
        text = report(found) + "".join(map(printed, terminal_tables(found, 100)))
        found.to_csv(box / "cases.csv")
        if page:
            write_html(found, box / "page.html")
    except BenchError as error:
        return REFUSED, str(error)
    odd = BYTES.search(text.replace("\n", " "))
    return (SHOWN, text[max(0, odd.start() - 60) : odd.end() + 20]) if odd else (KEPT, "")


def printed(table: Table) -> str:
    """As a terminal shows it, without the notes; and as Markdown."""
    console = Console(width=100, file=io.StringIO())
    with console.capture() as shown:
        console.print(table)
    return shown.get() + markdown(table)


def fuzz(tries: int, seed: int, tell: Tell) -> Counts:
    """How many of each kind ended how; what must not be is told in a line each."""
    counts: Counts = Counter()
    signal.signal(signal.SIGALRM, _late)
    for number in range(tries):
        case, content, kind = mutant(random.Random(f"{seed} {number}"))
        with tempfile.TemporaryDirectory() as box:
            signal.alarm(SECONDS)
            try:
                outcome, said = judge(Path(box), case, content, number % PAGES == 0)
            except HangError:
                outcome, said = HANG, ""
            except Exception:
                outcome, said = TRACEBACK, traceback.format_exc()
            signal.alarm(0)
        counts[kind, outcome] += 1
        if outcome not in (REFUSED, KEPT):
            tell(f"seed {seed}, mutant {number} ({kind}): {outcome}: {said}")
    return counts


def _late(number: int, frame: FrameType | None) -> None:
    raise HangError


BASES = bases()


if __name__ == "__main__":
    sys.exit(command_line(__doc__, 1500, OUTCOMES, OUTCOMES[2:], lambda _, *how: fuzz(*how)))
