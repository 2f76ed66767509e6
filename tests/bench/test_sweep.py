"""A sweep on the loopback board: the grid that was asked for, under the conditions that were asked for, and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import program, tonearm
from systems import BIG_LITTLE, CPUFREQ, PC, plant
from tonearm.bench.errors import BenchError
from tonearm.bench.output.numbers import count
from tonearm.bench.results.store import load, read_cases
from tonearm.bench.sweep.cases import Case, check_answer, check_passed
from tonearm.bench.sweep.conditions import Conditions, cool_down
from tonearm.bench.sweep.plan import Plan
from tonearm.bench.sweep.run import Swept, sweep
from tonearm.bench.sweep.search import search
from tonearm.device.boards import board
from tonearm.device.doctor.tuning import tune
from tonearm.device.errors import AgentError, BoardError, UnreachableError
from tonearm.device.loopback import serve
from tonearm.device.ssh.connection import Connection
from tonearm.device.turn import turn
from tonearm.runtime.bundle import Bundle, read_bundle
from tonearm.runtime.progress import unwatched

pytestmark = pytest.mark.usefixtures("own_place")
HERE = "loopback"
GOVERNORS = [f"{CPUFREQ}/policy{number}/scaling_governor" for number in (0, 4)]
TEMPERATURE = "sys/class/thermal/thermal_zone0/temp"
SECONDS = 120  # in which anything here happens, or never does


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The /sys of a board: two clusters, ondemand and schedutil; 48.312 °C."""
    return plant(tmp_path / "system", BIG_LITTLE)


@pytest.fixture
def connection() -> Iterator[Connection]:
    """To the board of all sweeps here."""
    with board(HERE) as connection:
        yield connection


def governors(system: Path) -> list[str]:
    return [(system / name).read_text().strip() for name in GOVERNORS]


def heat(system: Path, celsius: float) -> None:
    (system / TEMPERATURE).write_text(f"{celsius * 1000:.0f}\n")


def requests(folder: str | Path = "results") -> list[dict[str, Any]]:
    return [case["record"]["request"] | {"repeat": case["repeat"]} for case in read_cases(Path(folder))]


def brief(**changes: Any) -> Plan:
    """Few steps of one block, once, back to back."""
    return Plan(**{"blocks": (64,), "modes": ("burst",), "repeats": 1, "steps": 5, **changes})


