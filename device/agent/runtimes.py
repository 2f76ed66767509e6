"""Which runtimes the board has, which it could have, and which do not run here."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from .facts import facts, read
from .files import inside
from .protocol import RefusalError
from .releases import write_whole

LOCATE_SECONDS = 120
# Isolated, so that nothing of a person's counts; not imported, only found.
LOCATE = """
import importlib.util, json
print()
print(json.dumps([getattr(importlib.util.find_spec(name), "origin", None) for name in ("onnxruntime", "numpy")]))
"""
# What no other version would change, and what may pass: what to look for in its last words -> kind, what to do.
CURABLE = {
    "libstdc++.so.6: cannot open": ("library", "the C++ library is missing: sudo apt install libstdc++6"),
    "failed to map segment": ("noexec", "libraries can't be loaded from its file system, which is mounted noexec"),
    "killed by SIGKILL": ("memory", "it was killed, most likely for lack of memory (see dmesg)"),
    "Cannot allocate memory": ("memory", "there is not enough memory"),
    "MemoryError": ("memory", "there is not enough memory"),
    "bad_alloc": ("memory", "there is not enough memory"),
    "can't start new thread": ("memory", "it may start no more processes (ulimit -u)"),
    "Resource temporarily unavailable": ("memory", "it may start no more processes (ulimit -u)"),
    "No space left": ("space", "its disk is full"),
    "Disk quota exceeded": ("space", "its disk is full"),
    "Too many open files": ("system", "too many files are open there (ulimit -n)"),
    "Input/output error": ("system", "its disk does not give back what was written (see dmesg)"),
    "killed by SIGTERM": ("killed", "somebody ended it; try again"),
    "killed by SIGHUP": ("killed", "somebody ended it; try again"),
    "killed by SIGXCPU": ("killed", "it may not use the processor for so long (ulimit -t)"),
}
# What the processor, the C library or the kernel can't do with these wheels, and never will.
LACKING = re.compile(
    r"killed by SIGILL|its results are wrong|cannot open shared object|invalid ELF header|wrong ELF class"
    r"|version [`'](?:GLIBC|CXXABI)\w*[^\n]*not found|undefined symbol|ELF load command|cannot enable executable stack"
    r"|[Ee]xec format error|baseline optimizations"  # numpy's word for the instructions that it can't do without
)
NOTES = re.compile(r"^ERROR: ld\.so: object .*$", re.MULTILINE)  # about LD_PRELOAD, which is ignored then
JUDGED = 2  # by these words; what was kept before is judged again
VERSION = re.compile(r"version(?:__)?\s*=\s*[\"']([\w.+]+)[\"']")


def survey(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """All that a host needs to know to choose a runtime, in one answer; `machines` are those that have wheels."""
    said = facts(root, request)
    wheels_fit = said["bits"] == 64 and said["libc"][0] == "glibc" and said["machine"] in request["machines"]
    return {
        "facts": said,
        "threads": "t" if "t" in getattr(sys, "abiflags", "") else "",
        "distribution": distribution(read(Path("/etc/os-release"))),
        "noexec": noexec(root),
        "runtimes": {folder.name: wheels_in(folder) for folder in folders(root / "runtimes")},
        "failed": failures(root),
        "runners": [folder.name for folder in folders(root / "runners")],
        "system": "" if wheels_fit else system_name(system_packages()),
    }


def folders(parent: Path) -> list[Path]:
    """The whole ones in a folder."""
    return sorted(path for path in parent.glob("*") if path.is_dir() and path.suffix != ".part")


def distribution(text: str) -> list[str]:
    """ID, version and name of the system, out of /etc/os-release."""
    lines = [line.split("=", 1) for line in text.splitlines() if "=" in line]
    fields = {key.strip(): value.strip().strip("\"'") for key, value in lines}
    return [fields.get(key, "") for key in ("ID", "VERSION_ID", "PRETTY_NAME")]


def noexec(root: Path) -> str:
    """The mount point below which no library can be loaded, if our folder lies there."""
    if not os.statvfs(root).f_flag & os.ST_NOEXEC:
        return ""
    place = root.resolve()
    while not place.is_mount() and place != place.parent:
        place = place.parent
    return str(place)


def wheels_in(folder: Path) -> dict[str, list[str]]:
    """What a runtime was made of, such as numpy-2.4.6, each with the tags of its wheel."""
    found = {}
    for file in folder.glob("*.dist-info/WHEEL"):
        tags = re.findall(r"^Tag:\s*(\S+)", read(file), re.MULTILINE)
        found[file.parent.name[: -len(".dist-info")]] = tags
    return found


def failed_file(root: Path, runtime: str) -> Path:
    """Where it is kept that a runtime does not run here."""
    target = inside(root, runtime)
    return target.with_name(f"{target.name}.failed.json")


def cure(said: str) -> tuple[str, str] | None:
    """What kept a runtime from starting, where another version or another day may change it: kind, what to do."""
    return next((found for words, found in CURABLE.items() if words in said), None)


def can_not_run(said: str) -> bool:
    """Whether a runtime will never run here, by its last words: anything else may pass."""
    return LACKING.search(NOTES.sub("", said)) is not None


def remember_failure(root: Path, runtime: str, folder: Path, reason: str) -> None:
    """Keep that a runtime does not run here, so that nobody pushes it again; `folder` is what it was made of."""
    failure = {"wheels": sorted(wheels_in(folder)), "reason": reason, "here": here(root), "judged": JUDGED}
    write_whole(failed_file(root, runtime), json.dumps(failure))


def failures(root: Path) -> dict[str, dict[str, Any]]:
    """What has failed on this very board as it is now: on another processor, kernel or Python it may run."""
    found = {}
    for file in (root / "runtimes").glob("*.failed.json"):
        try:
            failure = json.loads(file.read_text())
            lasting = failure.get("judged") == JUDGED or can_not_run(failure["reason"])
            if failure["here"] == here(root) and lasting:
                name = file.name[: -len(".failed.json")]
                found[name] = {"wheels": failure["wheels"], "reason": failure["reason"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def here(root: Path) -> list[str]:
    """What decides whether a runtime runs."""
    said = facts(root, {})
    return [said["machine"], said["cpu"], said["kernel"], *said["libc"], platform.python_version()]


def system_packages() -> list[Path]:
    """The folders of the system's own ONNX Runtime and numpy; none where either is missing."""
    command = [sys.executable, "-I", "-c", LOCATE]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LOCATE_SECONDS)
    try:
        origins = json.loads(found.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return []
    return [Path(origin).parent for origin in origins] if all(origins) else []


def system_name(packages: list[Path]) -> str:
    """A runtime of the system's packages: another one after every update of them."""
    if not packages:
        return ""
    versions = [VERSION.search(read(folder / file)) for folder, file in zip(packages, ("__init__.py", "version.py"))]
    said = [f"{folder.name}-{version[1] if version else 'unknown'}" for folder, version in zip(packages, versions)]
    libraries = sorted(path for folder in packages for path in folder.glob("*/*.so*"))
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in libraries if path.is_file()]
    return f"system-{'-'.join(said)}-{hashlib.sha256(repr(stamps).encode()).hexdigest()[:8]}"


def link_system(packages: list[Path], folder: Path) -> None:
    """Make the system's packages importable from `folder`, and nothing else that lies beside them."""
    if not packages:
        raise RefusalError("system", "the system's Python has no onnxruntime")
    for package in packages:
        (folder / package.name).symlink_to(package)
