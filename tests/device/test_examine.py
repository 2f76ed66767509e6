"""What boards say when they are examined: recorded boards, and this machine over real SSH."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openssh import openssh
from systems import (
    ALL,
    BIG_LITTLE,
    BONE,
    HEALTHY,
    HEALTHY_LOGIN,
    PC,
    PI4,
    PI5,
    POCKET2,
    THROTTLED,
    facts_of,
    plant,
    said,
)
from tonearm.bench.commands.board_info import describe_board
from tonearm.device.agent.limits import loads
from tonearm.device.doctor import doctor, unchecked
from tonearm.device.errors import AgentError
from tonearm.device.facts import check_examined, examine, read_facts
from tonearm.device.kinds import kind
from tonearm.device.ssh.connection import Connection


@pytest.mark.parametrize("name", ALL)
def test_a_board_is_called_as_people_call_it(tmp_path: Path, name: str) -> None:
    assert kind(facts_of(tmp_path, ALL[name])) == name


def test_a_raspberry_pi_5_says_what_its_files_say(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, PI5)
    assert facts["cpus"] == [{"part": "Cortex-A76", "revision": "r4p1"}] * 4
    assert (facts["cpu"], facts["cores"], facts["online"]) == ("Cortex-A76", 4, "0-3")
    assert facts["features"] == ["asimd", "fphp", "asimdhp", "asimddp"]
    assert (facts["machine"], facts["kernel"], facts["preemption"]) == ("aarch64", "6.12.47+rpt-rpi-2712", "PREEMPT")
    assert (facts["hostname"], facts["os"]) == ("board", "Debian GNU/Linux 13 (trixie)")
    assert (facts["memory_kb"], facts["memory_available_kb"], facts["swaps"]) == (8257600, 7600000, [])
    assert facts["temperatures"] == [{"name": "cpu-thermal", "celsius": 48.312, "limit_celsius": 110.0}]
    assert (facts["throttled"], facts["load"], facts["uptime_seconds"]) == (0, [0.08, 0.03, 0.01], 7200.5)
    assert [card[:14] for card in facts["sound"]] == ["0 [vc4hdmi0   ", "1 [Headphones "]
    (policy,) = facts["policies"]
    assert (policy["governor"], policy["cores"], policy["maximum_khz"]) == ("ondemand", "0 1 2 3", 2_400_000)


def test_a_32_bit_arm_is_named_by_its_part_and_what_its_kernel_does_not_tell_is_left_out(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, BONE)
    assert (facts["cpu"], facts["machine"], facts["features"]) == ("Cortex-A8", "armv7l", ["neon"])
    assert facts["memory_kb"] == 509024
    assert not {"memory_available_kb", "temperatures", "throttled", "product"} & set(facts)


def test_cores_of_two_kinds_and_their_clocks_are_told_apart(tmp_path: Path) -> None:
    text = describe_board(facts_of(tmp_path, BIG_LITTLE))
    assert "4 x Cortex-A53 r0p4 + 2 x Cortex-A72 r0p2" in text
    assert "policy0       governor ondemand" in text and "policy4       governor schedutil" in text


def test_a_pc_has_no_device_tree_and_no_temperature(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, PC)
    assert (facts["model"], facts["product"], facts["governor"]) == ("", "LENOVO 20FWCTO1WW", "")
    assert facts["features"] == ["fma", "f16c", "avx", "avx2"]
    text = describe_board(facts)
    for label in ("governor", "available", "swap", "preemption", "card", "temperature", "throttling"):
        assert f"  {label:<14}not known\n" in text + "\n"


def test_an_empty_board_says_nothing_that_is_not_so(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, {})
    assert "memory_kb" not in facts
    assert kind(facts) == ""
    assert (facts["cpu"], facts["governor"], facts["model"]) == ("not known", "", "")
    live = {"uid", "rtprio", "memlock_bytes", "fifo", "libstdcpp", "clock_synchronised", "total_bytes", "writable"}
    lists = {"bela", "runtimes", "releases"}
    assert set(facts) - set(read_keys()) - live - lists <= {"clock", "clock_off_seconds"}


def read_keys() -> list[str]:
    texts = ["hostname", "model", "machine", "cpu", "kernel", "implementation", "governor", "root", "current"]
    return [*texts, "bits", "cores", "free_bytes", "libc", "libc_version", "python"]


@pytest.mark.parametrize(("text", "wanted"), [("0\n", 0), ("50005\n", 0x50005), ("0x50005\n", 0x50005), ("?\n", None)])
def test_the_kernel_tells_what_throttles(tmp_path: Path, text: str, wanted: int | None) -> None:
    assert facts_of(tmp_path, {**PI5, THROTTLED: text}).get("throttled") == wanted


def test_the_firmwares_tool_is_asked_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    files = {**PI5, "usr/bin/vcgencmd": '#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n'}
    del files[THROTTLED]
    (plant(tmp_path, files) / "usr/bin/vcgencmd").chmod(0o755)
    facts = facts_of(tmp_path, {})
    assert facts["throttled"] == 0x50005
    text = describe_board(facts)
    assert "the supply voltage is too low now; it is throttled now" in " ".join(text.split())
    assert "the supply voltage was too low since it was started" in " ".join(text.split())


@pytest.mark.parametrize(
    ("version", "realtime", "wanted"),
    [
        ("#1 SMP PREEMPT_RT Debian 6.12.1", "", "PREEMPT_RT"),
        ("#1 SMP", "1", "PREEMPT_RT"),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.12.1", "", "PREEMPT_DYNAMIC"),
        ("#1 SMP Debian 6.1.1", "", "voluntary or none"),
        ("", "", None),
    ],
)
def test_the_preemption_model_is_read(tmp_path: Path, version: str, realtime: str, wanted: str | None) -> None:
    files = {"proc/sys/kernel/version": version, "sys/kernel/realtime": realtime}
    assert facts_of(tmp_path, files).get("preemption") == wanted


def test_the_file_system_is_the_one_mounted_deepest(tmp_path: Path) -> None:
    place = str(tmp_path).replace(" ", "\\040")
    lines = [
        "24 1 179:2 / / rw - ext4 /dev/root rw",
        f"25 24 0:1 / {place} rw,noexec - tmpfs tmpfs rw",
        f"26 24 0:1 / {place}else ro - vfat x ro",
    ]
    facts = facts_of(tmp_path, {"proc/self/mountinfo": "\n".join(lines)})
    assert (facts["filesystem"], facts["noexec"], facts["read_only"]) == ("tmpfs", True, False)
    facts = facts_of(tmp_path, {"proc/self/mountinfo": lines[0].replace("ext4 /dev/root rw", "ext4 /dev/root ro")})
    assert (facts["filesystem"], facts["noexec"], facts["read_only"]) == ("ext4", False, True)


def test_runtimes_and_releases_that_are_whole_are_named(tmp_path: Path) -> None:
    home = tmp_path / "home/.tonearm"
    for runtime in ("ab", "ab.x.part"):
        plant(home / "runtimes" / runtime, {"onnxruntime/__init__.py": '"""Doc."""\n__version__ = "1.21.0"\n'})
    plant(home, {"releases/hpn/00/manifest.json": "", "releases/hpn/00.parity.json": "", "releases/hpn/1.part/a": ""})
    debian = {"usr/lib/python3/dist-packages/onnxruntime/__init__.py": '__version__ = "1.21.0"\n'}
    facts = facts_of(tmp_path, debian)
    assert facts["runtimes"] == [{"path": "runtimes/ab", "onnxruntime": "1.21.0"}]
    assert (facts["releases"], facts["system_onnxruntime"]) == (["hpn/00"], "1.21.0")


def test_a_library_that_is_not_there_does_not_load() -> None:
    assert not loads("libnobody-has-this.so.6")


@pytest.mark.parametrize("name", ALL)
def test_the_description_fits_80_columns(tmp_path: Path, name: str) -> None:
    lines = describe_board(facts_of(tmp_path, ALL[name])).splitlines()
    assert [line for line in lines if len(line) > 80 and len(line.split()) > 2] == []
    assert [line for line in lines if line and not line.startswith(" ")][::7] == ["Board", "Tonearm"]


def test_a_32_bit_python_under_a_64_bit_kernel_is_said(tmp_path: Path) -> None:
    assert "32 bits under a 64-bit kernel" in describe_board(facts_of(tmp_path, PI4, bits=32))
    assert "under a 64-bit kernel" not in describe_board(facts_of(tmp_path, POCKET2, bits=64))


@pytest.mark.parametrize(
    ("clock", "off"), [(995.0, -5.0), (1000.5, 0.0), (1000.0, 0.0), (1001.0, 0.0), (1031.0, 30.0), (0.0, -1000.0)]
)
def test_a_clock_is_off_by_what_the_answers_time_can_not_explain(tmp_path: Path, clock: float, off: float) -> None:
    facts = check_examined("pi", {**said(tmp_path, PI5), "clock": clock}, 1000.0, 1001.0)
    assert facts["clock_off_seconds"] == off


def test_this_machine_is_examined_over_the_loopback_board(loopback: Connection) -> None:
    facts, quick = examine(loopback), read_facts(loopback)
    assert {key: facts[key] for key in quick if key != "free_bytes"} == {
        key: value for key, value in quick.items() if key != "free_bytes"
    }
    assert facts["cores"] == len(facts["cpus"])
    assert facts["uid"] == os.getuid()
    assert facts["writable"] and facts["libstdcpp"]
    assert facts["clock_off_seconds"] == 0
    assert facts["total_bytes"] > facts["free_bytes"] > 0


def test_a_recorded_board_is_replayed_over_openssh(tmp_path: Path) -> None:
    system = plant(tmp_path / "pi 'four'", PI4)
    with openssh(tmp_path) as endpoint, Connection("pi", endpoint) as connection:
        facts = examine(connection, str(system))
        assert not Path(facts["root"]).exists(), "to look changes nothing"
        here = read_facts(connection)
    assert (kind(facts), facts["cpu"], facts["kernel"]) == ("Raspberry Pi 4", "Cortex-A72", "6.12.47+rpt-rpi-v8")
    assert facts["python"] == here["python"]


def test_a_board_where_nothing_can_be_made_can_be_examined(tmp_path: Path, loopback: Connection) -> None:
    (tmp_path / "loopback/home/file").write_text("")
    loopback.root = "~/file/.tonearm"
    assert examine(loopback)["root"].endswith("file/.tonearm")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
COUNT, TEXT, NUMBER = st.integers(0, 2**64 - 1), st.text(max_size=9), st.floats(-1e18, 1e18)
POLICY = {"name": TEXT, "governor": TEXT | st.just("performance")}
EXTREME: dict[str, Any] = {
    "cores": COUNT,
    "machine": st.sampled_from(["aarch64", "armv7l", "armv8l", "armv6l", "riscv64", "x86_64", "i686"]),
    "bits": st.sampled_from([32, 64]),
    "python": st.lists(COUNT | st.sampled_from([3, 9, 10]), min_size=3, max_size=3),
    "free_bytes": COUNT,
    "compatible": st.lists(TEXT | st.just("raspberrypi,x"), max_size=3),
    "cpus": st.lists(st.fixed_dictionaries({"part": TEXT | st.just("Cortex-A72"), "revision": TEXT}), min_size=1),
    "policies": st.lists(
        st.fixed_dictionaries(POLICY, optional={"now_khz": COUNT, "maximum_khz": COUNT, "cores": TEXT}), min_size=1
    ),
    "load": st.lists(NUMBER, min_size=3, max_size=3),
    "swaps": st.lists(st.fixed_dictionaries({"device": TEXT, "total_kb": COUNT, "used_kb": COUNT})),
    "temperatures": st.lists(
        st.fixed_dictionaries({"name": TEXT, "celsius": NUMBER}, optional={"limit_celsius": NUMBER}), min_size=1
    ),
    "throttled": COUNT,
    "runtimes": st.lists(st.fixed_dictionaries({"path": TEXT, "onnxruntime": TEXT | st.just("1.21.0")}), max_size=3),
    "memlock_bytes": COUNT | st.just(-1),
    "fifo": TEXT | st.sampled_from(["granted", "refused", "missing"]),
    "clock": NUMBER,
    "uptime_seconds": NUMBER,
}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return said(tmp_path_factory.mktemp("healthy"), HEALTHY, **HEALTHY_LOGIN)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_facts_however_odd_do_more_than_be_refused(healthy: dict[str, Any], data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from(sorted(healthy)), max_size=3))
    judge({**healthy, **{key: data.draw(JSON) for key in keys}})


@settings(max_examples=150, deadline=None)
@given(extreme=st.fixed_dictionaries({}, optional=EXTREME), missing=st.sets(st.sampled_from(sorted(EXTREME))))
def test_facts_at_their_bounds_are_judged_and_shown(
    healthy: dict[str, Any], extreme: dict[str, Any], missing: set[str]
) -> None:
    needed = {"cores", "machine", "bits", "python", "free_bytes"}
    rest = {key: value for key, value in healthy.items() if key not in missing - needed}
    assert judge({**rest, **extreme})


def judge(facts: dict[str, Any]) -> bool:
    """Whether they were believed; then everything we do with facts is done with them."""
    now = time.time()
    try:
        checked = check_examined("pi", json.loads(json.dumps(facts)), now, now)
    except AgentError as error:
        assert str(error).startswith("pi: it sent invalid facts")
        return False
    shown = [describe_board(checked), *unchecked(checked), *(f"{found}" for found in doctor(checked))]
    assert all(line.isprintable() for text in shown for line in text.splitlines())
    return True
