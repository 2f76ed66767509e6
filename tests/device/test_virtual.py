"""The built-in ARM64 board: a real machine of QEMU's, deployed to, played on, measured, stopped, started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from commands import program, tonearm
from tonearm.bench.bundles import export_model
from tonearm.bench.compare.comparison import read_entries
from tonearm.bench.compare.costs import block_costs
from tonearm.bench.compare.gate import SAME, gate
from tonearm.bench.deploy import Deployed, deploy
from tonearm.bench.render import render_on
from tonearm.bench.results.store import load, read_cases
from tonearm.bench.sweep.plan import Plan
from tonearm.bench.sweep.run import Swept, sweep
from tonearm.bench.terms import INSTRUCTIONS
from tonearm.device.boards import board
from tonearm.device.facts import examine, read_facts
from tonearm.device.ssh.client import open_client
from tonearm.device.virtual import qemu
from tonearm.device.virtual.process import processes, send
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.clip import check_signals
from tonearm.runtime.progress import unwatched

pytestmark = [pytest.mark.virtual, pytest.mark.slow]

NAME = f"virtual-test-{os.getpid()}"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the machine's disk is; the machine is off when the tests here are over."""
    folder = tmp_path_factory.mktemp("state")
    yield folder
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_STATE_HOME", str(folder))
        qemu.down(NAME)
        assert qemu.endpoint(NAME) is None
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def same_machine(own_folders: None, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test sees the same machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(state))


@pytest.fixture
def deployed(golden_bundle: Bundle) -> Deployed:
    """The golden bundle, current on the board."""
    return deploy(NAME, golden_bundle, unwatched)


def test_the_board_is_a_cortex_a72() -> None:
    with board(NAME) as connection:
        facts = read_facts(connection)
    assert (facts["machine"], facts["bits"], facts["cores"]) == ("aarch64", 64, 1)
    assert facts["cpu"] == "Cortex-A72"  # part 0xd08
    assert (facts["hostname"], facts["libc_version"], facts["python"][:2]) == ("board", "2.36", [3, 11])


def test_the_student_streams_there_as_trained_and_is_pushed_once(golden_bundle: Bundle) -> None:
    first, second = (deploy(NAME, golden_bundle, unwatched) for _ in range(2))
    assert first.parity is None or max(entry["error"] for entry in first.parity) < 1e-4
    assert (second.path, second.pushed, second.parity) == (first.path, 0, None)
    with board(NAME) as connection:
        assert connection.ask("facts")[0]["current"] == first.path


def test_the_golden_clip_sounds_there_as_the_original(golden: dict[str, np.ndarray], golden_bundle: Bundle) -> None:
    frames = 150
    given = {signal.name: golden[signal.name][:frames] for signal in golden_bundle.inputs}
    outputs = render_on(NAME, golden_bundle, check_signals(golden_bundle, given), unwatched)
    sure = frames * golden_bundle.hop - golden_bundle.latency  # the last samples lean on frames that were cut off
    wanted = golden["out.synth_audio"][:sure, 0]
    assert np.max(np.abs(outputs["audio"][:sure] - wanted)) < 1e-4 * np.max(np.abs(wanted))


