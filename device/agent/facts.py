"""What the agent says of its board whenever it is asked: what can be had at once."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ARM = "0x41"  # CPU implementer
ARM_PARTS = {  # of util-linux, sys-utils/lscpu-arm.c
    "0xb76": "ARM1176",
    "0xc07": "Cortex-A7",
    "0xc08": "Cortex-A8",
    "0xc09": "Cortex-A9",
    "0xc0f": "Cortex-A15",
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd41": "Cortex-A78",
}


def facts(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What this board is and has; `system` may name a folder with another board's /proc, /sys and /etc."""
    system = Path(request.get("system", "/"))
    memory = dict(line.split(":", 1) for line in read(system / "proc/meminfo").splitlines() if ":" in line)
    libc, version = platform.libc_ver()
    current = root / "current"
    said = {
        "hostname": read(system / "proc/sys/kernel/hostname").strip() or platform.node(),
        "model": read(system / "proc/device-tree/model").strip("\0\n"),
        # Linux 6.1 and newer tell the kernel's own; a 32-bit process may be told `armv8l`.
        "machine": read(system / "proc/sys/kernel/arch").strip() or platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "cpu": cpu(system),
        "cores": len(list(processors(system))) or os.cpu_count(),
        "memory_kb": kilobytes(memory.get("MemTotal")),
        "kernel": read(system / "proc/sys/kernel/osrelease").strip() or platform.release(),
        "libc": [libc or musl(system), version],
        "python": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "governor": read(system / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip(),
        "free_bytes": shutil.disk_usage(existing(root)).free,
        "root": str(root),
        "current": str(current.readlink()) if current.is_symlink() else "",
    }
    return {key: value for key, value in said.items() if value is not None}


def cpu(system: Path) -> str:
    """The processor: of several kinds the last one, which is the fastest where there are two."""
    names = [core_name(fields) for fields in processors(system)]
    return names[-1] if names else "not known"


def processors(system: Path) -> Iterator[dict[str, str]]:
    """What /proc/cpuinfo says of each core."""
    for block in read(system / "proc/cpuinfo").split("\n\n"):
        pairs = [line.split(":", 1) for line in block.splitlines() if ":" in line]
        fields = {key.strip(): value.strip() for key, value in pairs}
        if "processor" in fields:
            yield fields


def core_name(fields: dict[str, str]) -> str:
    """A core by its part number, for 32-bit ARM's `model name` is the architecture; or as it calls itself."""
    part = fields.get("CPU part", "")
    known = ARM_PARTS.get(part) if fields.get("CPU implementer", ARM) == ARM else None
    return known or fields.get("model name") or f"CPU part {part or 'not known'}"


def musl(system: Path) -> str:
    """`musl` where its loader is; nothing is known of other C libraries."""
    return "musl" if any((system / "lib").glob("ld-musl-*")) else ""


def kilobytes(text: str | None) -> int | None:
    """`  509024 kB` as a number."""
    words = (text or "").split()
    return int(words[0]) if words and words[0].isdigit() else None


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))


def read(path: Path) -> str:
    """A small file's text, or nothing."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
