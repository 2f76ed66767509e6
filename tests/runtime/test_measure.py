"""A measured case: every step's time and circumstances, on the audio clock or back to back, on a real stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import RUN, run
from tonearm.bench.stats.causes import blame
from tonearm.bench.stats.step_times import missed, xruns
from tonearm.bench.stats.step_times import ticks as tick_times
from tonearm.runtime import granted, telemetry
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.case import measure_case
from tonearm.runtime.clip import read_arrays
from tonearm.runtime.clock import sleep_until, ticks
from tonearm.runtime.counters import count_instructions
from tonearm.runtime.measure import COUNTERS, allocate, silent_blocks
from tonearm.runtime.stream import Stream

BLOCK = 64
PERIOD = 4_000_000  # nanoseconds: 64 samples at 16 kHz


class Interrupted(Stream):
    """A real stream that sleeps in every hundredth step, as a player does that waits for a disk."""

    seconds, steps = 0.0, 0

    def step(self) -> None:
        super().step()
        self.steps += 1
        if self.steps % 100 == 0:
            time.sleep(self.seconds)


class Sleepy(Interrupted):
    """Its sleeps are longer than two blocks."""

    seconds = 0.01


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a task runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(**changes: Any) -> dict[str, Any]:
    """A request as a sweep makes it, but short."""
    how = {"mode": "burst", "block": BLOCK, "threads": 1, "steps": 300, "warmup": 50, "floor": 100}
    return {**how, "telemetry": True, **changes}


def measured(bundle: Bundle, stream: type[Stream] = Stream, **changes: Any) -> tuple[dict[str, np.ndarray], dict]:
    """What is found, and the record."""
    request, record = ask(**changes), {"memory": {}}
    arrays = allocate(request["steps"], request["warmup"], request["floor"])
    found = measure_case(bundle, request, record, arrays, lambda: stream(bundle, request["block"], request["threads"]))
    return found, record


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("steps", "warmup", "floor"), [(20, 5, 7), (1, 1, 1), (3, 0, 2), (700, 2, 0)])
def test_every_step_is_kept(golden_bundle: Bundle, steps: int, warmup: int, floor: int) -> None:
    found, _ = measured(golden_bundle, steps=steps, warmup=warmup, floor=floor)
    sizes = {name: found[name].shape for name in found}
    assert sizes["first_ns"] == (1,)
    assert sizes["warmup_ns"] == (max(warmup, 1) - 1,)
    assert {sizes[name] for name in ("step_ns", "start_ns", *COUNTERS)} == {(steps,)}
    assert {sizes[name] for name in ("floor_before_ns", "floor_after_ns")} == {(floor,)}
    assert sizes["gc_ns"] == (0,)
    timed = [found[name] for name in ("first_ns", "warmup_ns", "step_ns", "floor_before_ns", "floor_after_ns")]
    assert all((times > 0).all() for times in timed)
    assert all((found[name] >= 0).all() for name in COUNTERS)


@pytest.mark.usefixtures("folder")
def test_steps_back_to_back_begin_when_the_one_before_has_ended(golden_bundle: Bundle) -> None:
    found, _ = measured(golden_bundle)
    assert found["start_ns"][0] == 0
    ends = found["start_ns"] + found["step_ns"]
    assert (found["start_ns"][1:] >= ends[:-1]).all()


@pytest.mark.usefixtures("folder")
def test_paced_steps_never_begin_before_their_tick_and_what_was_late_does_not_move_the_ticks(
    golden_bundle: Bundle,
) -> None:
    class Late(Interrupted):
        seconds = 0.03  # more than seven ticks

    found, _ = measured(golden_bundle, Late, mode="paced", steps=250, warmup=50)
    wanted = PERIOD * np.arange(250)
    assert (found["start_ns"] >= wanted).all()
    ends = found["start_ns"] + found["step_ns"]
    assert (found["start_ns"][1:] >= ends[:-1]).all()
    slow = np.flatnonzero(found["step_ns"] >= 30_000_000)
    assert set(slow) >= {49, 149, 249}  # the warm-up's fifty count too
    assert (found["start_ns"][50:56] > wanted[50:56] + PERIOD).all()  # made up for, one after the other
    on_time = found["start_ns"] - wanted < PERIOD
    assert on_time[70:149].any() and on_time[170:249].any()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("allowed", [1, 9, 0])
def test_a_run_ends_with_the_miss_that_is_one_too_many(golden_bundle: Bundle, allowed: int) -> None:
    class Stuck(Interrupted):
        seconds = 0.1  # and so are the next ones late, until they have caught up

    found, _ = measured(golden_bundle, Stuck, mode="paced", steps=150, stop_after_misses=allowed)
    done = found["step_ns"].size
    assert {found[name].size for name in ("start_ns", *COUNTERS)} == {done}
    late = np.flatnonzero(found["start_ns"] + found["step_ns"] > PERIOD * np.arange(1, done + 1))
    if allowed:
        assert (late.size, late[-1]) == (allowed, done - 1)
        assert done <= 50 + allowed
    else:
        assert (done, late.size >= 10) == (150, True)


@pytest.mark.usefixtures("folder")
def test_a_sleep_in_a_step_is_seen_as_a_switch_of_context(golden_bundle: Bundle) -> None:
    found, _ = measured(golden_bundle, Sleepy)
    slept = np.arange(49, 300, 100)
    assert (found["voluntary"][slept] >= 1).all()
    assert (found["step_ns"][slept] >= 10_000_000).all()
    assert np.median(found["voluntary"]) == 0


@pytest.mark.usefixtures("folder")
def test_the_state_is_that_of_a_stream_that_has_just_begun(golden_bundle: Bundle) -> None:
    streams: list[Stream] = []

    class Kept(Stream):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            streams.append(self)

    clip = 513  # frames of the golden clip
    measured(golden_bundle, Kept, steps=clip, warmup=77)
    fresh = Stream(golden_bundle, BLOCK)
    golden = read_arrays(golden_bundle.folder / golden_bundle.golden)
    for frame in range(clip):
        for name, buffer in fresh.inputs.items():
            buffer[...] = golden[name][:, frame : frame + 1]
        fresh.step()
    for name, value in fresh.states().items():
        assert np.array_equal(streams[0].states()[name], value), name


HEAVY = """
import sys
import numpy as np
from tonearm.runtime import runner, stream
class Heavy(stream.Stream):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.weights = np.ones(50 << 20, np.uint8)
stream.Stream = Heavy
sys.exit(runner.main())
"""


def test_the_memory_of_the_run_is_that_with_the_model_in_it(folder: Path, golden_bundle: Bundle) -> None:
    """In processes of their own: one that has run all these tests may have the room already."""
    request = {"task": "measure", "samples": "samples.npz", **ask(telemetry=False)}
    records = [run(folder, golden_bundle, program, **request)[1] for program in (RUN, ["-c", HEAVY])]
    plain, heavy = (record["memory"]["run"]["private_kb"] for record in records)
    assert heavy - plain > 40_000


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The /sys and /proc of a board whose processor can be slowed down."""
    root = tmp_path / "board"
    for core in range(os.cpu_count() or 1):
        policy = root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        policy.mkdir(parents=True)
        (policy / "scaling_cur_freq").write_text("1800000\n")
        (policy / "scaling_governor").write_text("ondemand\n")
    for zone, degrees in enumerate((41_500, 52_100)):
        (root / f"sys/class/thermal/thermal_zone{zone}").mkdir(parents=True)
        (root / f"sys/class/thermal/thermal_zone{zone}/temp").write_text(f"{degrees}\n")
    firmware = root / "sys/devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50000\n")
    (root / "proc/pressure").mkdir(parents=True)
    (root / "proc/pressure/cpu").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull total=9\n")
    return root