def test_a_case_measured_twice_costs_the_same_instructions(golden_bundle: Bundle, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        assert sweep(NAME, [golden_bundle], Plan(blocks=(64,), output=folder), unwatched) == Swept(1, 0)
    (first,), (second,) = (load(folder).pooled().to_dict("records") for folder in folders)
    assert first["p50"] == pytest.approx(second["p50"], rel=1e-3)
    assert first["clock"] == INSTRUCTIONS
    assert first["mips"] > 0 and np.isnan(first["rtf"])
    assert first["denormals_flushed"]


def test_a_teacher_and_a_student_compared_twice_are_the_same_to_a_thousandth(
    golden_bundle: Bundle, tmp_path: Path
) -> None:
    student, _ = export_model("wavetable-reduced", tmp_path / "student", [64], unwatched)
    ratios = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        sweep(NAME, [golden_bundle, student], Plan(blocks=(64,), output=folder), unwatched)
        entries = read_entries(["hpn-reduced", "wavetable-reduced"], lambda line: None)
        ratios.append(block_costs(entries, load(folder))["p50_ratio"].iloc[1])
    assert ratios[1] / ratios[0] == pytest.approx(1, abs=1e-3)
    assert abs(ratios[0] - 1) > 0.01  # else one model was measured twice
    changes = gate(load(tmp_path / "first"), load(tmp_path / "second")).changes
    assert [change.measure for change in changes if change.verdict != SAME] == []


def test_releases_survive_a_stop_and_a_start(golden_bundle: Bundle, deployed: Deployed) -> None:
    assert qemu.down(NAME)
    assert qemu.endpoint(NAME) is None
    assert not qemu.down(NAME)
    with board(NAME) as connection:
        assert connection.ask("facts")[0]["current"] == deployed.path
    again = deploy(NAME, golden_bundle, unwatched)
    assert (again.pushed, again.parity) == (0, None)


def test_a_sweep_goes_on_after_the_machine_was_killed(golden_bundle: Bundle, state: Path, tmp_path: Path) -> None:
    pid = state / "tonearm" / "boards" / NAME / "pid"
    results = tmp_path / "results"

    def kill_once_a_case_is_finished() -> None:
        while len(read_cases(results)) == 0:
            time.sleep(0.1)
        os.kill(int(pid.read_text()), signal.SIGKILL)

    with board(NAME), ThreadPoolExecutor(1) as other:
        killed = other.submit(kill_once_a_case_is_finished)
        assert sweep(NAME, [golden_bundle], Plan(output=results), unwatched) == Swept(2, 0)
        killed.result()
    assert len(read_cases(results)) == 2
    (small, large) = load(results).pooled().to_dict("records")
    assert 0 < small["p50"] < large["p50"]


def test_two_who_start_it_at_once_both_have_it(state: Path) -> None:
    qemu.down(NAME)
    commands = [subprocess.Popen(program("board", "up", NAME), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [command.communicate(timeout=300)[1] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], told
    assert len(processes(state / "tonearm" / "boards" / NAME)) == 1


def test_a_number_of_another_process_is_never_signalled_and_a_machine_is_found_without_one(state: Path) -> None:
    with board(NAME), subprocess.Popen(["sleep", "1000"]) as stranger:
        (state / "tonearm" / "boards" / NAME / "pid").write_text(str(stranger.pid))
        assert qemu.endpoint(NAME)
        assert qemu.down(NAME)
        assert stranger.poll() is None
        stranger.kill()
    assert not processes(state / "tonearm" / "boards" / NAME)


def test_a_machine_whose_folder_was_removed_is_no_orphan(state: Path) -> None:
    folder = state / "tonearm" / "boards" / NAME
    with board(NAME):
        shutil.rmtree(folder)
    assert "is down" in tonearm("board", "down", NAME).stdout
    assert not processes(folder)


def test_damaged_files_of_a_machine_that_runs_are_told_and_mended(state: Path) -> None:
    folder = state / "tonearm" / "boards" / NAME
    with board(NAME):
        pass
    for name in ("pid", "endpoint.json"):
        (folder / name).write_bytes(b"\xff{]")
    told = tonearm("board", "up", NAME).stderr
    assert f"{NAME} is stopped and started again: where it answers is not known any more" in told
    assert qemu.endpoint(NAME)


def test_a_disk_that_no_machine_starts_from_is_told_and_made_anew(state: Path) -> None:
    folder = state / "tonearm" / "boards" / NAME
    with board(NAME):
        pass
    qemu.down(NAME)
    zeros = ["qemu-io", "-f", "qcow2", "-c", "write -z 0 16M", str(folder / "disk.qcow2")]
    subprocess.run(zeros, check=True, capture_output=True)
    told = tonearm("board", "up", NAME).stderr
    assert f"the disk of {NAME} is made anew (it does not start from it): deploy again what was on it" in told


def test_an_interrupted_start_leaves_no_machine(state: Path) -> None:
    folder = state / "tonearm" / "boards" / NAME
    qemu.down(NAME)
    with subprocess.Popen(program("board", "up", NAME), stderr=subprocess.PIPE, text=True) as command:
        while not processes(folder):
            assert command.poll() is None
            time.sleep(0.02)
        command.send_signal(signal.SIGTERM)
        told = command.communicate(timeout=60)[1]
    assert command.returncode == 128 + signal.SIGTERM, told
    assert told.splitlines()[-1].startswith("Ended by SIGTERM. Finished results are kept")
    assert not processes(folder)


def test_a_machine_that_is_killed_in_the_middle_of_a_deploy_is_told_and_deploys_again(
    golden_bundle: Bundle, state: Path
) -> None:
    with board(NAME) as connection:
        connection.ask("prune", keep=0, needed=[])
    arguments = ("deploy", golden_bundle.folder, "--board", NAME)
    with subprocess.Popen(program(*arguments), stderr=subprocess.PIPE, text=True) as command:
        time.sleep(1)
        send(state / "tonearm" / "boards" / NAME, signal.SIGKILL)
        told = command.communicate(timeout=300)[1]
    if command.returncode:  # it may have had to be started first, or was done already
        assert f"tonearm: {NAME}: " in told.splitlines()[-1]
    assert "is current on" in tonearm(*arguments).stdout


def set_clock(moment: str) -> None:
    """By GNU date's words, as root of the board."""
    endpoint = qemu.endpoint(NAME)
    assert endpoint
    with open_client(NAME, endpoint) as client:
        _, said, _ = client.exec_command(f"date --set='{moment}'", timeout=60)
        assert said.channel.recv_exit_status() == 0


def test_a_clock_that_is_a_year_off_is_no_obstacle(golden_bundle: Bundle, deployed: Deployed) -> None:
    with board(NAME) as connection:
        set_clock("+1 year")
        try:
            assert examine(connection)["clock_off_seconds"] > 364 * 86400
            connection.ask("prune", keep=0, needed=[])
            assert deploy(NAME, golden_bundle, unwatched).path == deployed.path
            assert connection.ask("facts")[0]["current"] == deployed.path
        finally:
            set_clock(f"@{time.time():.0f}")
