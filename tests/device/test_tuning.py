"""Tuning a board and putting it back: recorded boards whose settings are real files, over the loopback board."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from openssh import openssh
from systems import BIG_LITTLE, BOOT, CPUFREQ, PC, plant
from tonearm.device.doctor.tuning import Tuned, tune
from tonearm.device.errors import AgentError
from tonearm.device.loopback import serve
from tonearm.device.ssh.connection import Connection
from tonearm.device.turn import turn
from tonearm.runtime.progress import unwatched

FIRST, SECOND = (f"{CPUFREQ}/policy{number}/scaling_governor" for number in (0, 4))
NOBODY_WRITES = Path("/proc/sys/kernel/ostype")  # even root may only read it


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Two clusters: ondemand and schedutil."""
    return plant(tmp_path / "system", BIG_LITTLE)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the loopback fixture's board remembers."""
    return tmp_path / "loopback/home/.tonearm/tuned.json"


def governors(system: Path) -> list[str]:
    return [(system / name).read_text().strip() for name in (FIRST, SECOND)]


def refusals(tuned: Tuned) -> list[str]:
    return [setting.refusal for setting in tuned.settings]


def test_all_clusters_are_tuned_and_put_back(loopback: Connection, system: Path, kept: Path) -> None:
    tuned = tune(loopback, system=str(system))
    assert [(setting.before, setting.now, setting.refusal) for setting in tuned.settings] == [
        ("ondemand", "performance", ""),
        ("schedutil", "performance", ""),
    ]
    assert governors(system) == ["performance"] * 2
    assert json.loads(kept.read_text())["governors"] == {"policy0": "ondemand", "policy4": "schedutil"}
    restored = tune(loopback, restore=True, system=str(system))
    assert [(setting.before, setting.now) for setting in restored.settings] == [
        ("performance", "ondemand"),
        ("performance", "schedutil"),
    ]
    assert governors(system) == ["ondemand", "schedutil"]
    assert not kept.exists()


def test_it_is_the_same_over_openssh(tmp_path: Path, system: Path) -> None:
    with openssh(tmp_path) as endpoint, Connection("pi", endpoint) as connection:
        assert refusals(tune(connection, system=str(system))) == ["", ""]
        assert refusals(tune(connection, restore=True, system=str(system))) == ["", ""]
    assert governors(system) == ["ondemand", "schedutil"]


def test_tuned_twice_it_goes_back_to_what_was_first(loopback: Connection, system: Path) -> None:
    tune(loopback, system=str(system))
    (system / FIRST).write_text("powersave\n")  # somebody's hand in between
    tune(loopback, system=str(system))
    tune(loopback, restore=True, system=str(system))
    assert governors(system) == ["ondemand", "schedutil"]


def test_what_was_changed_since_is_left_alone(loopback: Connection, system: Path, kept: Path) -> None:
    tune(loopback, system=str(system))
    (system / FIRST).write_text("powersave\n")
    tune(loopback, restore=True, system=str(system))
    assert governors(system) == ["powersave", "schedutil"]
    assert not kept.exists()


def test_what_was_kept_of_an_earlier_boot_is_gone_with_it(loopback: Connection, system: Path, kept: Path) -> None:
    tune(loopback, system=str(system))
    plant(system, {BOOT: "0e6f3a52-1111-4222-8333-444455556666\n", FIRST: "powersave\n"})
    restored = tune(loopback, restore=True, system=str(system))
    assert (restored.settings, restored.stale) == ([], True)
    assert governors(system) == ["powersave", "performance"]
    assert not kept.exists()
    tune(loopback, system=str(system))
    assert json.loads(kept.read_text())["governors"] == {"policy0": "powersave"}


def test_a_board_that_was_never_tuned_has_nothing_to_restore(loopback: Connection, system: Path) -> None:
    assert tune(loopback, restore=True, system=str(system)) == Tuned([], False)
    assert governors(system) == ["ondemand", "schedutil"]


def test_a_board_without_governors_has_nothing_to_tune(loopback: Connection, tmp_path: Path, kept: Path) -> None:
    assert tune(loopback, system=str(plant(tmp_path / "pc", PC))) == Tuned([], False)
    assert not kept.exists()


def test_a_governor_the_kernel_does_not_offer_is_refused(loopback: Connection, system: Path, kept: Path) -> None:
    plant(system, {f"{CPUFREQ}/policy0/scaling_available_governors": "ondemand powersave\n"})
    assert refusals(tune(loopback, system=str(system))) == ["this kernel offers only ondemand powersave", ""]
    assert governors(system) == ["ondemand", "performance"]
    assert json.loads(kept.read_text())["governors"] == {"policy4": "schedutil"}


def locked(system: Path) -> None:
    """The first cluster's governor can't be written to by anybody."""
    (system / FIRST).unlink()
    (system / FIRST).symlink_to(NOBODY_WRITES)


