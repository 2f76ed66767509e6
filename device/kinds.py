"""Boards as people call them, from what the device tree says."""

from __future__ import annotations

import re
from typing import Any

# The device trees of Linux: arch/arm64/boot/dts/{broadcom,ti}, arch/arm/boot/dts/{broadcom,ti/omap}.
_KINDS = {
    "raspberrypi,5-model-b": "Raspberry Pi 5",
    "raspberrypi,4-model-b": "Raspberry Pi 4",
    "raspberrypi,3-model-a-plus": "Raspberry Pi 3",
    "raspberrypi,3-model-b": "Raspberry Pi 3",
    "raspberrypi,3-model-b-plus": "Raspberry Pi 3",
    "raspberrypi,model-zero-2-w": "Raspberry Pi Zero 2 W",
    "ti,am335x-bone-black": "BeagleBone Black",
    "beagle,am335x-bone-black": "BeagleBone Black",
    "beagle,am62-pocketbeagle2": "PocketBeagle 2",
}
KERNELS_OF_64_BITS = ("aarch64", "x86_64", "riscv64", "armv8l")  # armv8l: what a 64-bit kernel tells 32-bit programs
CORE_OF_64_BITS = re.compile(r"Cortex-A[357]\d|Neoverse-")  # of those that have names in agent_facts


def kind(facts: dict[str, Any]) -> str:
    """What a board is, or nothing: as people call it, else in the device tree's words, else in a PC's firmware's."""
    names = [_KINDS[name] for name in facts.get("compatible", []) if name in _KINDS]
    found = names[0] if names else facts["model"] or facts.get("product", "")
    return f"{found} with Bela" if found and facts.get("bela") else found


def is_raspberry(facts: dict[str, Any]) -> bool:
    """Whether it has the Raspberry Pi's firmware."""
    return any(name.startswith("raspberrypi,") for name in facts.get("compatible", []))


def is_arm(facts: dict[str, Any]) -> bool:
    """Whether the machine is ARM of any width."""
    return facts["machine"].startswith(("arm", "aarch64"))


def kernel_bits(facts: dict[str, Any]) -> int:
    """64 or 32, of the kernel."""
    return 64 if facts["machine"] in KERNELS_OF_64_BITS else facts["bits"]


def could_have_64_bits(facts: dict[str, Any]) -> bool:
    """Whether the processor can run a 64-bit system."""
    return kernel_bits(facts) == 64 or any(CORE_OF_64_BITS.match(core["part"]) for core in facts.get("cpus", []))
