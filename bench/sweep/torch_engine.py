"""Measure the model of a bundle uncompiled, in eager PyTorch on this machine, with the loop that boards run.

`python -m tonearm.bench.sweep.torch_engine REQUEST` is one fresh process for each case, as `runtime.runner` is on a
board: the same request with `module` (how the catalogue makes the model), the same record and samples. What differs:

- `torch` is PyTorch's version, `onnxruntime` is "". The stages `import_onnxruntime` (seconds) and `onnxruntime`
  (memory, also as `torch`) are those of PyTorch, and `session` is the making of the module (of untrained weights,
  and their fitting).
- `parity` is how far the stream is from the bundle's golden vectors. It is computed after the steps, so that the very
  first step is one, and a model that is not the bundle's gives no record at all.
- Denormals are flushed as on boards, and by `torch.set_flush_denormal`. Threads spin as PyTorch has them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...runtime.bundle import FP32, Bundle, read_bundle
from ...runtime.denormals import denormals_are_flushed, flush_denormals
from ...runtime.errors import RunnerError
from ...runtime.memory import memory
from ...runtime.runner import FORMAT
from ..errors import BenchError, EngineError

if TYPE_CHECKING:
    from ...runtime.stream import Stream

PROOF_FRAMES = 64


def torch_version() -> str:
    """PyTorch's version; `BenchError` says how to install it where it is missing."""
    from ..bundles import needing_extra

    with needing_extra("measuring PyTorch"):
        if find_spec("torch") is None:
            raise ModuleNotFoundError(name="torch")
    return metadata.version("torch")


def module_of(bundle: Bundle) -> dict[str, Any]:
    """How the catalogue makes the bundle's model: `{"name": ..., "options": {...}}`, for `models.catalogue.load`.

    Raises:
        EngineError: it can't, or not with these weights.
    """
    from ...models.catalogue import NAMES, resolve, variant_name

    for name, values in product(NAMES, product((True, False), (False, True), (False, True))):
        options = dict(zip(("reverb", "causal", "full_noise"), values, strict=True))
        if variant_name(name, **options) == bundle.name and bundle.precision == FP32:
            if resolve(name).provenance.text == bundle.weights:
                return {"name": name, "options": options}
            break
    raise EngineError(
        f"{bundle.name} ({bundle.weights}, {bundle.precision}) can't be rebuilt in PyTorch: "
        f"only Tonearm's own models can, in {FP32} and with the weights they come with or untrained"
    )


def measure_here(bundle: Bundle, request: dict[str, Any], deadline: float) -> tuple[dict[str, Any], bytes]:
    """Measure a case in a fresh process on this machine.

    Args:
        bundle: what the model is the original of, and whose golden controls are played.
        request: as for the runner's task "measure".
        deadline: seconds until the process is ended.

    Returns:
        The record and the samples (.npz), as a board gives them.

    Raises:
        BenchError: PyTorch is not installed.
        EngineError: the model can't be made again, computes something else than the bundle, or was ended.
    """
    torch_version()
    facts = {"format": FORMAT, "bundle": str(bundle.folder.resolve()), "module": module_of(bundle)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps({**facts, **request}))
        record = _record(bundle, folder, deadline)
        return record, (folder / request["samples"]).read_bytes()


def _record(bundle: Bundle, folder: Path, deadline: float) -> dict[str, Any]:
    from ...device.agent.tasks import end_with_the_agent, ending, last_line

    command = [sys.executable, "-m", "tonearm.bench.sweep.torch_engine", "request.json"]
    how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "preexec_fn": end_with_the_agent}
    try:
        done = subprocess.run(command, cwd=folder, timeout=deadline, check=False, text=True, errors="replace", **how)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{bundle.name} in PyTorch took longer than {deadline:.0f} s and was stopped") from error
    file = folder / "record.json"
    if not file.is_file():
        raise EngineError(f"{bundle.name} in PyTorch crashed ({ending(cast(Any, done))}): {last_line(done.stderr)}")
    record = json.loads(file.read_text())
    if "error" in record:
        raise EngineError(f"{bundle.name} in PyTorch: {record['error']}")
    return record


def run(request: dict[str, Any]) -> dict[str, Any]:
    """The record of one request, in a process that has imported neither numpy nor PyTorch."""
    record: dict[str, Any] = {"format": FORMAT, "request": request, "memory": {"python": memory()}, "seconds": {}}
    flush_denormals()  # before any threads start, which inherit it
    record["numpy"] = _imported(record, "numpy", "numpy")
    from ...runtime.measure import allocate

    arrays = allocate(request["steps"], request["warmup"], request["floor"])
    record["memory"]["buffers"] = memory()
    record["torch"], record["onnxruntime"] = _imported(record, "torch", "onnxruntime"), ""
    record["memory"]["torch"] = record["memory"]["onnxruntime"]
    record["python"] = sys.version.split()[0]
    bundle = read_bundle(Path(request["bundle"]))
    record["model"], record["digest"] = bundle.name, bundle.digest
    _measure(bundle, request, record, arrays)
    return record


def _imported(record: dict[str, Any], module: str, stage: str) -> str:
    """Import a module, note its time and what the process weighs after it; its version."""
    start = time.perf_counter()
    version = __import__(module).__version__
    record["seconds"][f"import_{stage}"] = time.perf_counter() - start
    record["memory"][stage] = memory()
    return version


def _measure(bundle: Bundle, request: dict[str, Any], record: dict[str, Any], arrays: dict[str, Any]) -> None:
    import torch

    from ...runtime.case import measure_case
    from ...runtime.clip import read_golden, write_arrays

    torch.set_flush_denormal(True)
    record["denormals_flushed"] = denormals_are_flushed()
    opened: list[Any] = []

    def open_stream() -> Any:
        opened.append(_open(bundle, request, record))
        return opened[0]

    found = measure_case(bundle, request, record, arrays, open_stream)
    write_arrays(Path(request["samples"]), found)
    from ...runtime.parity import check_parity

    record["parity"] = check_parity(cast("Stream", opened[0]), read_golden(bundle), PROOF_FRAMES)


def _open(bundle: Bundle, request: dict[str, Any], record: dict[str, Any]) -> Any:
    from ...models.catalogue import load
    from .torch_stream import TorchStream

    start = time.perf_counter()
    module = load(request["module"]["name"], **request["module"]["options"])
    stream = TorchStream(bundle, module, request["block"], request["threads"])
    record["seconds"]["session"] = time.perf_counter() - start
    record["memory"]["session"] = memory()
    return stream


def main() -> int:
    """Fulfil the request named on the command line."""
    request = json.loads(Path(sys.argv[1]).read_text())
    try:
        record = run(request)
    except (RunnerError, BenchError) as error:
        record = {"format": FORMAT, "request": request, "error": str(error), "kind": type(error).__name__}
    Path("record.json").write_text(json.dumps(record))
    return 1 if "error" in record else 0


if __name__ == "__main__":
    sys.exit(main())