def search(folder: Path, sudo: str = "") -> str:
    """A PATH with this Python and what a sudo of ours needs, and with that sudo."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("rm", "tee", "cat"):
        (programs / name).symlink_to(Path("/usr/bin") / name)
    (programs / "python3").symlink_to(sys.executable)
    if sudo:
        (programs / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
        (programs / "sudo").chmod(0o755)
    return str(programs)


@pytest.mark.parametrize(
    ("sudo", "said"),
    [
        ("", "sudo: No such file or directory"),
        ("echo 'sudo: a password is required' >&2; exit 1", "sudo: a password is required"),
        ("exit 0", "sudo changed nothing"),
    ],
)
def test_what_is_refused_is_said_and_not_remembered(tmp_path: Path, system: Path, sudo: str, said: str) -> None:
    locked(system)
    with serve(tmp_path / "board", search(tmp_path, sudo)) as endpoint, Connection("pi", endpoint) as connection:
        tuned = tune(connection, system=str(system))
    assert (tuned.settings[0].refusal.startswith("Permission denied; "), said in tuned.settings[0].refusal) == (1, 1)
    assert tuned.settings[0].now == tuned.settings[0].before == NOBODY_WRITES.read_text().strip()
    assert tuned.settings[1].now == "performance"
    kept = json.loads((tmp_path / "board/home/.tonearm/tuned.json").read_text())
    assert kept["governors"] == {"policy4": "schedutil"}


def test_a_sudo_without_a_password_is_used(tmp_path: Path, system: Path) -> None:
    locked(system)
    sudo = '[ "$1 $2" = "-n tee" ] && rm "$3" && exec tee "$3"'
    with serve(tmp_path / "board", search(tmp_path, sudo)) as endpoint, Connection("pi", endpoint) as connection:
        assert refusals(tune(connection, system=str(system))) == ["", ""]
    assert governors(system) == ["performance"] * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"governors": 7}',
        '{"governors": {"policy0": ["a"], "policy4": "a b"}}',
        '{"governors": {"../../../x": "evil"}}',
    ],
)
@pytest.mark.parametrize("restore", [False, True])
def test_a_damaged_memory_writes_nothing_anywhere(
    loopback: Connection, system: Path, kept: Path, text: str, restore: bool
) -> None:
    (system / BOOT).unlink()
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    before = governors(system)
    tuned = tune(loopback, restore=restore, system=str(system))
    assert refusals(tuned) == ([] if restore else ["", ""])
    assert governors(system) == (before if restore else ["performance"] * 2)


def test_nothing_is_changed_where_nothing_can_be_kept(loopback: Connection, system: Path, tmp_path: Path) -> None:
    (tmp_path / "loopback/home/file").write_text("")
    loopback.root = "~/file/.tonearm"
    with pytest.raises(AgentError, match="Not a directory"):
        tune(loopback, system=str(system))
    assert governors(system) == ["ondemand", "schedutil"]


@pytest.mark.parametrize(
    "answer",
    ["", ', "settings": 7, "stale": false', ', "settings": [{}], "stale": false', ', "settings": [[]], "stale": true'],
)
def test_an_answer_that_makes_no_sense_is_refused(tmp_path: Path, answer: str) -> None:
    line = 'TONEARM-1 {"files": []' + answer + "}"
    script = f"#!/bin/sh\nprintf '%s\\n' '{line}'\nexec /bin/cat >/dev/null\n"
    plant(tmp_path, {"bin/python3": script})
    (tmp_path / "bin/python3").chmod(0o755)
    with (
        serve(tmp_path, str(tmp_path / "bin")) as endpoint,
        Connection("pi", endpoint) as connection,
        pytest.raises(AgentError, match="it sent an invalid answer"),
    ):
        tune(connection)


def test_what_is_tuned_for_a_turn_goes_back_to_what_somebody_has_set_since(loopback: Connection, system: Path) -> None:
    tune(loopback, system=str(system))
    (system / FIRST).write_text("powersave\n")
    tune(loopback, system=str(system), temporary=True)
    assert governors(system) == ["performance"] * 2
    tune(loopback, restore=True, system=str(system), temporary=True)
    assert governors(system) == ["powersave", "performance"]


def test_a_board_that_is_tuned_to_stay_is_not_written_to_by_a_turn(
    loopback: Connection, system: Path, kept: Path
) -> None:
    tune(loopback, system=str(system))
    kept.with_name("tuned.json.part").mkdir()  # nothing can be written there, as on a full disk
    before = kept.read_bytes()
    with turn(loopback, "deploy", unwatched):
        assert governors(system) == ["performance"] * 2
    assert kept.read_bytes() == before
    kept.with_name("tuned.json.part").rmdir()
