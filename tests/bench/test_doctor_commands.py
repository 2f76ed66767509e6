"""`tonearm board info` and `tonearm board doctor` as a person uses them: over real SSH."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from pathlib import Path

import pytest
from commands import process, tonearm
from openssh import openssh
from systems import CPUFREQ, PC, PI4, THROTTLED, plant
from tonearm.device.boards import boards_file
from tonearm.device.loopback import serve
from tonearm.device.ssh.endpoint import Endpoint

GROUPS = ["Board", "Processor", "Memory", "System", "Disk", "Sound", "Heat and power", "Tonearm"]
OLD_PYTHON = "Python 3.7 is too old: 3.9 or newer is needed"


# Instead of python3 -I -S -c PROGRAM LENGTH: every request that comes is about another system.
PRELUDE = """
import json, sys
loads = json.loads
def about_another(text):
    said = loads(text)
    return {**said, "system": SYSTEM} if isinstance(said, dict) and said.get("system") == "/" else said
json.loads = about_another
source, sys.argv = sys.argv[4], sys.argv[3::2]
exec(source)
"""


def make_known(there: Endpoint) -> None:
    """The board `pi` of a person who has connected to it once."""
    known = Path("~/.ssh/known_hosts").expanduser()
    known.parent.mkdir(exist_ok=True)
    known.write_text(f"[127.0.0.1]:{there.port} {there.host_key}\n")
    boards_file().parent.mkdir(parents=True)
    entry = f'[pi]\nhost = "127.0.0.1"\nport = {there.port}\nuser = "{there.user}"\nkey = "{there.key_file}"\n'
    boards_file().write_text(entry)


def test_info_has_a_group_for_each_thing_a_person_asks() -> None:
    done = process("board", "info", "loopback")
    assert [line for line in done.stdout.splitlines() if line and not line.startswith(" ")] == GROUPS
    assert f"  kernel        {platform.release()}" in done.stdout
    assert done.stderr.splitlines()[0] == "look at loopback ..."


def test_info_for_programs_is_json_alone(tmp_path: Path) -> None:
    with openssh(tmp_path) as there:
        make_known(there)
        done = tonearm("board", "info", "pi", "--json")
    facts = json.loads(done.stdout)
    assert (facts["python"], facts["kernel"]) == (list(sys.version_info[:3]), platform.release())


def test_doctor_ends_with_1_if_and_only_if_something_will_spoil_things(tmp_path: Path) -> None:
    with openssh(tmp_path) as there:
        make_known(there)
        done = process("board", "doctor", "pi", status=None)
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, "will spoil" in last) == (1 if problems else 0, True)
    assert last.startswith("tonearm: pi: ") == bool(problems)
    fixes = [line for line in done.stdout.splitlines() if line.startswith("  fix: ")]
    assert len(fixes) >= len(problems)


def replaying(folder: Path, system: Path) -> str:
    """A PATH on which `python3` is this Python, and finds /proc, /sys and /etc below `system`."""
    script = folder / "bin" / "python3"
    script.parent.mkdir()
    prelude = folder / "prelude.py"
    prelude.write_text(PRELUDE.replace("SYSTEM", repr(str(system))))
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(prelude))} "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}:/usr/bin:/bin"


def test_a_board_is_tuned_examined_and_restored(tmp_path: Path) -> None:
    system = plant(tmp_path / "system", {**PI4, THROTTLED: "50000\n"})
    with serve(tmp_path, replaying(tmp_path, system)) as there:
        make_known(there)
        before, tuned, restored, again = (
            tonearm("board", "doctor", "pi", *option, status=status)
            for option, status in (([], 1), (["--tune"], 1), (["--restore"], 0), (["--restore"], 0))
        )
    governor = f"{system}/{CPUFREQ}/policy0/scaling_governor"
    assert before.stdout.startswith("pi: Raspberry Pi 4\nproblem: ")
    assert "problem: the governor of policy0 is ondemand" in before.stdout
    assert tuned.stdout.startswith(f"granted: {governor} is performance, was ondemand\n\npi: Raspberry Pi 4\n")
    assert "the governor of" not in tuned.stdout
    assert "problem: the supply voltage was too low since the board was started" in tuned.stdout
    assert restored.stdout == f"granted: {governor} is ondemand, was performance\n"
    assert again.stdout == "not tuned\n"


def test_what_may_not_be_tuned_is_said_with_the_command_to_type(tmp_path: Path) -> None:
    system = plant(tmp_path / "system", PI4)
    governor = system / CPUFREQ / "policy0/scaling_governor"
    governor.unlink()
    governor.symlink_to("/proc/sys/kernel/ostype")  # even root may only read it
    with serve(tmp_path, replaying(tmp_path, system)) as there:
        make_known(there)
        done = tonearm("board", "doctor", "pi", "--tune", status=1)
    assert done.stdout.startswith(f"refused: {governor} is Linux (Permission denied; ")
    assert "  fix: echo performance | sudo tee /sys/devices/system/cpu/cpufreq/" in done.stdout


def test_a_board_without_governors_is_told_so(tmp_path: Path) -> None:
    with serve(tmp_path, replaying(tmp_path, plant(tmp_path / "system", PC))) as there:
        make_known(there)
        done = tonearm("board", "doctor", "pi", "--tune", status=None)
    assert done.stdout.startswith("nothing to tune: the board reports no governor\npi: LENOVO 20FWCTO1WW\n")
    text = " ".join(done.stdout.split())
    assert "not checked: " in text and " governor, under-voltage, throttling, temperature, " in text


def test_a_python_that_is_too_old_is_a_finding_with_its_fix(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "python3"
    script.parent.mkdir()
    answer = json.dumps({"error": OLD_PYTHON, "kind": "python"})
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' 'TONEARM-1 {answer}'\nexec /bin/cat >/dev/null\n")
    script.chmod(0o755)
    with serve(tmp_path, str(script.parent)) as there:
        make_known(there)
        done = tonearm("board", "doctor", "pi", status=1)
    lines = done.stdout.splitlines()
    assert lines[0] == f"problem: pi: {OLD_PYTHON}"
    assert [line[:7] for line in lines[1:3]] == ["  why: ", "  fix: "]
    assert lines[3].startswith("not checked: everything else")
    assert done.stderr.splitlines()[-1].startswith("tonearm: pi: 1 problem will spoil")


@pytest.mark.parametrize(
    "arguments", [["info"], ["doctor"], ["doctor", "pi", "--tune", "--restore"], ["info", "pi", "--tune"]]
)
def test_wrong_usage_is_answered_with_the_usage(arguments: list[str]) -> None:
    assert tonearm("board", *arguments, status=2).stderr.startswith("usage: tonearm")


@pytest.mark.parametrize("action", ["info", "doctor"])
def test_the_help_has_an_example(action: str) -> None:
    assert f"example:\n  tonearm board {action} pi" in tonearm("board", action, "--help").stdout
