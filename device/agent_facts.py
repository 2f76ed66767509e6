"""What the agent says of its board."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

ARM_PARTS = {
    "0xc07": "Cortex-A7",
    "0xc08": "Cortex-A8",
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
}


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
