"""What the agent says of its board when it is examined: everything that helps a person, and the doctor.

What is not known is left out. Below `system` lies what describes the machine, normally `/`.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from .facts import core_name, existing, facts, kilobytes, processors, read
from .limits import limits

FEATURES = (  # of all a processor has, those that decide how fast a network runs
    *("neon", "asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
    *("fma", "f16c", "avx", "avx2", "avx512f", "avx512_vnni", "avx_vnni"),
)
TRIPS = ("passive", "hot", "critical")
COOLEST_TRIP = 40  # in degrees: firmware of PCs names limits that are none


def examine(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """All that `facts` says, and more."""
    system = Path(request.get("system", "/"))
    said = {
        **facts(root, request),
        **board(system),
        **processor(system),
        **memory(system),
        **software(system),
        **disk(root, system),
        **heat(system),
        **ours(root, system),
        **limits(),
    }
    said["clock"] = time.time()  # read last: the answer follows at once
    return {key: value for key, value in said.items() if value is not None}


def board(system: Path) -> dict[str, Any]:
    """Who made it, and what it can play on."""
    compatible = read(system / "proc/device-tree/compatible").strip("\0\n")
    dmi = [read(system / "sys/class/dmi/id" / name).strip() for name in ("sys_vendor", "product_name")]
    cards = read_or_none(system / "proc/asound/cards")
    return {
        "compatible": compatible.split("\0") if compatible else None,
        "product": " ".join(filter(None, dmi)) or None,
        # Where Bela's own scripts and its browser editor have their software.
        "bela": any(there(system / place) for place in ("root/Bela", "opt/Bela")),
        "sound": None if cards is None else [line.strip() for line in cards.splitlines() if "]: " in line],
    }


def processor(system: Path) -> dict[str, Any]:
    """Cores, what they can do, and who decides how fast they go."""
    cores = list(processors(system))
    words = (cores[0].get("Features") or cores[0].get("flags") or "").split() if cores else []
    folder = system / "sys/devices/system/cpu/cpufreq"
    online = read(system / "sys/devices/system/cpu/online").strip()
    load = read(system / "proc/loadavg").split()[:3]
    return {
        "cpus": [{"part": core_name(fields), "revision": revision(fields)} for fields in cores] or None,
        "features": [name for name in FEATURES if name in words] if words else None,
        "online": online or None,
        "policies": [policy(path) for path in sorted(folder.glob("policy*"), key=number_at_the_end)] or None,
        "load": [float(part) for part in load] if len(load) == 3 else None,
    }


def revision(fields: dict[str, str]) -> str:
    """ARM's `r4p1`: variant 4, revision 1."""
    variant, number = fields.get("CPU variant", ""), fields.get("CPU revision", "")
    return f"r{int(variant, 16)}p{number}" if re.fullmatch("0x[0-9a-f]+", variant) and number else ""


def policy(folder: Path) -> dict[str, Any]:
    """Cores that share a clock: its governor, and kHz."""
    said = {
        "name": folder.name,
        "cores": read(folder / "affected_cpus").strip() or None,
        "governor": read(folder / "scaling_governor").strip() or "not known",
        "governors": read(folder / "scaling_available_governors").split() or None,
        "now_khz": number(folder / "scaling_cur_freq"),
        "minimum_khz": number(folder / "scaling_min_freq"),
        "maximum_khz": number(folder / "scaling_max_freq"),
    }
    return {key: value for key, value in said.items() if value is not None}


def memory(system: Path) -> dict[str, Any]:
    """What is free, and where it swaps to."""
    lines = [line.split(":", 1) for line in read(system / "proc/meminfo").splitlines() if ":" in line]
    swaps = read_or_none(system / "proc/swaps")
    rows = [] if swaps is None else [line.split() for line in swaps.splitlines()[1:]]
    return {
        "memory_available_kb": kilobytes(dict(lines).get("MemAvailable")),
        "swaps": None
        if swaps is None
        else [
            {"device": row[0], "total_kb": int(row[2]), "used_kb": int(row[3])}
            for row in rows
            if len(row) >= 4 and row[2].isdigit() and row[3].isdigit()
        ],
    }


def software(system: Path) -> dict[str, Any]:
    """The operating system, and since when it runs."""
    release = dict(line.split("=", 1) for line in read(system / "etc/os-release").splitlines() if "=" in line)
    version = read(system / "proc/sys/kernel/version").strip()
    uptime = read(system / "proc/uptime").split()
    return {
        "os": release.get("PRETTY_NAME", "").strip("\"'") or None,
        "kernel_version": version or None,
        "preemption": preemption(version, read(system / "sys/kernel/realtime").strip()),
        "uptime_seconds": float(uptime[0]) if uptime else None,
    }


def preemption(version: str, realtime: str) -> str | None:
    """The kernel's preemption model, as far as it says."""
    named = [name for name in ("PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT") if name in version.split()]
    if realtime == "1":
        return "PREEMPT_RT"
    return named[0] if named else ("voluntary or none" if version else None)


