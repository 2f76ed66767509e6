"""The two published protocols as grids of cases: the DDX7 page's latencies, and the paper's harness.

What is measured under one carries its name, so that it makes tables of its own (`protocol_tables`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...device.boards import board
from ...device.descriptor import LOOPBACK, descriptor
from ...device.facts import read_facts
from ...runtime.bundle import Bundle
from ...runtime.progress import Progress
from ..errors import BenchError
from ..output.console import say
from ..parallel import Reach
from ..terms import BURST, ONNXRUNTIME, PAPER, PAPER_THREADS, TORCH
from .plan import Plan
from .session import without_cores
from .torch_engine import module_of, torch_version

LATENCIES_MS = (256, 128, 64, 32, 16, 8, 4)
BUFFERS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
CALLS = 100
SAMPLE_RATE = 16_000
FIELDS = ("blocks", "threads", "modes", "engines", "steps", "seconds")


def blocks(protocol: str, sample_rate: int = SAMPLE_RATE) -> tuple[int, ...]:
    """Samples per call; `BenchError` where a latency is no whole number of them."""
    if protocol == PAPER:
        return BUFFERS
    samples = [divmod(latency * sample_rate, 1000) for latency in LATENCIES_MS]
    if any(rest for _, rest in samples):
        raise BenchError(
            f"--protocol ddx7: latencies are not whole numbers of samples at {sample_rate} Hz; use models at 16000 Hz"
        )
    return tuple(sorted(count for count, _ in samples))


def grid(protocol: str, name: str, bundles: Sequence[Bundle], cores: int) -> dict[str, Any]:
    """What is measured on the board `name`: `FIELDS` of a plan.

    More threads than the board has cores are left out. On the loopback board PyTorch is measured beside ONNX Runtime,
    where all models can be made again in it; what is left out is reported. A virtual board counts instructions: a few
    calls give their number.

    Raises:
        BenchError: the protocol does not fit the bundles' sample rate.
    """
    rates = sorted({bundle.sample_rate for bundle in bundles})
    if len(rates) > 1:
        raise BenchError(
            f"a protocol needs models of one sample rate, not {', '.join(map(str, rates))} Hz: run it for each"
        )
    threads = sorted({*PAPER_THREADS} - without_cores(name, PAPER_THREADS, cores)) if protocol == PAPER else [1]
    return {
        "blocks": blocks(protocol, rates[0]),
        "threads": tuple(threads),
        "modes": (BURST,),
        "engines": (ONNXRUNTIME, *([TORCH] if name == LOOPBACK and _has_torch(bundles) else [])),
        "steps": min(CALLS, descriptor(name).steps),
        "seconds": None,
    }


def on_board(plan: Plan, name: str, bundles: Sequence[Bundle], progress: Progress, reach: Reach = board) -> Plan:
    """The plan for the board `name`: with the grid of its protocol if it has one, which the board is asked for."""
    if not plan.protocol:
        return plan
    with reach(name, progress) as connection:
        cores = read_facts(connection)["cores"]
    return replace(plan, boards=(name,), repeats=plan.repeats or 1, **grid(plan.protocol, name, bundles, cores))


def _has_torch(bundles: Sequence[Bundle]) -> bool:
    try:
        torch_version()
        for bundle in bundles:
            module_of(bundle)
    except BenchError as error:
        say(f"not measured in PyTorch: {error}")
        return False
    return True
