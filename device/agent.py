"""What runs on the board on our behalf: standard library only, Python 3.9, sent over SSH with every request.

One request, one process, one answer. Standard input holds one line of JSON and then the bytes of the files it
lists; standard output answers with a line `TONEARM-1 {...}` and then the bytes of the files that line lists.
Before the answer, lines `TONEARM-1-PROGRESS done total` may come.
Everything lives under one folder, and everything appears there whole or not at all: written as `.part`,
checked, renamed.

```
~/.tonearm/objects/<sha256>                    files as pushed
           runtimes/<hash>/                    numpy and ONNX Runtime, unpacked wheels
           runners/<hash>/tonearm/runtime/     our own runner
           releases/<name>/<digest>/           bundles (links to objects); <digest>.parity.json once proven
           current -> releases/<name>/<digest>
           jobs/                               one folder for each running task
```
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

ANSWER = "TONEARM-1 "
PROGRESS = "TONEARM-1-PROGRESS "
ARM_PARTS = {
    "0xc07": "Cortex-A7",
    "0xc08": "Cortex-A8",
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
}
DAY = 86400
TAIL = 400  # characters of a dead process's last line that travel back


class RefusalError(Exception):
    """What the board can't do, in words for a person; `kind` is for the program."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def facts(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What this board is and has."""
    meminfo = dict(line.split(":", 1) for line in read("/proc/meminfo").splitlines() if ":" in line)
    libc, version = platform.libc_ver()
    current = root / "current"
    return {
        "hostname": platform.node(),
        "model": read("/proc/device-tree/model").strip("\0\n"),
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "memory_kb": int(meminfo.get("MemTotal", "0 kB").split()[0]),
        "kernel": platform.release(),
        "libc": [libc, version],
        "python": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip(),
        "free_bytes": shutil.disk_usage(root).free,
        "root": str(root),
        "current": str(current.readlink()) if current.is_symlink() else "",
    }


