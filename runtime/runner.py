"""The runner: `python3 -m tonearm.runtime.runner REQUEST`, one fresh process for each task.

REQUEST is a JSON file; the record goes to `record.json` and arrays to files beside it. Lines `done total` on
standard output tell how far it is. Standard error belongs to people: ONNX Runtime writes warnings there. Exit
status 0 when the record holds a result, 1 when it holds an `error`.

```
{"format": 2, "task": "parity" | "render" | "measure" | "profile", "bundle": FOLDER,
 "blocks": [64, ...], "frames": N}                                              parity
 "block": 64, "threads": 1, "inputs": "inputs.npz", "outputs": "outputs.npz"}   render
 "block": 64, "threads": 1, "mode": "burst" | "paced", "steps": N, "warmup": N, "floor": N, "samples": "steps.npz",
 "telemetry": true, "tune": false, "system": "/", "stop_after_misses": 0}       measure
 "block": 64, "threads": 1, "steps": N}                                         profile
```
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from .bundle import Bundle, read_bundle
from .denormals import denormals_are_flushed, flush_denormals
from .errors import RunnerError
from .memory import limit_memory, memory

FORMAT = 2  # 2: `measure`, which was `burst`; 1: first


def run(request: dict[str, Any]) -> dict[str, Any]:
    """The record of one request; `RunnerError` when it can't be fulfilled."""
    if request.get("format") != FORMAT:
        raise RunnerError(f"request format {request.get('format')!r}, this runner reads {FORMAT}: deploy again")
    record: dict[str, Any] = {
        "format": FORMAT,
        "request": request,
        "memory": {"python": memory()},
        "seconds": {},
    }
    flush_denormals()  # before numpy and ONNX Runtime start threads, which inherit it
    _import(record, "numpy")
    arrays = _allocate(request, record)
    record["denormals_flushed"] = denormals_are_flushed()
    _import(record, "onnxruntime")
    record["python"] = platform.python_version()
    bundle = read_bundle(Path(request["bundle"]))
    record["model"], record["digest"] = bundle.name, bundle.digest
    tasks = {"parity": _parity, "render": _render, "profile": _profile}
    if request["task"] == "measure":
        _measure(bundle, request, record, arrays)
    elif request["task"] in tasks:
        tasks[request["task"]](bundle, request, record)
    else:
        raise RunnerError(f"unknown task {request['task']!r}: deploy again")
    record["memory"].setdefault("run", memory())
    return record


def _import(record: dict[str, Any], name: str) -> None:
    """Import a module and note its time, version and what the process weighs after it."""
    start = time.perf_counter()
    module = __import__(name)
    record["seconds"][f"import_{name}"] = time.perf_counter() - start
    record["memory"][name] = memory()
    record[name] = module.__version__


def _open(bundle: Bundle, block: int, threads: int, record: dict[str, Any]) -> Any:
    from .stream import Stream

    start = time.perf_counter()
    stream = Stream(bundle, block, threads)
    record["seconds"]["session"] = time.perf_counter() - start
    record["memory"]["session"] = memory()
    return stream


def _progress(done: int, total: int) -> None:
    """Standard output is the protocol: `done total`, for whoever waits."""
    print(done, total, flush=True)


def _parity(bundle: Bundle, request: dict[str, Any], record: dict[str, Any]) -> None:
    from .clip import read_golden
    from .parity import check_parity

    golden = read_golden(bundle)
    record["parity"] = []
    for index, block in enumerate(request["blocks"]):
        _progress(index, len(request["blocks"]))
        stream = _open(bundle, block, 1, record)
        record["parity"].append(check_parity(stream, golden, request.get("frames")))


def _render(bundle: Bundle, request: dict[str, Any], record: dict[str, Any]) -> None:
    from .clip import check_signals, read_arrays, write_arrays

    signals = check_signals(bundle, read_arrays(Path(request["inputs"])))
    stream = _open_for(bundle, request, record)
    start = time.perf_counter()
    outputs = stream.render(signals, _progress)
    record["seconds"]["render"] = time.perf_counter() - start
    write_arrays(Path(request["outputs"]), outputs)


def _allocate(request: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """The arrays that a measurement fills, before anything of the model is in memory."""
    if request["task"] != "measure":
        return {}
    from .measure import allocate

    arrays = allocate(request["steps"], request["warmup"], request["floor"])
    record["memory"]["buffers"] = memory()
    return arrays


def _measure(bundle: Bundle, request: dict[str, Any], record: dict[str, Any], arrays: dict[str, Any]) -> None:
    from .case import measure_case
    from .clip import write_arrays

    found = measure_case(bundle, request, record, arrays, lambda: _open_for(bundle, request, record))
    write_arrays(Path(request["samples"]), found)


def _open_for(bundle: Bundle, request: dict[str, Any], record: dict[str, Any]) -> Any:
    return _open(bundle, request["block"], request["threads"], record)


def _profile(bundle: Bundle, request: dict[str, Any], record: dict[str, Any]) -> None:
    from .clip import check_signals, read_golden
    from .profile import profile

    golden = read_golden(bundle)
    signals = check_signals(bundle, {signal.name: golden[signal.name] for signal in bundle.inputs})
    record["profile"] = profile(bundle, signals, request["block"], request["threads"], request["steps"])


def main() -> int:
    """Fulfil the request named on the command line."""
    request = json.loads(Path(sys.argv[1]).read_text())
    limit_memory()
    try:
        record = run(request)
    except (RunnerError, MemoryError) as error:
        text = "it needs more memory than is free" if isinstance(error, MemoryError) else str(error)
        record = {"format": FORMAT, "request": request, "error": text, "kind": type(error).__name__}
    part = Path("record.json.part")
    part.write_text(json.dumps(record))
    part.replace("record.json")
    return 1 if "error" in record else 0


if __name__ == "__main__":
    sys.exit(main())
