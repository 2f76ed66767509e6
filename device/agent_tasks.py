"""What the agent starts: Python with a runtime, in a process of its own and for a bounded time."""

from __future__ import annotations

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

from .agent_files import building, inside, mark_used, receive
from .agent_protocol import PROGRESS, RefusalError, answer

TAIL = 400  # characters of a dead process's last line that travel back


def runtime(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Unpack wheels (objects) into a runtime and try it in a process of its own: a wheel can die of its CPU."""
    target = inside(root, request["path"])
    with building(target) as new:
        for sha256 in request["wheels"]:
            unpack(inside(root, f"objects/{sha256}"), new)
        tried = run_python(["-c", "import numpy, onnxruntime"], new, root, 600)
        if tried.returncode != 0:
            raise RefusalError(
                "import", f"the runtime does not start here ({ending(tried)}): {last_line(tried.stderr)}"
            )
    for sha256 in request["wheels"]:
        inside(root, f"objects/{sha256}").unlink()
    return {"path": str(target)}


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack a wheel; a damaged one is taken away."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        wheel.unlink()
        raise RefusalError("hash", f"a wheel is damaged ({error})") from None


def run_python(arguments: list[str], path: Path, folder: Path, deadline: float) -> subprocess.CompletedProcess[str]:
    """This Python with nothing but `path` to import from; killed when the deadline passes or the host goes away."""
    command = [sys.executable, "-S", "-s", *arguments]
    # A fixed hash seed: on the virtual board the count of instructions repeats exactly with it.
    fixed = {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    fixed["ORT_DISABLE_TELEMETRY"] = "1"  # it would write into the person's home and use the network
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **fixed},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
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
        raise RefusalError("deadline", f"the task did not end within {deadline:.0f} s and was ended")
    return subprocess.CompletedProcess(command, process.returncode, "", "".join(errors))


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
    return (text.strip().splitlines() or ["it said nothing"])[-1][:TAIL]


def run(root: Path, request: dict[str, Any], stream: BinaryIO) -> dict[str, Any]:
    """Run the runner in a job folder: files in, record and files out, the folder gone."""
    jobs = root / "jobs"
    shutil.rmtree(jobs, ignore_errors=True)  # nobody else works here: this is of an agent that was killed
    jobs.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=jobs) as name:
        job = Path(name)
        for file in request["files"]:
            receive(stream, inside(job, file["name"]), file)
        (job / "request.json").write_text(json.dumps(request["request"]))
        for part in ("runtime", "runner"):
            mark_used(inside(root, request[part]))
        path = os.pathsep.join(str(inside(root, request[part])) for part in ("runtime", "runner"))
        done = run_python(["-m", "tonearm.runtime.runner", "request.json"], Path(path), job, request["deadline"])
        record = job / "record.json"
        if not record.is_file():
            raise RefusalError("runner", f"the runner died ({ending(done)}): {last_line(done.stderr)}")
        produced = [file for file in request["fetch"] if inside(job, file).is_file()]
        answer(json.loads(record.read_text()), [job / file for file in produced])
    return {}
