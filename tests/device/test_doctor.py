"""What the doctor finds on recorded boards, and that it finds nothing on a healthy one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from systems import BONE, CPUFREQ, HEALTHY, HEALTHY_LOGIN, PC, PI3, PI4, PI5, POCKET2, SWAPS, THROTTLED, facts_of
from tonearm.device.doctor import doctor, unchecked
from tonearm.device.doctor.finding import PROBLEM, REMARK, Finding
from tonearm.device.doctor.machine import throttling_words

GOVERNOR = f"{CPUFREQ}/policy0/scaling_governor"
HEAT = "sys/class/thermal/thermal_zone0/temp"
LIMIT = "sys/class/thermal/thermal_zone0/trip_point_0_temp"
DISK_SWAP = SWAPS + "/var/swap                               file\t\t524284\t\t20480\t\t-2\n"
ZRAM_SWAP = SWAPS + "/dev/zram0                              partition\t2097148\t\t20480\t\t100\n"
MOUNT = "24 1 179:2 / / {options} - ext4 /dev/root {options}\n"
ORT = "home/.tonearm/runtimes/ab/onnxruntime/__init__.py"
DEBIAN_ORT = "usr/lib/python3/dist-packages/onnxruntime/__init__.py"
DAY = 86400.0


def healthy(folder: Path, files: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """The facts of a healthy Raspberry Pi 5, but for what is changed."""
    return facts_of(folder, {**HEALTHY, **(files or {})}, **{**HEALTHY_LOGIN, **changes})


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_healthy_board_is_given_a_clean_bill(tmp_path: Path) -> None:
    facts = healthy(tmp_path)
    assert doctor(facts) == []
    assert unchecked(facts) == []


@pytest.mark.parametrize(
    ("files", "severity", "what"),
    [
        ({GOVERNOR: "ondemand\n"}, PROBLEM, "the governor of policy0 is ondemand"),
        ({GOVERNOR: "schedutil\n"}, PROBLEM, "the governor of policy0 is schedutil"),
        ({GOVERNOR: "powersave\n"}, PROBLEM, "the governor of policy0 is powersave"),
        ({GOVERNOR: ""}, PROBLEM, "the governor of policy0 is not known"),
        ({THROTTLED: "1\n"}, PROBLEM, "the supply voltage is too low"),
        ({THROTTLED: "10000\n"}, PROBLEM, "the supply voltage was too low since the board was started"),
        ({THROTTLED: "2\n"}, PROBLEM, "the clock rate is capped now"),
        ({THROTTLED: "4\n"}, PROBLEM, "it is throttled now"),
        ({THROTTLED: "80008\n"}, PROBLEM, "the soft temperature limit is active now"),
        ({THROTTLED: "40000\n"}, PROBLEM, "it was throttled since it was started"),
        ({HEAT: "78400\n"}, PROBLEM, "cpu-thermal is at 78.4 °C; the board slows down at 80 °C"),
        ({HEAT: "66000\n", LIMIT: "70000\n"}, PROBLEM, "the board slows down at 70 °C"),
        ({"proc/swaps": DISK_SWAP}, PROBLEM, "20.0 MiB are swapped to /var/swap"),
        ({"proc/swaps": ZRAM_SWAP}, REMARK, "20.0 MiB are swapped to compressed memory (/dev/zram0)"),
        ({"proc/loadavg": "1.02 0.40 0.10 2/160 99\n"}, PROBLEM, "1.02 processes wanted a core"),
        ({"proc/self/mountinfo": MOUNT.format(options="ro")}, PROBLEM, "mounted read-only"),
        ({"proc/self/mountinfo": MOUNT.format(options="rw,noexec")}, PROBLEM, "mounted noexec"),
        ({"proc/asound/cards": "--- no soundcards ---\n"}, REMARK, "there is no sound card"),
    ],
)
def test_what_spoils_a_measurement_is_found_and_nothing_else(
    tmp_path: Path, files: dict[str, str], severity: str, what: str
) -> None:
    found = only(doctor(healthy(tmp_path, files)))
    assert (found.severity, what in found.what) == (severity, True), found
    assert found.why and found.fix


@pytest.mark.parametrize(
    ("changes", "severity", "what", "fix"),
    [
        ({"libc": ["musl", ""]}, PROBLEM, "the C library is musl", "Debian"),
        ({"libc": ["", ""]}, PROBLEM, "the C library is not glibc", "Debian"),
        ({"bits": 32}, PROBLEM, "a 32-bit system under a 64-bit kernel (aarch64)", "64-bit system image"),
        ({"bits": 32, "machine": "armv7l"}, PROBLEM, "(armv7l) on a 64-bit processor", "64-bit system image"),
        ({"python": [3, 9, 2]}, REMARK, "its Python is 3.9.2", "upgrade"),
        ({"libstdcpp": False}, PROBLEM, "libstdc++.so.6", "sudo apt install libstdc++6"),
        ({"free_bytes": 150 * 10**6}, PROBLEM, "150 MB are free", "df -h"),
        ({"writable": False}, PROBLEM, "this user may not write", "chown"),
        ({"clock_synchronised": False}, REMARK, "is not set by a time server", "set-ntp"),
        ({"fifo": "refused", "rtprio": 0}, PROBLEM, "(SCHED_FIFO), the limit rtprio is 0", "rtprio 95"),
        ({"fifo": "missing", "implementation": "pypy"}, PROBLEM, "this Python (pypy) can't", "apt install python3"),
        ({"memlock_bytes": 8 * 2**20}, REMARK, "may lock 8.4 MB", "memlock unlimited"),
    ],
)
def test_what_spoils_a_deploy_is_found_and_nothing_else(
    tmp_path: Path, changes: dict[str, Any], severity: str, what: str, fix: str
) -> None:
    found = only(doctor(healthy(tmp_path, **changes)))
    assert (found.severity, what in found.what, fix in found.fix) == (severity, True, True), found


@pytest.mark.parametrize(
    ("off", "words"),
    [(-366 * DAY, "1.0 years behind"), (3 * DAY, "3.0 days ahead of"), (-61.0, "61 s behind"), (61.0, "61 s ahead of")],
)
def test_a_clock_that_is_off_is_found_with_by_how_much(tmp_path: Path, off: float, words: str) -> None:
    found = only(doctor({**healthy(tmp_path), "clock_off_seconds": off}))
    assert (found.severity, found.what) == (PROBLEM, f"its clock is {words} this machine's")


@pytest.mark.parametrize(
    "change",
    [
        {"clock_off_seconds": -59.0},
        {"uid": 0, "memlock_bytes": 0},
        {"swaps": [{"device": "/var/swap", "total_kb": 524284, "used_kb": 0}]},
        {"load": [0.99, 9.0, 9.0]},
        {"temperatures": [{"name": "cpu-thermal", "celsius": 74.9}]},
        {"runtimes": [{"path": "runtimes/ab", "onnxruntime": "1.31.1"}], "free_bytes": 21 * 10**6},
        {"throttled": 0xFFF0FFF0},  # bits that mean nothing
    ],
)
def test_what_is_near_a_bound_is_let_pass(tmp_path: Path, change: dict[str, Any]) -> None:
    assert doctor({**healthy(tmp_path), **change}) == []


def test_an_onnx_runtime_known_to_die_is_found_on_that_processor_only(tmp_path: Path) -> None:
    bad = {ORT: '__version__ = "1.21.0"\n'}
    governor = {GOVERNOR: "performance\n"}
    found = only(doctor(facts_of(tmp_path, {**PI4, **governor, **bad}, **HEALTHY_LOGIN)))
    assert found.severity == PROBLEM
    assert "runtimes/ab has ONNX Runtime 1.21.0, which does not run on a Cortex-A72" in found.what
    assert found.fix.startswith(f"rm -r {tmp_path}/home/.tonearm/runtimes/ab ")
    assert doctor(facts_of(tmp_path, {**HEALTHY, **bad}, **HEALTHY_LOGIN)) == []
    good = {ORT: '__version__ = "1.21.1"\n'}
    assert doctor(facts_of(tmp_path, {**PI4, **governor, **good}, **HEALTHY_LOGIN)) == []


def test_the_first_bela_is_told_of_debians_onnx_runtime(tmp_path: Path) -> None:
    login = {**HEALTHY_LOGIN, "bits": 32}
    quiet = {**BONE, GOVERNOR: "performance\n"}
    found = only(doctor(facts_of(tmp_path, quiet, **login)))
    assert (found.severity, found.fix) == (PROBLEM, "sudo apt install python3-onnxruntime")
    assert found.what == "a 32-bit system (armv7l)"
    found = only(doctor(facts_of(tmp_path, {**quiet, DEBIAN_ORT: '__version__ = "1.21.0"\n'}, **login)))
    assert (found.severity, found.what) == (REMARK, "a 32-bit system (armv7l) with Debian's ONNX Runtime 1.21.0")


def test_a_board_out_of_the_box_is_told_all_problems_before_remarks(tmp_path: Path) -> None:
    files = {**PI3, THROTTLED: "50005\n", "proc/swaps": DISK_SWAP}
    login = {**HEALTHY_LOGIN, "memlock_bytes": 8 * 2**20, "fifo": "refused", "rtprio": 0, "bits": 32}
    findings = doctor(facts_of(tmp_path, files, **login))
    assert [found.severity for found in findings] == [PROBLEM] * 6 + [REMARK]
    said = " / ".join(found.what for found in findings)
    for part in ("32-bit", "governor", "supply voltage is", "it is throttled now", "swapped", "SCHED_FIFO", "memlock"):
        assert part in said


def test_two_clusters_are_told_apart(tmp_path: Path) -> None:
    second = {f"{CPUFREQ}/policy4/scaling_governor": "schedutil\n"}
    assert only(doctor(healthy(tmp_path, second))).what == "the governor of policy4 is schedutil"


def test_what_a_board_does_not_say_is_never_counted_as_fine(tmp_path: Path) -> None:
    facts = facts_of(tmp_path / "pc", PC, **HEALTHY_LOGIN)
    assert doctor(facts) == []
    wanted = ["permission to load libraries", "governor", "under-voltage", "throttling", "temperature", "swap"]
    assert unchecked(facts) == [*wanted, "other processes", "sound card"]
    pocket = facts_of(tmp_path / "pocket", POCKET2, **HEALTHY_LOGIN)
    assert unchecked(pocket) == ["under-voltage", "throttling", "temperature"]


def test_a_temperature_without_a_limit_is_not_judged(tmp_path: Path) -> None:
    facts = {**healthy(tmp_path), "temperatures": [{"name": "soc", "celsius": 90.0}]}
    assert "temperature" not in unchecked(facts), "the Raspberry Pi's limit is known"
    assert unchecked({**facts, "compatible": ["radxa,rock-4c-plus"]}) == ["temperature"]


def test_the_bits_of_the_firmware_are_said_in_words() -> None:
    assert throttling_words(0) == []
    assert throttling_words(0x50005) == [
        "the supply voltage is too low now",
        "it is throttled now",
        "the supply voltage was too low since it was started",
        "it was throttled since it was started",
    ]


def test_a_raspberry_pi_5_out_of_the_box_needs_its_governor_set(tmp_path: Path) -> None:
    found = only(doctor(facts_of(tmp_path, PI5, **HEALTHY_LOGIN)))
    assert found.fix == "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
