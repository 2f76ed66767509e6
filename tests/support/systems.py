"""Parts of /proc, /sys and /etc as real boards have them, to be planted below a folder and read by the agent.

Where the texts come from: /proc/cpuinfo and `uname -a` as people published them of these boards; models and
compatible strings of Linux's device trees; clock rates of the boards' data sheets; `get_throttled` as in
raspberrypi.com/documentation/computers/os.html. States (governor, temperature, load) are of no particular board.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tonearm.device.agent.examine import examine as agent_examine
from tonearm.device.facts import check_examined

# What an agent says of a board that no test asks more of.
FACTS: dict[str, Any] = {
    "hostname": "pi",
    "model": "",
    "machine": "aarch64",
    "bits": 64,
    "cpu": "Cortex-A72",
    "cores": 4,
    "memory_kb": 4_000_000,
    "kernel": "6.1.0",
    "libc": ["glibc", "2.36"],
    "python": [3, 11, 2],
    "implementation": "cpython",
    "governor": "",
    "free_bytes": 10**9,
    "root": "/home/pi/.tonearm",
    "current": "",
}

CPUFREQ = "sys/devices/system/cpu/cpufreq"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
BOOT = "proc/sys/kernel/random/boot_id"
FIRST_ARMV8 = "fp asimd evtstrm crc32 cpuid"
ARMV82 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
ARMV7 = "half thumb fastmult vfp edsp thumbee neon vfpv3 tls vfpd32"

CARDS = """ 0 [vc4hdmi0       ]: vc4-hdmi - vc4-hdmi-0
                      vc4-hdmi-0
 1 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
"""
SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
MOUNTS = """24 1 179:2 / / rw,noatime - ext4 /dev/root rw
31 24 0:27 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw
"""


def core(number: int, features: str, variant: str, part: str, revision: int, architecture: int = 8) -> str:
    """A core's block of /proc/cpuinfo."""
    name = "model name\t: ARMv7 Processor rev 2 (v7l)\n" if architecture == 7 else ""
    return (
        f"processor\t: {number}\n{name}BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: {architecture}\nCPU variant\t: {variant}\nCPU part\t: {part}\n"
        f"CPU revision\t: {revision}\n\n"
    )


def cluster(first: int, cores: int, low: int, high: int, governor: str) -> dict[str, str]:
    """A cpufreq policy, kHz."""
    folder = f"{CPUFREQ}/policy{first}"
    return {
        f"{folder}/affected_cpus": " ".join(map(str, range(first, first + cores))),
        f"{folder}/scaling_governor": f"{governor}\n",
        f"{folder}/scaling_available_governors": "conservative ondemand userspace powersave performance schedutil \n",
        f"{folder}/scaling_cur_freq": f"{low}\n",
        f"{folder}/scaling_min_freq": f"{low}\n",
        f"{folder}/scaling_max_freq": f"{high}\n",
    }


def common(model: str, compatible: str, kernel: str, version: str, arch: str) -> dict[str, str]:
    """What all boards with a device tree have."""
    return {
        "proc/device-tree/model": f"{model}\0",
        "proc/device-tree/compatible": compatible.replace(" ", "\0") + "\0",
        "proc/sys/kernel/hostname": "board\n",
        "proc/sys/kernel/osrelease": f"{kernel}\n",
        "proc/sys/kernel/version": f"{version}\n",
        "proc/sys/kernel/arch": f"{arch}\n",
        BOOT: "5a5ff0a1-6a3e-4a0e-9d0e-0a4b0ad6f0c1\n",
        "proc/meminfo": "MemTotal:        8257600 kB\nMemFree:         7000000 kB\nMemAvailable:    7600000 kB\n",
        "proc/loadavg": "0.08 0.03 0.01 1/160 1234\n",
        "proc/uptime": "7200.50 28000.00\n",
        "proc/swaps": SWAPS,
        "proc/self/mountinfo": MOUNTS,
        "proc/asound/cards": CARDS,
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n',
    }


def pi(model: str, compatible: str, cores: str, rates: tuple[int, int], kernel: str = "rpi-v8") -> dict[str, str]:
    """A Raspberry Pi with its firmware content."""
    version = "#1 SMP PREEMPT Debian 1:6.12.47-1+rpt1 (2025-09-16)"
    return {
        **common(model, compatible, f"6.12.47+rpt-{kernel}", version, "aarch64"),
        "proc/cpuinfo": cores + f"Revision\t: d04170\nSerial\t\t: 0000000000000000\nModel\t\t: {model}\n",
        "sys/devices/system/cpu/online": "0-3\n",
        **cluster(0, 4, *rates, "ondemand"),
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/class/thermal/thermal_zone0/trip_point_0_type": "critical\n",
        "sys/class/thermal/thermal_zone0/trip_point_0_temp": "110000\n",
        THROTTLED: "0\n",
    }


def four(features: str, variant: str, part: str, revision: int) -> str:
    """Four equal cores."""
    return "".join(core(number, features, variant, part, revision) for number in range(4))


