"""The columns of results, each with its unit.

Times are nanoseconds. On a virtual board they are counts of instructions, which neither meet nor miss a deadline: what
is a share of real time is NaN there. NaN is also what was not recorded, and a percentile that the steps are too few
for; of a text, what is not known is empty.
"""

from __future__ import annotations

from ...runtime.telemetry import PRESSURES
from ..stats.step_times import (PERCENTILES, percentile_name)

# A machine whose virtual clock counts instructions; everything else counts time.
INSTRUCTIONS = "instructions"
TIME = "time"
MODES = BURST, PACED = "burst", "paced"
ENGINES = ONNXRUNTIME, TORCH = "onnxruntime", "torch"
PROTOCOLS = DDX7, PAPER = "ddx7", "paper"  # published ones
PAPER_THREADS = (1, 2, 4)  # of the paper's harness
BUFFERS = (2, 3, 4)
STAGES = ("python", "numpy", "buffers", "onnxruntime", "session")
PARTS = ("decoder", "synth", "reverb")
NAMES = tuple(map(percentile_name, PERCENTILES))

_PERCENTILE_COLUMNS = {
    key: text
    for name in NAMES
    for key, text in {
        name: f"ns; {name[1:]} % of the steps take no longer",
        f"{name}_low": f"ns; {name} is above that, with 95 % confidence",
        f"{name}_high": f"ns; {name} is below that, with 95 % confidence",
    }.items()
}
CASE_COLUMNS = {
    "case": "identity: board, its software, bundle, request, repeat",
    "board": "its name",
    "clock": "what times are: time, or instructions (virtual board)",
    "engine": "onnxruntime or torch",
    "model": "name",
    "weights": "where they come from",
    "precision": "of the weights",
    "block": "samples a step",
    "threads": "of the engine",
    "mode": "burst: steps back to back; paced: on the audio clock",
    "protocol": "published one that it was measured under: ddx7, paper; else empty",
    "repeat": "from 0",
    "superseded": "whether a newer measurement of the case, with another bundle, software or request, counts instead",
    "steps_asked": "timed steps that were asked for",
    "n": "timed steps",
    "measured_at": "seconds since 1970, UTC",
    "budget": "ns; length of a block",
    "first": "ns; the very first step of the process",
    "session": "ns; making the engine's session",
    "import_numpy": "ns",
    "import_onnxruntime": "ns",
    **_PERCENTILE_COLUMNS,
    "max": "ns; longest step",
    "mean": "ns",
    "std": "ns; standard deviation (n - 1)",
    "rtf": "p50 / budget",
    "rtf_mean": "mean / budget",
    "rtf_std": "std / budget",
    **{f"rtf_{name}": f"{name} / budget" for name in NAMES[1:]},
    "mips": "million instructions a second of audio, from p50; virtual board only",
    "misses": "steps too late: burst: longer than the budget; paced: not ended at the next tick",
    "miss_rate": "misses / n",
    "miss_rate_high": "upper bound of the rate, 95 % confidence; about 3 / n without a miss",
    **{f"xruns_{k}": f"blocks that a sound card of {k} buffers would have replaced by silence; paced" for k in BUFFERS},
    "late_p50": "ns; start after the step could have started; paced",
    "late_p99": "ns; as late_p50",
    "late_max": "ns; as late_p50",
    "instructions": "user instructions a step, p50; where the kernel counts them",
    "voluntary": "context switches in the timed steps: slept or waited",
    "involuntary": "context switches in the timed steps: interrupted",
    "minor_faults": "page faults in the timed steps, without reading a disk",
    "major_faults": "page faults in the timed steps, reading a disk",
    "frequency_min_mhz": "MHz; of the core it ran on, during the timed steps",
    "frequency_max_mhz": "MHz",
    "celsius_start": "°C; hottest sensor, before the session",
    "celsius_max": "°C; hottest sensor, during the timed steps",
    "throttled": "the Raspberry Pi's bits, all that were set",
    **{f"pressure_{name}": f"0 to 1; share of the time in which a task waited for {name}" for name in PRESSURES},
    "floor_p50": "ns; an empty step, before or after, the larger",
    "floor_max": "ns; the longest of them",
    "python_kb": "kB, private, after Python's start",
    "numpy_kb": "kB, private, after importing numpy",
    "buffers_kb": "kB, private, after allocating what is measured into",
    "onnxruntime_kb": "kB, private, after importing ONNX Runtime",
    "session_kb": "kB, private, after making the session",
    "private_kb": "kB, private, after the run",
    "model_kb": "kB, private; after the run less after importing the engine",
    "peak_kb": "kB; most resident memory of the process",
    "file_bytes": "bytes; graph and weights",
    "weight_bytes": "bytes; weights",
    "parameters": "numbers in the model",
    **{f"{part}_parameters": f"numbers in its {part}" for part in PARTS},
    "affinity": "cores that the process may run on",
    "scheduling": "class and priority",
    "memory_lock": "whether memory was locked; None: not known",
    "governor": "of the frequency",
    "denormals_flushed": "whether they are; None: not known",
    "release": "the bundle on the board, with its hash",
    "runtime": "the board's packages, by their hash",
    "runner": "the board's program, by its hash",
    "python": "version",
    "numpy": "version",
    "onnxruntime": "version",
    "kernel": "version",
    "cpu": "part numbers",
    "hostname": "the board's own name",
}
POOLED_COLUMNS = {
    **{name: text for name, text in CASE_COLUMNS.items() if name not in ("repeat", "superseded")},
    "repeats": "runs that were pooled",
    "p50_repeats": "ns; p50 of each, in order",
}
STEP_COLUMNS = {
    "case": "as in cases",
    "step": "from 0",
    "start_ns": "ns since the first tick, or the first step",
    "step_ns": "ns; its time",
    "late_ns": "ns; start after it could have started: after its tick or the step before; 0 in burst",
    "voluntary": "context switches: slept or waited",
    "involuntary": "context switches: interrupted",
    "minor_faults": "page faults without reading a disk",
    "major_faults": "page faults reading a disk",
    "instructions": "user instructions",
}
TELEMETRY_COLUMNS = {
    "case": "as in cases",
    "seconds": "s since the first tick, or the first step; below 0: before",
    "core": "that the measuring thread was last on",
    "mhz": "MHz; of that core",
    "celsius": "°C; hottest sensor",
    "throttled": "the Raspberry Pi's bits",
    **{
        f"pressure_{name}": f"0 to 1; share of the time since the sample before, waiting for {name}"
        for name in PRESSURES
    },
    "involuntary": "context switches since the sample before: interrupted",
    "minor_faults": "page faults since the sample before",
    "major_faults": "page faults since the sample before, reading a disk",
}