@pytest.mark.usefixtures("folder")
def test_the_board_is_watched_meanwhile(golden_bundle: Bundle, board: Path) -> None:
    class Slowed(Interrupted):
        def step(self) -> None:
            super().step()
            if self.steps == 50 + 125:  # after the warm-up
                set_frequency(board, 600_000)

    found, record = measured(golden_bundle, Slowed, mode="paced", steps=250, system=str(board))
    seen = dict(zip(telemetry.COLUMNS, found["telemetry"].T, strict=True))
    during = (seen["t_ns"] > 0) & (seen["t_ns"] < 250 * PERIOD)
    assert during.sum() >= 5
    assert (np.diff(seen["t_ns"]) > 0).all()
    assert set(seen["frequency_khz"]) == {1_800_000, 600_000}
    assert (np.diff(seen["frequency_khz"]) <= 0).all()
    assert set(seen["temperature_mc"]) == {52_100}
    assert set(seen["throttled"]) == {0x50000}
    assert set(seen["pressure_cpu_us"]) == {1234}
    assert np.isnan(seen["pressure_io_us"]).all()
    assert set(seen["core"]) <= set(range(os.cpu_count() or 1))
    assert all((np.diff(seen[name]) >= 0).all() for name in ("involuntary", "minor_faults", "major_faults"))
    assert record["granted"]["governor"] == "ondemand"


