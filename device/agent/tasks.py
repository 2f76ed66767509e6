"""What the agent starts: Python with a runtime, in a process of its own and for a bounded time."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from .files import building, inside, mark_used, receive
from .protocol import PROGRESS, RefusalError, answer
from .runtimes import can_not_run, cure, failed_file, link_system, remember_failure, system_name, system_packages

PR_SET_PDEATHSIG = 1
TAIL = 400  # characters of a dead process's last line that travel back
TRIAL_SECONDS = 600
# x -> Tanh(MatMul(GRU(x), m)), opset 17; its weights are constants, which ONNX Runtime packs as it does a model's.
MODEL = (
    "CAg6ywIKKRICd3MiCENvbnN0YW50KhcKBXZhbHVlKgsIAxAHOgMBYCBCAKABBDoACjQKAndzEgF3Ig9Db25zdGFudE9mU2hhcGUqGAoFdmFsdW"
    "UqDAgBEAEiBArXIzxCAKABBDoACioKAXgKAXcKAXcSAWgSAWwiA0dSVSoSCgtoaWRkZW5fc2l6ZRggoAECOgAKKBICbXMiCENvbnN0YW50KhYK"
    "BXZhbHVlKgoIAhAHOgIgIEIAoAEEOgAKNAoCbXMSAW0iD0NvbnN0YW50T2ZTaGFwZSoYCgV2YWx1ZSoMCAEQASIEzczMPUIAoAEEOgAKEwoBaA"
    "oBbRIBcCIGTWF0TXVsOgAKDgoBcBIBeSIEVGFuaDoAEgF0WhcKAXgSEgoQCAESDAoCCAIKAggBCgIIIGIbCgF5EhYKFAgBEhAKAggCCgIIAQoC"
    "CAEKAgggQgQKABAR"
)
# The kinds of arithmetic that models are made of: an instruction that a processor lacks may wait in any of them.
TRIAL = """
import base64, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
model = base64.b64decode("@MODEL@")
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
(y,) = session.run(None, {"x": numpy.linspace(-1, 1, 64, dtype=numpy.float32).reshape(2, 1, 32)})
if y.shape != (2, 1, 1, 32) or not numpy.isfinite(y).all():
    raise SystemExit("its results are wrong")
