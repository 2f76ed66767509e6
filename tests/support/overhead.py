"""Benchmark, not a test: what the runner adds to a bare loop of `run_with_iobinding` on the same graph.

Rounds of both alternate in one process, so that the machine's noise hits both alike; what is printed is the
median over rounds of their difference, and the ratio. The bare loop binds the same buffers and writes no controls.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from tonearm.export.write import export_bundle
from tonearm.models.catalogue import load
from tonearm.runtime.bundle import Provenance
from tonearm.runtime.clip import read_arrays
from tonearm.runtime.measure import allocate, measure
from tonearm.runtime.stream import Stream

ROUNDS, STEPS = 20, 200


def bare(stream: Stream) -> np.ndarray:
    """Step times of a bare loop, in nanoseconds."""
    run, bindings, times = stream._session.run_with_iobinding, stream._bindings, np.zeros(STEPS)
    for index in range(STEPS):
        before = time.perf_counter_ns()
        run(bindings[index & 1])
        times[index] = time.perf_counter_ns() - before
    return times


def main() -> None:
    """Print one line per model and block."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("hpn-reduced", "hpn-full"):
            bundle = export_bundle(load(name), name, Path(folder) / name, [64, 1024], weights=Provenance("")).bundle
            golden = read_arrays(bundle.folder / bundle.golden)
            signals = {signal.name: golden[signal.name] for signal in bundle.inputs}
            for block in bundle.graphs:
                report(name, block, Stream(bundle, block), signals)


def report(name: str, block: int, stream: Stream, signals: dict[str, np.ndarray]) -> None:
    """Measure one graph both ways and print what the runner adds."""
    pairs = []
    for _ in range(ROUNDS):
        ours = np.median(measure(stream, signals, allocate(STEPS, 20, 1))["step_ns"])
        pairs.append((ours, np.median(bare(stream))))
    ours, theirs = np.median(pairs, 0)
    added = float(np.median([a - b for a, b in pairs]))
    allowed = 0.02 * theirs + 3000
    print(
        f"{name} block {block}: bare {theirs / 1e3:.1f} us, runner {ours / 1e3:.1f} us, "
        f"added {added / 1e3:.2f} us (allowed {allowed / 1e3:.2f} us)"
    )


if __name__ == "__main__":
    main()