@pytest.mark.usefixtures("folder")
def test_a_sleep_in_every_hundredth_step_is_found_as_misses_and_blamed(golden_bundle: Bundle) -> None:
    found, _ = measured(golden_bundle, Sleepy, steps=1000)
    assert (found["step_ns"][49::100] > PERIOD).all()
    causes = blame(found, PERIOD).set_index("cause")
    assert causes.loc["waited", "steps"] >= 10
    assert causes.loc["waited", "excess_ns"] >= 10 * 10_000_000 * 0.99


@pytest.mark.usefixtures("folder")
def test_on_the_clock_a_sleep_is_heard(golden_bundle: Bundle) -> None:
    found, _ = measured(golden_bundle, Sleepy, mode="paced", steps=400)
    card = (found["start_ns"], found["step_ns"], tick_times(400, BLOCK, 16_000), PERIOD)
    assert missed(*card, 2)[49::100].all()
    assert xruns(*card, 2) >= 8  # a sleep is longer than two blocks: the next one is late, too
    assert xruns(*card, 20) <= xruns(*card, 3) <= xruns(*card, 2)


@pytest.mark.usefixtures("folder")
def test_a_frequency_drop_is_blamed_for_the_steps_that_it_made_longer(golden_bundle: Bundle, board: Path) -> None:
    class Slowed(Interrupted):
        """A fifth of its timed steps are longer, on a processor that says that it is slower then."""

        def step(self) -> None:
            super().step()
            if self.steps == 250:
                set_frequency(board, 600_000)
            if 250 < self.steps <= 350:
                end = time.perf_counter_ns() + 6_000_000
                while time.perf_counter_ns() < end:
                    pass
            if self.steps == 350:
                set_frequency(board, 1_800_000)
            if self.steps > 50:  # else this would be over before it has been looked at twice
                time.sleep(0.001)

    found, _ = measured(golden_bundle, Slowed, steps=500, system=str(board))
    causes = blame(found, PERIOD).set_index("cause")
    assert causes.loc["frequency drop", "steps"] > 50
    assert causes.loc["frequency drop", "lift"] > 2


def set_frequency(board: Path, khz: int) -> None:
    for path in board.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"):
        path.with_suffix(".part").write_text(f"{khz}\n")
        path.with_suffix(".part").replace(path)  # as in /sys, where it never is half a number