def missing(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Which of `objects` (hashes) and `paths` are not here."""
    return {
        "objects": [sha for sha in request["objects"] if not (root / "objects" / sha).is_file()],
        "paths": [name for name in request["paths"] if not inside(root, name).exists()],
    }


def verify(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Whether the folder `path` holds `contents` (name -> sha256); damaged objects are taken away."""
    folder = inside(root, request["path"])
    if not folder.is_dir():
        return {"whole": False}
    hashes = {name: file_hash(inside(folder, name)) for name in request["contents"]}
    damaged = [sha256 for name, sha256 in request["contents"].items() if hashes[name] != sha256]
    for sha256 in damaged:  # a file of a release is a link to its object
        inside(root, f"objects/{sha256}").unlink(missing_ok=True)
    return {"whole": not damaged}


def file_hash(path: Path) -> str:
    """A file's sha256, or nothing when there is no file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def cpu() -> str:
    """The processor as the kernel names it: a model name, or ARM's part number."""
    lines = [line.split(":", 1) for line in read("/proc/cpuinfo").splitlines() if ":" in line]
    fields = {key.strip(): value.strip() for key, value in lines}
    part = fields.get("CPU part", "")
    return fields.get("model name") or ARM_PARTS.get(part) or f"CPU part {part or 'not known'}"


def read(path: str) -> str:
    """A small file's text, or nothing."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def inside(root: Path, name: str) -> Path:
    """The path `name` below `root`; refuses anything that leads out of it."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise RefusalError("path", f"{name!r} is not a path inside {root}")
    return root.joinpath(*parts)


def put(root: Path, request: dict[str, Any], stream: BinaryIO) -> dict[str, Any]:
    """Store the files that follow as objects, each under its hash."""
    total = sum(file["size"] for file in request["files"])
    free = shutil.disk_usage(root).free
    needed = total + request.get("headroom", 0)
    if needed > free:
        raise RefusalError("space", f"{needed / 1e6:.1f} MB are needed below {root}, {free / 1e6:.1f} MB are free")
    for file in request["files"]:
        receive(stream, inside(root, f"objects/{file['sha256']}"), file["size"], file["sha256"])
    return {"stored": len(request["files"])}


def receive(stream: BinaryIO, target: Path, size: int, sha256: str) -> None:
    """`size` bytes from `stream` into `target`, which appears only if their hash is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    digest, left = hashlib.sha256(), size
    try:
        with part.open("wb") as file:
            while left:
                chunk = stream.read(min(left, 1 << 16))
                if not chunk:
                    raise RefusalError("cut", f"the connection ended {left} bytes before the end of {target.name}")
                file.write(chunk)
                digest.update(chunk)
                left -= len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise RefusalError("hash", f"{target.name} arrived with the hash {digest.hexdigest()}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def tree(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Make a folder of objects that are here already: `path`, and `contents` as name -> sha256."""
    target = inside(root, request["path"])
    with building(target) as new:
        for name, sha256 in request["contents"].items():
            place = inside(new, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            source = inside(root, f"objects/{sha256}")
            if file_hash(source) != sha256:
                source.unlink(missing_ok=True)
                raise RefusalError("hash", f"{name} is damaged on the board; deploy again to push it anew")
            link(source, place)
    return {"path": str(target)}


def link(source: Path, place: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)


@contextlib.contextmanager
def building(target: Path) -> Any:
    """A fresh folder that becomes `target` when the block ends well, and vanishes otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_out(target.parent, "*.part")
    new = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield new
        os.sync()
        replace_folder(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """`new` as `target`, in place of a damaged one, or the old one back."""
    aside = new.with_suffix(".aside.part")
    if target.is_dir():
        target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def sweep_out(folder: Path, pattern: str) -> None:
    """Remove what a power cut left behind a day ago or earlier."""
    for path in folder.glob(pattern):
        if path.stat().st_mtime < time.time() - DAY:
            shutil.rmtree(path, ignore_errors=True)


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
    jobs.mkdir(parents=True, exist_ok=True)
    sweep_out(jobs, "*")
    with tempfile.TemporaryDirectory(dir=jobs) as name:
        job = Path(name)
        for file in request["files"]:
            receive(stream, inside(job, file["name"]), file["size"], file["sha256"])
        (job / "request.json").write_text(json.dumps(request["request"]))
        path = os.pathsep.join(str(inside(root, request[part])) for part in ("runtime", "runner"))
        done = run_python(["-m", "tonearm.runtime.runner", "request.json"], Path(path), job, request["deadline"])
        record = job / "record.json"
        if not record.is_file():
            raise RefusalError("runner", f"the runner died ({ending(done)}): {last_line(done.stderr)}")
        produced = [file for file in request["fetch"] if inside(job, file).is_file()]
        answer(json.loads(record.read_text()), [job / file for file in produced])
    return {}


def proof(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Keep the proof of parity of a release, at `path`."""
    path = inside(root, request["path"])
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(request["parity"]))
    part.replace(path)
    return {}


def switch(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Point `current` at the release, by one rename."""
    if not inside(root, request["release"]).is_dir():
        raise RefusalError("release", f"{request['release']} is not on the board")
    new = root / f"current.{os.getpid()}.part"
    new.unlink(missing_ok=True)
    new.symlink_to(request["release"])
    new.replace(root / "current")
    return {"current": request["release"]}


def take_turn(root: Path) -> None:
    """Wait until no other command works here: two at once would spoil what one of them measures.

    The lock is on the folder and goes with the process: none is left behind.
    """
    fcntl.flock(os.open(root, os.O_RDONLY), fcntl.LOCK_EX)


def answer(header: dict[str, Any], paths: list[Path]) -> None:
    """Write the answer's line and the files' bytes."""
    header = {**header, "files": [{"name": path.name, "size": path.stat().st_size} for path in paths]}
    out = sys.stdout.buffer
    out.write((ANSWER + json.dumps(header) + "\n").encode())
    for path in paths:
        with path.open("rb") as file:
            shutil.copyfileobj(file, out)
    out.flush()


def main() -> None:
    """Read one request, fulfil it, answer."""
    stream = sys.stdin.buffer
    request = json.loads(stream.readline())
    root = Path(request["root"]).expanduser()
    commands = {
        "facts": facts,
        "missing": missing,
        "verify": verify,
        "tree": tree,
        "runtime": runtime,
        "proof": proof,
        "switch": switch,
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        if request["command"] != "facts":
            take_turn(root)
        if request["command"] == "run":
            run(root, request, stream)
            return
        if request["command"] == "put":
            answer(put(root, request, stream), [])
            return
        answer(commands[request["command"]](root, request), [])
    except RefusalError as refusal:
        answer({"error": str(refusal), "kind": refusal.kind}, [])
    except OSError as error:
        kind = "space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "system"
        answer({"error": f"{error.strerror}: {error.filename or root}", "kind": kind}, [])


main()