def test_a_grid_is_measured_whole_and_what_is_there_is_not_measured_again(
    golden_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = brief(blocks=(), modes=("burst", "paced"))
    assert sweep(HERE, [golden_bundle], brief(modes=("paced",)), unwatched) == Swept(1, 0)
    assert sweep(HERE, [golden_bundle], plan, unwatched) == Swept(3, 1)
    lines = [line.partition(", about")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [f"{HERE}: 1 of 3 cases", f"{HERE}: 2 of 3 cases"]
    assert sweep(HERE, [golden_bundle], brief(repeats=2), unwatched) == Swept(1, 1)
    found = {(request["block"], request["mode"], request["repeat"]) for request in requests()}
    assert found == {(64, "burst", 0), (64, "paced", 0), (256, "burst", 0), (256, "paced", 0), (64, "burst", 1)}
    assert sweep(HERE, [golden_bundle], brief(steps=6), unwatched) == Swept(1, 0)


def test_a_bundle_that_lost_a_block_is_not_measured_again(golden_bundle: Bundle, tmp_path: Path) -> None:
    assert sweep(HERE, [golden_bundle], brief(), unwatched) == Swept(1, 0)
    shutil.copytree(golden_bundle.folder, tmp_path / "less")
    manifest = json.loads((tmp_path / "less/manifest.json").read_text())
    del manifest["files"][manifest["graphs"].pop("256")]
    (tmp_path / "less/manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "less/block-256.onnx").unlink()
    less = read_bundle(tmp_path / "less")
    assert less.digest != golden_bundle.digest
    assert sweep(HERE, [less], brief(repeats=2), unwatched) == Swept(1, 1)
    assert load("results").pooled()["repeats"].tolist() == [2]


def test_threads_without_cores_are_left_out_and_the_others_measured(
    golden_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(HERE, [golden_bundle], brief(threads=(1, 1000)), unwatched) == Swept(1, 0)
    found = search(HERE, [golden_bundle], Plan(blocks=(64,), threads=(1000, 1), seconds=0.2), unwatched).found
    assert [one.threads for one in found] == [1]
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if line.endswith(": 1000 threads are left out") and " core" in line]) == 2
    with pytest.raises(BoardError, match="1000 threads would only measure waiting"):
        sweep(HERE, [golden_bundle], brief(threads=(1000,)), unwatched)


def test_a_sweep_that_is_tuned_leaves_the_board_as_it_was(golden_bundle: Bundle, system: Path) -> None:
    seen: list[list[str]] = []

    def report(text: str, done: int, total: int) -> None:
        if text.startswith("hpn-reduced"):
            seen.append(governors(system))

    assert sweep(HERE, [golden_bundle], brief(tune=True), report, system=str(system)) == Swept(1, 0)
    assert seen == [["performance"] * 2] * 2
    assert governors(system) == ["ondemand", "schedutil"]
    assert [request["tune"] for request in requests()] == [True]
    assert sweep(HERE, [golden_bundle], brief(), unwatched, system=str(system)) == Swept(1, 0)  # which is another case


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_sweep_that_is_interrupted_leaves_the_board_as_it_was(
    golden_bundle: Bundle, system: Path, error: type[BaseException]
) -> None:
    def report(text: str, done: int, total: int) -> None:
        if text.startswith("hpn-reduced"):
            assert governors(system) == ["performance"] * 2
            raise error

    with pytest.raises(error):
        sweep(HERE, [golden_bundle], brief(tune=True), report, system=str(system))
    assert governors(system) == ["ondemand", "schedutil"]


def test_what_somebody_else_has_tuned_stays_tuned(connection: Connection, system: Path) -> None:
    (system / GOVERNORS[1]).write_text("performance\n")
    tune(connection, system=str(system))
    (system / GOVERNORS[1]).write_text("schedutil\n")
    with Conditions(HERE, True, 0, str(system)).tuned(connection):
        assert governors(system) == ["performance"] * 2
    assert governors(system) == ["performance", "schedutil"]
    tune(connection, restore=True, system=str(system))
    assert governors(system) == ["ondemand", "schedutil"]


def put_back(system: Path) -> bool:
    """Whether the governors are as they were, within a while."""
    end = time.monotonic() + 60
    while governors(system) != ["ondemand", "schedutil"] and time.monotonic() < end:
        time.sleep(0.05)
    return governors(system) == ["ondemand", "schedutil"]


def test_a_board_whose_host_is_lost_puts_back_what_was(system: Path) -> None:
    conditions = Conditions(HERE, True, 0, str(system))
    with board(HERE) as connection, pytest.raises(UnreachableError), turn(connection, "sweep", unwatched):
        with conditions.tuned(connection):
            assert governors(system) == ["performance"] * 2
            connection.close()
        connection.ask("facts")
    assert put_back(system)


TUNED = """
import sys
from pathlib import Path
from tonearm.bench.sweep.conditions import Conditions
from tonearm.device.ssh.connection import Connection
from tonearm.device.ssh.endpoint import Endpoint
from tonearm.device.turn import turn
from tonearm.runtime.progress import unwatched

name, port, user, key, host_key, system = sys.argv[1:]
endpoint = Endpoint("127.0.0.1", int(port), user, Path(key), host_key)
with Connection(name, endpoint) as connection, turn(connection, "sweep", unwatched):
    with Conditions(name, True, 0, system).tuned(connection):
        print("tuned", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_killed_leaves_no_board_tuned(tmp_path: Path, system: Path, ending: signal.Signals) -> None:
    with serve(tmp_path / "pi") as to:
        given = ["pi", str(to.port), to.user, str(to.key_file), str(to.host_key), str(system)]
        process = subprocess.Popen(
            [sys.executable, "-c", TUNED, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout and process.stdout.readline() == b"tuned\n"
        assert governors(system) == ["performance"] * 2
        process.send_signal(ending)
        process.communicate(timeout=60)
        assert put_back(system)


def test_what_a_turn_that_was_killed_on_the_board_has_left_is_put_back_by_the_next_and_told(
    connection: Connection, system: Path
) -> None:
    root = Path(connection.ask("facts")[0]["root"])
    told: list[str] = []
    with contextlib.suppress(UnreachableError), turn(connection, "sweep", unwatched):
        tune(connection, system=str(system), temporary=True)
        os.kill(json.loads((root / "turn").read_text())["process"], signal.SIGKILL)
    assert governors(system) == ["performance"] * 2
    with turn(connection, "deploy", lambda text, done, total: told.append(text)):
        assert governors(system) == ["ondemand", "schedutil"]
    governors_back = "it is put back (policy0: ondemand, policy4: schedutil)"
    assert told == [f"{HERE} was still tuned for a command that was killed; {governors_back}"]


def test_what_is_tuned_to_stay_outlasts_a_turn(connection: Connection, system: Path) -> None:
    with turn(connection, "sweep", unwatched):
        tune(connection, system=str(system), temporary=True)
        tune(connection, system=str(system))
    with turn(connection, "sweep", unwatched):
        tune(connection, restore=True, system=str(system), temporary=True)
        assert governors(system) == ["performance"] * 2
    tune(connection, restore=True, system=str(system))
    assert governors(system) == ["ondemand", "schedutil"]


def test_a_case_waits_until_the_board_is_as_cool_as_at_first(golden_bundle: Bundle, system: Path) -> None:
    told: list[str] = []

    def report(text: str, done: int, total: int) -> None:
        told.append(text)
        if text.startswith("cooling down"):
            heat(system, 50.3)
        elif len([one for one in told if one.startswith("hpn-reduced")]) == 2:  # as the first is measured
            heat(system, 61.2)

    plan = brief(blocks=(64, 256), cool_down=2)
    assert sweep(HERE, [golden_bundle], plan, report, system=str(system)) == Swept(2, 0)
    assert [text for text in told if text.startswith("cooling down: 61.2 °C, down to 50.3 °C (2 of 2, about ")]
    first, second = (case["cooldown"] for case in read_cases(Path("results")))
    assert (first["celsius"], first["limit_reached"]) == (48.312, False)
    assert (second["celsius"], second["limit_reached"]) == (50.3, False)
    assert second["waited_s"] > 0


def test_a_wait_has_a_limit(connection: Connection, system: Path) -> None:
    told: list[str] = []
    found = cool_down(connection, 40, 0.1, told.append, str(system))
    assert (found["celsius"], found["limit_reached"]) == (48.312, True)
    assert told == ["cooling down: 48.3 °C, down to 40.0 °C"]


@pytest.mark.parametrize(("limit", "files"), [(0, BIG_LITTLE), (60, PC)])
def test_nothing_is_waited_for_without_a_sensor_or_where_nobody_wants_it(
    connection: Connection, tmp_path: Path, limit: float, files: dict[str, str]
) -> None:
    conditions = Conditions(HERE, False, limit, str(plant(tmp_path / "other", files)))
    assert [conditions.cool(connection, lambda text: None) for _ in range(2)] == [None, None]


def test_temperatures_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    line = 'TONEARM-1 {"files": [], "temperatures": [{"name": "cpu", "celsius": "hot"}]}'
    plant(tmp_path, {"bin/python3": f"#!/bin/sh\nprintf '%s\\n' '{line}'\nexec /bin/cat >/dev/null\n"})
    (tmp_path / "bin/python3").chmod(0o755)
    with (
        serve(tmp_path, str(tmp_path / "bin")) as endpoint,
        Connection("pi", endpoint) as connection,
        pytest.raises(AgentError, match="it sent invalid facts"),
    ):
        cool_down(connection, 40, 1, lambda text: None)


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(program("sweep", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_a_case(folder: Path) -> None:
    end = time.monotonic() + SECONDS
    while not read_cases(folder):
        assert time.monotonic() < end, "nothing is measured"
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_was_ended_at_any_moment_goes_on(golden_bundle: Bundle, how: signal.Signals) -> None:
    models = json.dumps([str(golden_bundle.folder)])
    grid = 'blocks = [64]\nmodes = ["paced"]\nsteps = 200'
    Path("plan.toml").write_text(f'models = {models}\nboards = ["{HERE}"]\n{grid}\n')
    with start("--plan", "plan.toml", "--repeats", 3) as process:
        wait_for_a_case(Path("results"))
        process.send_signal(how)
        _, told = process.communicate(timeout=SECONDS)
    before = len(read_cases(Path("results")))
    assert 1 <= before < 3
    if how == signal.SIGINT:
        assert (
            f"{before} finished cases are in results (tonearm report results): the same command again goes on" in told
        )
        assert told.splitlines()[-1].startswith("Interrupted. Finished results are kept")
        assert process.returncode == 130
    told = tonearm("sweep", "--plan", "plan.toml").stderr
    assert f"{count(3 - before, 'case')} measured, {before} already in results" in told
    assert len(Path("results/cases.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("told", "steps", "said"),
    [
        ({"model": "other\x1b"}, 5, r"model 'other\x1b', not '"),
        ({"digest": "0"}, 5, "bundle '0', not '"),
        ({"request": None}, 5, "block None, not 64"),
        ({"request": {"task": "measure", "block": 64, "threads": 4}}, 5, "threads 4, not 1"),
        ({}, 6, "6 steps, not 5"),
        ({}, 4, "4 steps, not 5"),
    ],
)
def test_an_answer_to_something_else_than_was_asked_is_refused(
    golden_bundle: Bundle, told: dict[str, Any], steps: int, said: str
) -> None:
    asked = {"task": "measure", "block": 64, "threads": 1}
    record = {"request": {"format": 2, "bundle": "there", **asked}}
    record |= {"model": golden_bundle.name, "digest": golden_bundle.digest}
    case = Case(golden_bundle, 64, 1, 5)
    check_answer(case, asked, record, 5)
    check_answer(replace(case, stop_after_misses=1), asked, record, 4)
    with pytest.raises(AgentError) as error:
        check_answer(case, asked, record | told, steps)
    assert said in str(error.value) and str(error.value).isprintable()


def test_a_search_measures_once_what_it_decides_by(golden_bundle: Bundle) -> None:
    plan = Plan(seconds=0.2)
    first, second = (search(HERE, [golden_bundle], plan, unwatched) for _ in range(2))
    assert (first.kept, second.measured, second.kept) == (0, 0, first.measured)
    assert repr(first.found) == repr(second.found)
    asked = [(request["block"], request["mode"], request["steps"]) for request in requests()]
    assert {(64, "burst", 300), (256, "burst", 125)} <= set(asked)
    assert {steps for _, mode, steps in asked if mode == "paced"} <= {50, 13}
    assert [request["stop_after_misses"] for request in requests() if request["mode"] == "paced"][:1] == [1]


def test_a_virtual_board_has_no_smallest_block(golden_bundle: Bundle) -> None:
    with pytest.raises(BenchError, match="on virtual, as its clock counts instructions"):
        search("virtual", [golden_bundle], Plan(), unwatched)


def test_a_profile_is_made_once_for_all_modes_and_repeats(golden_bundle: Bundle) -> None:
    plan = brief(modes=("burst", "paced"), repeats=2, profile=True)
    assert sweep(HERE, [golden_bundle], plan, unwatched) == Swept(4, 0)
    assert ["profile" in case for case in read_cases(Path("results"))] == [True, False, False, False]


def test_steps_that_took_longer_than_the_host_has_waited_are_not_believed(golden_bundle: Bundle) -> None:
    case = Case(golden_bundle, 64, 1, 5)
    check_passed(case, np.full(5, 1_000_000), 6_000_000)
    with pytest.raises(AgentError, match=r"its steps took 5 s, but it answered after 6 ms"):
        check_passed(case, np.full(5, 1_000_000_000), 6_000_000)
    with pytest.raises(AgentError, match="its steps took"):
        check_passed(case, np.full(100, 1 << 60), 6_000_000)