@pytest.mark.usefixtures("folder")
def test_nothing_is_watched_where_nothing_is_to_be(golden_bundle: Bundle) -> None:
    found, _ = measured(golden_bundle, telemetry=False)
    assert found["telemetry"].shape == (0, len(telemetry.COLUMNS))


def test_the_watcher_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib\nfrom tonearm.runtime.telemetry import watched\n"
        f"with watched('/', pathlib.Path({str(tmp_path / 'seen')!r})):\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    end = time.monotonic() + 20
    while str(tmp_path) in " ".join(commands()) and time.monotonic() < end:
        time.sleep(0.05)
    assert str(tmp_path) not in " ".join(commands())


def commands() -> Iterator[str]:
    """The command lines of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace").replace("\0", " ")
        except OSError:  # it has just ended
            continue


def test_silence_is_told_by_the_clips_own_peak() -> None:
    clip = np.concatenate([np.full(64, 0.5), np.full(64, 0.014), np.full(64, -0.016), np.zeros(32)])
    assert silent_blocks(clip, 64).tolist() == [0, 1, 0, 1]
    assert silent_blocks(clip, 128).tolist() == [0, 0]
    assert silent_blocks(np.zeros(10), 64).tolist() == [1]


@pytest.mark.parametrize(("block", "rate"), [(64, 16_000), (64, 44_100), (480, 48_000), (127, 44_100)])
def test_ticks_do_not_add_up_rounding(block: int, rate: int) -> None:
    tick = ticks(block, rate)
    assert [tick(0), tick(rate)] == [0, block * 1_000_000_000]
    assert abs(tick(12_345) - 12_345 * block * 1e9 / rate) < 1


def test_sleeping_until_a_time_ends_after_it_and_a_past_one_is_not_waited_for() -> None:
    wanted = time.perf_counter_ns() + 20_000_000
    sleep_until(wanted)
    assert time.perf_counter_ns() >= wanted
    sleep_until(wanted)
    sleep_until(0)


def test_instructions_are_counted_or_it_is_said_why_not() -> None:
    count, said = count_instructions()
    if count is None:
        assert said and said != "granted"
    else:
        first = count()
        sum(range(100_000))
        assert count() - first > 100_000


ASK = """
import json
from tonearm.runtime import granted
refused = granted.ask({threads}, {paced})
granted.lock_memory(refused)
print(json.dumps(granted.granted(refused)))
"""


def asked(threads: int, paced: bool, *before: str) -> dict[str, Any]:
    """What a fresh process gets."""
    command = [*before, sys.executable, "-c", ASK.format(threads=threads, paced=paced)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_what_is_granted_is_what_the_process_has() -> None:
    got = asked(1, True)
    assert len(got["affinity"]) == 1
    assert ("scheduling" in got["refused"]) == (got["scheduling"] != "SCHED_FIFO 80")
    assert ("memory_lock" in got["refused"]) == (not got["memory_lock"])


@pytest.mark.skipif(os.geteuid() != 0, reason="a user without rights is refused anyway")
def test_what_is_refused_is_said_and_nothing_is_changed() -> None:
    limited = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "prlimit", "--memlock=4096", "--rtprio=0")
    got = asked(2, True, *limited)
    assert got["affinity"] == sorted(os.sched_getaffinity(0))
    assert got["scheduling"] == "SCHED_OTHER"
    assert got["memory_lock"] is False
    assert set(got["refused"]) == {"scheduling", "memory_lock"}


def test_steps_back_to_back_ask_for_no_real_time_priority() -> None:
    got = asked(1, False)
    assert got["scheduling"] == "SCHED_OTHER"
    assert "throttles" in got["refused"]["scheduling"]


def test_nothing_is_asked_for_unless_told(golden_bundle: Bundle, folder: Path) -> None:
    _, record = measured(golden_bundle)
    assert record["granted"]["refused"] == {}
    assert record["granted"] | {"instructions": ""} == granted.granted({}) | {"instructions": ""}
