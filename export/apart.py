"""Run a function in a process of its own, which can be ended: somebody's graph may never come to an end, or crash.

While ONNX Runtime is in a call, Python is deaf to Ctrl-C, and a crash takes the whole process with it. Here the caller
only waits; at the deadline and at Ctrl-C the other process is killed.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..runtime.progress import Progress, unwatched

# For a clip of seconds: a graph that takes longer is hundreds of times too slow to be streamed.
DEADLINE_SECONDS = 600.0
# Not multiprocessing: its new process runs the caller's script once more, up to where it is called from. The kernel
# ends the process with its parent (prctl 1, PR_SET_PDEATHSIG), unless that is gone by then. What is printed goes where
# errors go, for progress has standard output.
PROGRAM = """
import ctypes, json, os, pathlib, pickle, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
folder, parent = pathlib.Path(sys.argv[1]), int(sys.argv[2])
if os.getppid() != parent:
    sys.exit()
pipe = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def progress(*what):
    pipe.write(json.dumps(what) + "\\n")
    pipe.flush()
with open(folder / "job", "rb") as job:
    sys.path[:] = pickle.load(job)
    try:
        function, arguments = pickle.load(job)
        answer = (True, function(*arguments, progress=progress))
    except SystemExit as error:
        answer = (False, RuntimeError(f"it called exit({error.code!r})"))
    except BaseException as error:
        answer = (False, error)
try:
    content = pickle.dumps(answer)
    answer[0] or pickle.loads(content)
except Exception:  # an error that holds what can't be sent
    content = pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]}")))
(folder / "answer").write_bytes(content)
"""


class ApartError(Exception):
    """The other process gave no answer: it did not end in time, or crashed. The message is how, for a sentence."""


def run_apart(function: Callable[..., Any], *arguments: Any, deadline: float, progress: Progress = unwatched) -> Any:
    """What `function(*arguments, progress=...)` gives in a process of its own.

    Args:
        function: of a module that can be imported, not of a script.
        arguments: what can be pickled, as must the result.
        deadline: seconds.
        progress: called here with what the function tells there.

    Raises:
        ApartError: it did not end before the deadline, or crashed.
        Exception: whatever the function raised.
    """
    with tempfile.TemporaryDirectory(prefix="tonearm-") as name:
        folder = Path(name)
        (folder / "job").write_bytes(pickle.dumps(sys.path) + pickle.dumps((function, arguments)))
        status = _wait(folder, time.monotonic() + deadline, progress)
        if status is None:
            raise ApartError(f"did not end within {deadline:g} s")
        if status or not (folder / "answer").is_file():
            raise ApartError(f"crashed ({_ending(status)})")
        is_good, answer = pickle.loads((folder / "answer").read_bytes())  # noqa: S301 - our own function's
    if is_good:
        return answer
    raise answer


def _wait(folder: Path, end: float, progress: Progress) -> int | None:
    """The exit status of the process; None where it had to be ended."""
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder), str(os.getpid())]
    # In a session of its own, the terminal's Ctrl-C does not reach it, and it prints nothing about that.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    )
    try:
        return process.wait(max(0.0, end - time.monotonic())) if _heard(process, end, progress) else None
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def _heard(process: subprocess.Popen[bytes], end: float, progress: Progress) -> bool:
    """Tell on what the process tells, until it ends; whether that was in time."""
    pipe, text = process.stdout.fileno(), b""  # type: ignore[union-attr]
    while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(pipe, 1 << 16)
        *lines, text = (text + piece).split(b"\n")
        for line in lines:
            progress(*json.loads(line))
        if not piece:
            return True
    return False


def _ending(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