PI5 = pi(
    "Raspberry Pi 5 Model B Rev 1.0",
    "raspberrypi,5-model-b brcm,bcm2712",
    four(ARMV82, "0x4", "0xd0b", 1),
    (1_500_000, 2_400_000),
    "rpi-2712",
)
PI4 = pi(
    "Raspberry Pi 4 Model B Rev 1.1",
    "raspberrypi,4-model-b brcm,bcm2711",
    four(FIRST_ARMV8, "0x0", "0xd08", 3),
    (600_000, 1_500_000),
)
PI3 = pi(
    "Raspberry Pi 3 Model B Rev 1.2",
    "raspberrypi,3-model-b brcm,bcm2837",
    four(FIRST_ARMV8, "0x0", "0xd03", 4),
    (600_000, 1_200_000),
)
ZERO2 = pi(
    "Raspberry Pi Zero 2 W Rev 1.0",
    "raspberrypi,model-zero-2-w brcm,bcm2837",
    four(FIRST_ARMV8, "0x0", "0xd03", 4),
    (600_000, 1_000_000),
)
BONE = {  # /proc/meminfo as published: its kernel had no MemAvailable
    **common(
        "TI AM335x BeagleBone Black",
        "ti,am335x-bone-black ti,am335x-bone ti,am33xx",
        "5.10.168-ti-r72",
        "#1 PREEMPT SMP Debian",
        "armv7l",
    ),
    "proc/cpuinfo": core(0, ARMV7, "0x3", "0xc08", 2, 7) + "Hardware\t: Generic AM33XX (Flattened Device Tree)\n",
    "proc/meminfo": "MemTotal:         509024 kB\nMemFree:          324208 kB\nSwapTotal:             0 kB\n",
    "sys/devices/system/cpu/online": "0\n",
    **cluster(0, 1, 300_000, 1_000_000, "ondemand"),
    "root/Bela/README.md": "",
}
POCKET2 = {
    **common(
        "BeagleBoard.org PocketBeagle2", "beagle,am62-pocketbeagle2 ti,am625", "6.12.0", "#1 SMP PREEMPT_RT", "aarch64"
    ),
    "proc/cpuinfo": four(FIRST_ARMV8, "0x0", "0xd03", 4),
    "sys/kernel/realtime": "1\n",
    **cluster(0, 4, 200_000, 1_400_000, "performance"),
    "proc/asound/cards": "--- no soundcards ---\n",
}
PC = {  # no device tree, no temperature
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i7-6500U CPU @ 2.50GHz\n"
    "flags\t\t: fpu vme sse sse2 fma avx f16c avx2\n\n",
    "proc/sys/kernel/arch": "x86_64\n",
    "sys/class/dmi/id/sys_vendor": "LENOVO\n",
    "sys/class/dmi/id/product_name": "20FWCTO1WW\n",
}
BIG_LITTLE = {  # four small cores, two large ones, each with a clock of their own
    **PI4,
    "proc/device-tree/model": "Radxa ROCK 4C+\0",
    "proc/device-tree/compatible": "radxa,rock-4c-plus\0rockchip,rk3399\0",
    "proc/cpuinfo": four(FIRST_ARMV8, "0x0", "0xd03", 4)
    + core(4, FIRST_ARMV8, "0x0", "0xd08", 2)
    + core(5, FIRST_ARMV8, "0x0", "0xd08", 2),
    **cluster(4, 2, 408_000, 1_800_000, "schedutil"),
}
ALL = {
    "Raspberry Pi 5": PI5,
    "Raspberry Pi 4": PI4,
    "Raspberry Pi 3": PI3,
    "Raspberry Pi Zero 2 W": ZERO2,
    "BeagleBone Black with Bela": BONE,
    "PocketBeagle 2": POCKET2,
    "LENOVO 20FWCTO1WW": PC,
    "Radxa ROCK 4C+": BIG_LITTLE,
}


def plant(folder: Path, files: dict[str, str]) -> Path:
    """Write the files below the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def said(folder: Path, files: dict[str, str], **changes: Any) -> dict[str, Any]:
    """What the agent says of that board; `changes` are what no file says: how the login and its Python are."""
    system = plant(folder, files)
    return json.loads(json.dumps({**agent_examine(folder / "home/.tonearm", {"system": str(system)}), **changes}))


def facts_of(folder: Path, files: dict[str, str], **changes: Any) -> dict[str, Any]:
    """The same, as the host has checked it."""
    now = time.time()
    return check_examined("pi", said(folder, files, **changes), now, now)


HEALTHY = {**PI5, f"{CPUFREQ}/policy0/scaling_governor": "performance\n"}
HEALTHY_LOGIN: dict[str, Any] = {
    "uid": 1000,
    "rtprio": 95,
    "memlock_bytes": -1,
    "fifo": "granted",
    "libstdcpp": True,
    "clock_synchronised": True,
    "bits": 64,
    "libc": ["glibc", "2.41"],
    "python": [3, 13, 5],
    "free_bytes": 20 * 10**9,
    "total_bytes": 31 * 10**9,
    "writable": True,
}