def disk(root: Path, system: Path) -> dict[str, Any]:
    """The file system below our folder."""
    place = existing(root).resolve()
    stats = os.statvfs(place)
    return {
        "total_bytes": stats.f_blocks * stats.f_frsize,
        "writable": os.access(place, os.W_OK),
        **mount(place, read(system / "proc/self/mountinfo")),
    }


def mount(place: Path, mountinfo: str) -> dict[str, Any]:
    """How the file system that holds `place` is mounted: the one mounted deepest, and last."""
    found: tuple[int, dict[str, Any]] = (-1, {})
    for line in mountinfo.splitlines():
        words, _, rest = line.partition(" - ")
        fields, source = words.split(), rest.split()
        if len(fields) < 6 or len(source) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        options = set(fields[5].split(",") + source[2].split(","))
        if point in (place, *place.parents) and len(point.parts) >= found[0]:
            said = {"filesystem": source[0], "read_only": "ro" in options, "noexec": "noexec" in options}
            found = (len(point.parts), said)
    return found[1]


def heat(system: Path) -> dict[str, Any]:
    """Temperatures in degrees Celsius, and what the Raspberry Pi's firmware has to complain of."""
    return {"temperatures": zones(system) or None, "throttled": throttled(system)}


def temperatures(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The temperatures alone, at once: what is asked again and again while a board cools down."""
    return {"temperatures": zones(Path(request.get("system", "/")))}


def zones(system: Path) -> list[dict[str, Any]]:
    """All sensors that answer."""
    folders = sorted((system / "sys/class/thermal").glob("thermal_zone*"), key=number_at_the_end)
    return [found for found in map(zone, folders) if found]


def zone(folder: Path) -> dict[str, Any] | None:
    """A sensor, and the least temperature at which the kernel slows the board down or stops it."""
    now = number(folder / "temp")
    if now is None:
        return None
    trips = [
        number(path.with_name(path.name.replace("_type", "_temp")))
        for path in folder.glob("trip_point_*_type")
        if read(path).strip() in TRIPS
    ]
    limits = [trip / 1000 for trip in trips if trip is not None and trip / 1000 > COOLEST_TRIP]
    name = read(folder / "type").strip() or folder.name
    return {"name": name, "celsius": now / 1000, **({"limit_celsius": min(limits)} if limits else {})}


def throttled(system: Path) -> int | None:
    """`get_throttled`: from the kernel where it has it, else from the firmware's own tool."""
    texts = [read(path) for path in system.glob("sys/devices/platform/soc*/soc*firmware/get_throttled")]
    tools = [system / name for name in ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")]
    if not any(texts):
        texts = [ask_firmware(tool) for tool in tools if tool.is_file()]
    found = [re.fullmatch("(?:0x)?([0-9a-f]{1,8})", text.strip()) for text in texts]
    return next((int(match[1], 16) for match in found if match), None)


def ask_firmware(tool: Path) -> str:
    """What `vcgencmd get_throttled` prints after `throttled=`; nothing where this login may not ask."""
    try:
        done = subprocess.run([str(tool), "get_throttled"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("throttled=")[2]


def ours(root: Path, system: Path) -> dict[str, Any]:
    """What Tonearm has put here, and the ONNX Runtime of the distribution."""
    runtimes = {path.name: runtime_version(path) for path in whole(root / "runtimes", "*")}
    packages = [runtime_version(path) for path in system.glob("usr/lib/python3/dist-packages")]
    return {
        "runtimes": [{"path": f"runtimes/{name}", "onnxruntime": found} for name, found in runtimes.items() if found],
        "system_onnxruntime": next(filter(None, packages), None),
        "releases": [f"{path.parent.name}/{path.name}" for path in whole(root / "releases", "*/*")],
    }


def whole(folder: Path, pattern: str) -> list[Path]:
    """Folders that were finished."""
    return [path for path in sorted(folder.glob(pattern)) if path.is_dir() and path.suffix != ".part"]


def runtime_version(packages: Path) -> str:
    """Which ONNX Runtime lies there, or nothing."""
    found = re.search(r"""^__version__ = ["']([\w.+]+)["']""", read(packages / "onnxruntime" / "__init__.py"), re.M)
    return found[1] if found else ""


def number_at_the_end(path: Path) -> int:
    """Sorts policy10 after policy2."""
    return int("".join(re.findall(r"\d", path.name)) or 0)


def number(path: Path) -> int | None:
    """A file that holds one whole number."""
    text = read(path).strip()
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else None


def there(folder: Path) -> bool:
    """Whether it is a folder that we may see: /root is closed to others."""
    try:
        return folder.is_dir()
    except OSError:
        return False


def read_or_none(path: Path) -> str | None:
    """Tells an empty file from none."""
    return read(path) if path.is_file() else None
