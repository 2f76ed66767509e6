"""The doctor's rules about the machine: its clock rate, power, heat, memory, and who else uses it.

Each takes checked facts that hold what the rule needs (see `doctor`), and gives a finding or nothing.
"""

from __future__ import annotations

from typing import Any

from ..kinds import is_raspberry
from .finding import PROBLEM, REMARK, Finding

# raspberrypi.com/documentation/computers/os.html#get_throttled
UNDER_VOLTAGE = 0
SLOWED = {1: "the clock rate is capped", 2: "it is throttled", 3: "the soft temperature limit is active"}
SINCE_BOOT = 16  # the same bits, this much higher, say that it has been so since the board was started

RASPBERRY_LIMIT = 80.0  # degrees: from here on its firmware slows the cores down, says the same documentation
MARGIN = 5.0  # degrees that a measurement adds with ease
BUSY = 0.25  # processes a core: of four cores, one is never free

EVERY_POLICY = "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"


def governor(facts: dict[str, Any]) -> Finding | None:
    """Anything but `performance` changes the clock rate while we measure."""
    others = {policy["governor"] for policy in facts["policies"]} - {"performance"}
    if not others:
        return None
    names = [policy["name"] for policy in facts["policies"] if policy["governor"] in others]
    return Finding(
        PROBLEM,
        f"the governor of {', '.join(names)} is {' and '.join(sorted(others))}",
        "the clock rate follows the load: steps on the audio clock run slower than steps back to back, and repeated "
        "measurements differ",
        f"echo performance | sudo tee {EVERY_POLICY}",
    )


def throttling_words(bits: int) -> list[str]:
    """What `get_throttled` says, in words."""
    named = {UNDER_VOLTAGE: "the supply voltage is too low", **SLOWED}
    now = [f"{text} now" for bit, text in named.items() if bits >> bit & 1]
    past = {bit: text.replace(" is ", " was ") for bit, text in named.items()}
    return now + [f"{text} since it was started" for bit, text in past.items() if bits >> bit + SINCE_BOOT & 1]


def under_voltage(facts: dict[str, Any]) -> Finding | None:
    """A Raspberry Pi's supply was below 4.63 V, now or since it was started."""
    now, past = (facts["throttled"] >> bit & 1 for bit in (UNDER_VOLTAGE, UNDER_VOLTAGE + SINCE_BOOT))
    if not (now or past):
        return None
    return Finding(
        PROBLEM,
        f"the supply voltage {'is' if now else 'was'} too low" + ("" if now else " since the board was started"),
        "at low voltage the firmware lowers the clock rate, and a write to the card may fail",
        "use the board's own power supply and a short, thick cable, then: sudo reboot   # clears the record",
    )


def throttling(facts: dict[str, Any]) -> Finding | None:
    """A Raspberry Pi's firmware slowed it down, now or since it was started."""
    said = [text for text in throttling_words(facts["throttled"]) if not text.startswith("the supply voltage")]
    if not said:
        return None
    return Finding(
        PROBLEM,
        "; ".join(said),
        "steps take longer, by an amount that changes during a measurement",
        "put a heat sink or a fan on it, fix a low supply voltage, then: sudo reboot   # clears the record",
    )


def knows_limit(facts: dict[str, Any]) -> bool:
    """Whether there is a temperature, and one at which the board slows down."""
    return any(_limit(zone, facts) is not None for zone in facts.get("temperatures", []))


def heat(facts: dict[str, Any]) -> Finding | None:
    """Near the temperature at which the board slows itself down."""
    for zone in facts["temperatures"]:
        limit = _limit(zone, facts)
        if limit is not None and zone["celsius"] >= limit - MARGIN:
            return Finding(
                PROBLEM,
                f"{zone['name']} is at {zone['celsius']:.1f} °C; the board slows down at {limit:.0f} °C",
                "a measurement heats it further, and the later steps run at a lower clock rate",
                "let it cool down: put a heat sink or a fan on it, stop what keeps it busy (top)",
            )
    return None


def _limit(zone: dict[str, Any], facts: dict[str, Any]) -> float | None:
    limits = [zone["limit_celsius"]] if "limit_celsius" in zone else []
    return min([*limits, RASPBERRY_LIMIT] if is_raspberry(facts) else limits, default=None)


def swap(facts: dict[str, Any]) -> Finding | None:
    """Memory on a card; in compressed memory (zram) it costs less."""
    used = [area for area in facts["swaps"] if area["used_kb"]]
    disks = [area for area in used if not area["device"].startswith("/dev/zram")]
    mebibytes = sum(area["used_kb"] for area in disks or used) / 1024
    if not used:
        return None
    where = ", ".join(area["device"] for area in disks or used)
    if not disks:
        why = "memory is short: a step that needs a swapped page has to decompress it first"
        return Finding(
            REMARK,
            f"{mebibytes:.1f} MiB are swapped to compressed memory ({where})",
            why,
            "free -h   # and stop the programs that use most",
        )
    return Finding(
        PROBLEM,
        f"{mebibytes:.1f} MiB are swapped to {where}",
        "a step that needs a swapped page waits milliseconds for the disk, and memory figures leave out swapped memory",
        "sudo swapoff -a   # until the next start; end other programs first if memory is short (free -h)",
    )


def load(facts: dict[str, Any]) -> Finding | None:
    """Other processes want the cores."""
    per_core = facts["load"][0] / max(facts["cores"], 1)
    if per_core < BUSY:
        return None
    return Finding(
        PROBLEM,
        f"{facts['load'][0]:.2f} processes wanted a core in the last minute (cores: {facts['cores']}; to measure, less "
        f"than {BUSY * max(facts['cores'], 1):g} should)",
        "they compete with the measurement for the cores, and heat the board",
        "top   # stop programs you don't need; after a start or a deploy, wait a minute",
    )


def sound(facts: dict[str, Any]) -> Finding | None:
    """Nothing to play on: of no matter to a measurement."""
    if facts["sound"]:
        return None
    return Finding(
        REMARK, "there is no sound card", "models can be measured on this board, but not heard", "connect one"
    )
