"""A board's facts for people: groups of lines, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ...device.doctor.machine import throttling_words
from ...device.kinds import kernel_bits, kind

WIDTH = 80
LABEL = 14
NOT_KNOWN = "not known"
RECENT = 5  # releases shown; the rest is counted

Facts = dict[str, Any]
Lines = Iterator[tuple[str, str]]


def describe_board(facts: Facts) -> str:
    """The facts of `tonearm.device.facts.examine`; what the board does not know is said to be not known."""
    groups = {
        "Board": _board,
        "Processor": _processor,
        "Memory": _memory,
        "System": _system,
        "Disk": _disk,
        "Sound": _sound,
        "Heat and power": _heat,
        "Tonearm": _tonearm,
    }
    parts = [[title, *(line for pair in lines(facts) for line in _lines(*pair))] for title, lines in groups.items()]
    return "\n\n".join("\n".join(part) for part in parts)


def _lines(label: str, text: str) -> list[str]:
    """`label  text`, wrapped; a word that is too long stays whole, so that a path can be copied."""
    first = f"  {label:<{LABEL}}"
    wrapped = textwrap.wrap(
        text or NOT_KNOWN,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or [first.rstrip()]


def _board(facts: Facts) -> Lines:
    yield "hostname", facts["hostname"]
    yield "kind", kind(facts)
    if facts["model"]:
        yield "model", facts["model"]


def _processor(facts: Facts) -> Lines:
    parts = Counter(f"{core['part']} {core['revision']}".strip() for core in facts.get("cpus", []))
    yield "cores", " + ".join(f"{count} x {part}" for part, count in parts.items()) or f"{facts['cores']}"
    yield "online", facts.get("online", "")
    yield "features", " ".join(facts.get("features", []))
    for policy in facts.get("policies", []):
        rates = [policy.get(key) for key in ("minimum_khz", "now_khz", "maximum_khz")]
        low, now, high = (NOT_KNOWN if rate is None else f"{rate / 1000:.0f}" for rate in rates)
        yield policy["name"], f"governor {policy['governor']}, {now} MHz now, {low} to {high} MHz"
    if "policies" not in facts:
        yield "governor", facts["governor"]
    yield "load", ", ".join(f"{load:.2f}" for load in facts.get("load", []))


def _memory(facts: Facts) -> Lines:
    yield "total", _megabytes(facts.get("memory_kb"))
    yield "available", _megabytes(facts.get("memory_available_kb"))
    if "swaps" not in facts:
        yield "swap", NOT_KNOWN
    for area in facts.get("swaps", []):
        yield "swap", f"{area['device']}: {_megabytes(area['used_kb'])} used of {_megabytes(area['total_kb'])}"
    if facts.get("swaps") == []:
        yield "swap", "none"


def _system(facts: Facts) -> Lines:
    yield "name", facts.get("os", "")
    yield "kernel", f"{facts['kernel']}, {facts['machine']}"
    yield "preemption", facts.get("preemption", "")
    yield "C library", f"{facts['libc'] or NOT_KNOWN} {facts['libc_version']}"
    version = ".".join(map(str, facts["python"]))
    mixed = " under a 64-bit kernel" if kernel_bits(facts) != facts["bits"] else ""
    yield "Python", f"{version}, {facts['implementation']}, {facts['bits']} bits{mixed}"
    yield "libstdc++", _choice(facts, "libstdcpp", "there", "missing")
    yield "real time", f"SCHED_FIFO {facts.get('fifo', NOT_KNOWN)}, {_limits(facts)}"
    yield "clock", f"{_clock(facts)}, {_choice(facts, 'clock_synchronised', 'synchronised', 'not synchronised')}"
    yield "up for", f"{facts['uptime_seconds'] / 3600:.1f} h" if "uptime_seconds" in facts else ""


def _limits(facts: Facts) -> str:
    lock = facts.get("memlock_bytes")
    amount = NOT_KNOWN if lock is None else "unlimited" if lock == -1 else f"{lock / 1e6:.1f} MB"
    return f"rtprio {facts.get('rtprio', NOT_KNOWN)}, memlock {amount}"


def _clock(facts: Facts) -> str:
    off = facts.get("clock_off_seconds")
    if off is None:
        return NOT_KNOWN
    return (
        f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
        if abs(off) >= 1
        else "same as this machine's"
    )


def _disk(facts: Facts) -> Lines:
    total = f" of {facts['total_bytes'] / 1e9:.1f} GB" if "total_bytes" in facts else ""
    yield "free", f"{facts['free_bytes'] / 1e9:.1f} GB{total}, {facts.get('filesystem', 'file system not known')}"
    words = {"read_only": "mounted read-only", "noexec": "mounted noexec"}
    said = [text for key, text in words.items() if facts.get(key)]
    yield "where", ", ".join([facts["root"], *said])


def _sound(facts: Facts) -> Lines:
    cards = facts.get("sound")
    for card in [NOT_KNOWN] if cards is None else cards or ["none"]:
        yield "card", card


def _heat(facts: Facts) -> Lines:
    for zone in facts.get("temperatures", []):
        limit = f", limit {zone['limit_celsius']:.0f} °C" if "limit_celsius" in zone else ""
        yield "temperature", f"{zone['celsius']:.1f} °C ({zone['name']}{limit})"
    if "temperatures" not in facts:
        yield "temperature", NOT_KNOWN
    said = facts.get("throttled")
    yield "throttling", NOT_KNOWN if said is None else "; ".join(throttling_words(said)) or "none since it was started"


def _tonearm(facts: Facts) -> Lines:
    yield "current", facts["current"] or "none"
    releases = facts.get("releases", [])
    for release in releases[:RECENT]:
        yield "release", release
    if len(releases) > RECENT:
        yield "", f"and {len(releases) - RECENT} more"
    for runtime in facts.get("runtimes", []):
        yield "runtime", f"ONNX Runtime {runtime['onnxruntime']} ({runtime['path']})"
    if "system_onnxruntime" in facts:
        yield "runtime", f"ONNX Runtime {facts['system_onnxruntime']} (the distribution's)"


def _megabytes(kilobytes: int | None) -> str:
    return NOT_KNOWN if kilobytes is None else f"{kilobytes / 1024:.0f} MiB"


def _choice(facts: Facts, key: str, yes: str, no: str) -> str:
    return NOT_KNOWN if key not in facts else yes if facts[key] else no