""".replace("@MODEL@", MODEL)
# Arguments: how many folders to import from, the folders, then a module or -c, and its arguments. (PYTHONPATH is split
# where a folder's name has a colon.)
START = """
import runpy, sys
count = int(sys.argv[1])
sys.path[:1] = sys.argv[2 : 2 + count]
del sys.argv[: 2 + count]
if sys.argv[0] == "-c":
    exec(sys.argv[1])
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def runtime(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Unpack wheels (objects) into a runtime and try it in a process of its own: a wheel can die of its CPU."""
    target = inside(root, request["path"])
    if not target.is_dir():
        with building(target) as new:
            for sha256 in request["wheels"]:
                unpack(inside(root, f"objects/{sha256}"), new)
            try_out(root, request["path"], new)
    for sha256 in request["wheels"]:
        inside(root, f"objects/{sha256}").unlink(missing_ok=True)
    return {"path": str(target)}


def system_runtime(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Make a runtime of the system's own packages, by links, and try it; no name where there are none."""
    packages = system_packages()
    name = system_name(packages)
    if name and not inside(root, f"runtimes/{name}").is_dir():
        with building(inside(root, f"runtimes/{name}")) as new:
            link_system(packages, new)
            try_out(root, f"runtimes/{name}", new)
    return {"name": name}


def try_out(root: Path, name: str, folder: Path) -> None:
    """Compute something with the runtime in `folder`; what can't run on this board is remembered as `name`."""
    tried = run_python(["-c", TRIAL], [folder], root, TRIAL_SECONDS)
    if tried.returncode == 0:
        failed_file(root, name).unlink(missing_ok=True)
        return
    reason = f"{ending(tried)}: {last_line(tried.stderr)}"
    said = f"{tried.stderr}\n{ending(tried)}"
    found = cure(said)
    if found:
        raise RefusalError(found[0], f"the runtime does not start here: {found[1]} ({reason})")
    if can_not_run(said):
        remember_failure(root, name, folder, reason)
    raise RefusalError("import", reason)


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack a wheel; a damaged one is taken away."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        wheel.unlink()
        raise RefusalError("hash", f"a wheel is damaged ({error})") from None


def run_python(
    arguments: list[str], paths: list[Path], folder: Path, deadline: float
) -> subprocess.CompletedProcess[str]:
    """This Python with nothing but `paths` to import from; killed when the deadline passes or the host goes away."""
    command = [sys.executable, "-S", "-s", "-B", "-c", START, str(len(paths)), *map(str, paths), *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONHASHSEED"] = "0"  # on the virtual board the count of instructions repeats exactly with it
    environment["ORT_DISABLE_TELEMETRY"] = "1"  # it would write into the person's home and use the network
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        preexec_fn=end_with_the_agent,
    )
    threading.Thread(target=kill_when_host_is_gone, args=(process,), daemon=True).start()
    late = threading.Event()
    timer = threading.Timer(deadline, lambda: (late.set(), process.kill()))
    timer.start()
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))  # type: ignore[union-attr]
    reader.start()
    try:
        for line in process.stdout or ():
            print(PROGRESS + line.strip(), flush=True)
        process.wait()
        reader.join()
    finally:  # also when nobody reads our output any more
        timer.cancel()
        process.kill()
    if late.is_set():
        raise RefusalError("deadline", f"the task took longer than {deadline:.0f} s and was stopped")
    return subprocess.CompletedProcess(command, process.returncode, "", "".join(errors))


def end_with_the_agent() -> None:
    """In the new process: an agent that is killed must not leave one behind that is in the way of the next."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_when_host_is_gone(process: subprocess.Popen[str]) -> None:
    """The host holds our standard input open for as long as it waits."""
    while os.read(0, 1 << 16):  # not through sys.stdin: a thread that holds its lock aborts Python when it ends
        pass
    process.kill()


def ending(process: subprocess.CompletedProcess[str]) -> str:
    """How a process ended, in words."""
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name}"
    return f"exit status {process.returncode}"


def last_line(text: str) -> str:
    """The last thing a process said: of a traceback, the error itself."""
    return (text.strip().splitlines() or ["no output"])[-1][:TAIL]


def run(root: Path, request: dict[str, Any], stream: BinaryIO) -> dict[str, Any]:
    """Run the runner in a job folder: files in, record and files out, the folder gone."""
    jobs = root / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    for left in jobs.iterdir():  # nobody else works here: these are of an agent that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=jobs) as name:
        job = Path(name)
        for file in request["files"]:
            receive(stream, inside(job, file["name"]), file)
        (job / "request.json").write_text(json.dumps(request["request"]))
        for part in ("runtime", "runner"):
            mark_used(inside(root, request[part]))
        paths = [inside(root, request[part]) for part in ("runtime", "runner")]
        done = run_python(["tonearm.runtime.runner", "request.json"], paths, job, request["deadline"])
        record = job / "record.json"
        if not record.is_file():
            died = f"the runner crashed ({ending(done)}): {last_line(done.stderr)}"
            raise RefusalError("runner", died + illegal(root, request["runtime"], done.returncode))
        produced = [file for file in request["fetch"] if inside(job, file).is_file()]
        answer(json.loads(record.read_text()), [job / file for file in produced])
    return {}


def illegal(root: Path, runtime: str, status: int) -> str:
    """What to add where a processor lacks an instruction: the runtime is not used here any more."""
    if status != -signal.SIGILL or not inside(root, runtime).is_dir():
        return ""
    remember_failure(root, runtime, inside(root, runtime), "killed by SIGILL as it ran a model")
    return "; this processor lacks an instruction that this ONNX Runtime uses: try again, an older version will be used"
