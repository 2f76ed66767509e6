"""What a board is given to run: wheels that run there, the system's own where none fits, and our runner."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import onnx
import onnxruntime
import pytest
from systems import FACTS
from tiny import DIES, DIES_AT_WORK, NONSENSE, RAISES, WORKS, tiny_pins
from tonearm.device.agent.runtimes import distribution
from tonearm.device.agent.tasks import MODEL
from tonearm.device.errors import AgentError, DeviceError, NoSpaceError, NoWheelError
from tonearm.device.loopback import serve
from tonearm.device.releases import Release, install, prove, run_task, switch
from tonearm.device.runtimes.provision import Site, prepare, push_tree, runner_files, runner_name
from tonearm.device.runtimes.survey import Survey, advice, check_survey, platform_of
from tonearm.device.runtimes.wheelhouse import Wheelhouse
from tonearm.device.runtimes.wheels import Pin
from tonearm.device.ssh.connection import Connection
from tonearm.runtime.bundle import Bundle

LIBRARY = 'raise ImportError("libstdc++.so.6: cannot open shared object file: No such file or directory")'
ENDED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
FULL = 'raise OSError(28, "No space left on device")'
SAID: dict[str, Any] = {
    "facts": FACTS,
    "threads": "",
    "distribution": ["debian", "12", "Debian GNU/Linux 12 (bookworm)"],
    "noexec": "",
    "runtimes": {},
    "failed": {},
    "runners": [],
    "system": "",
}


def survey_with(**facts: Any) -> Survey:
    return check_survey("pi", {**SAID, "facts": {**SAID["facts"], **facts}})


class Counting(Connection):
    """A connection that counts the requests, perhaps to a board whose /proc is another's."""

    asked = 0
    system = "/"

    def __enter__(self) -> Counting:
        return self

    def ask(self, command: str, *arguments: Any, **named: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
        self.asked += 1
        if command == "survey":
            named["system"] = self.system
        return super().ask(command, *arguments, **named)


class Bench:
    """A loopback board, wheels to try on it, and what was told."""

    def __init__(self, connection: Counting, folder: Path, root: Path) -> None:
        self.connection, self.folder, self.root = connection, folder, root
        self.told: list[str] = []

    def prepare(self, pins: list[Pin], wheels: str = "wheels") -> Site:
        house = Wheelhouse(self.folder / wheels, ["--no-index"])
        self.told.clear()
        return prepare(self.connection, lambda text, done, total: self.told.append(text), pins, house)

    def try_all(self, *sources: str, wheels: str = "wheels") -> Site:
        return self.prepare(tiny_pins(self.folder / wheels, *sources), wheels)

    def versions(self, site: Site) -> list[str]:
        return sorted(path.name for path in (self.root / site.runtime).glob("*.dist-info"))


@contextlib.contextmanager
def bench_at(folder: Path, path: str | None = None) -> Iterator[Bench]:
    with serve(folder / "board", path) as endpoint, Counting("pi", endpoint) as connection:
        yield Bench(connection, folder, folder / "board" / "home" / ".tonearm")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_at(tmp_path) as bench:
        yield bench


def test_a_version_that_runs_is_installed_and_older_ones_are_not_asked_for(bench: Bench) -> None:
    site = bench.try_all(WORKS, DIES)
    assert bench.versions(site) == ["numpy-1.0.dist-info", "onnxruntime-2.0.dist-info"]


def test_versions_that_do_not_run_there_are_told_and_followed_by_the_next_older_one(bench: Bench) -> None:
    site = bench.try_all(NONSENSE, DIES_AT_WORK, RAISES, WORKS)
    assert bench.versions(site) == ["numpy-1.0.dist-info", "onnxruntime-1.0.dist-info"]
    assert [text for text in bench.told if "trying the next version" in text] == [
        "onnxruntime 4.0 with numpy 1.0: exit status 1: its results are wrong; trying the next version",
        "onnxruntime 3.0 with numpy 1.0: killed by SIGILL: no output; trying the next version",
        "onnxruntime 2.0 with numpy 1.0: exit status 1: ImportError: /lib/libm.so.6: "
        "version `GLIBC_2.99' not found; trying the next version",
    ]


def test_what_was_found_out_is_kept_on_the_board_and_a_second_time_is_one_request(bench: Bench) -> None:
    first = bench.try_all(DIES, RAISES, WORKS)
    sent, asked = bench.connection.bytes_sent, bench.connection.asked
    pins = tiny_pins(bench.folder / "wheels", DIES, RAISES, WORKS)
    for wheels in ("wheels", "another host, which has no wheels at all"):
        site = bench.prepare(pins, wheels)
        assert (site.runtime, site.runner) == (first.runtime, first.runner)
    assert (bench.connection.bytes_sent - sent, bench.connection.asked - asked) == (0, 2)


def test_where_no_version_runs_all_are_named_and_none_is_pushed_again(tmp_path: Path) -> None:
    words = [r"onnxruntime 2\.0 with numpy 1\.0: killed by SIGILL", r"onnxruntime 1\.0 .*: exit status 1: ImportError"]
    with bench_at(tmp_path, system_python(tmp_path, {})) as bench:
        with pytest.raises(AgentError, match=".*; ".join(words)) as refused:
            bench.try_all(DIES, RAISES)
        assert refused.value.kind == "import"
        assert str(refused.value).count("pi:") == 1
        sent = bench.connection.bytes_sent
        with pytest.raises(AgentError, match=r"; .*remove ~/\.tonearm/runtimes/\*\.failed\.json"):
            bench.try_all(DIES, RAISES)
        assert bench.connection.bytes_sent == sent
        assert [path.name for path in (bench.root / "runtimes").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("broken", [False, True])
def test_a_failure_counts_only_on_the_board_as_it_was_then(bench: Bench, broken: bool) -> None:
    assert "onnxruntime-1.0.dist-info" in bench.versions(bench.try_all(DIES, WORKS))
    (kept,) = (bench.root / "runtimes").glob("*.failed.json")
    failure = json.loads(kept.read_text())
    kept.write_text("{" if broken else json.dumps({**failure, "here": [*failure["here"][:-1], "another Python"]}))
    sent = bench.connection.bytes_sent
    bench.try_all(DIES, WORKS)
    assert bench.connection.bytes_sent > sent
    assert any("killed by SIGILL" in text for text in bench.told)
    assert json.loads(kept.read_text()) == failure


@pytest.mark.parametrize(
    ("source", "kind", "said", "error"),
    [
        (LIBRARY, "library", r"sudo apt install libstdc\+\+6", AgentError),
        (ENDED, "memory", "killed, most likely for lack of memory", AgentError),
        (FULL, "space", "its disk is full.* free some space", NoSpaceError),
    ],
    ids=["libstdc++", "killed", "full disk"],
)
def test_what_no_other_version_would_change_is_said_at_once_and_not_held_against_the_wheel(
    bench: Bench, source: str, kind: str, said: str, error: type[AgentError]
) -> None:
    with pytest.raises(error, match=said) as refused:
        bench.try_all(source, WORKS)
    assert refused.value.kind == kind
    assert not [text for text in bench.told if "trying the next" in text]
    assert list((bench.root / "runtimes").iterdir()) == []
    cured = bench.try_all(WORKS, DIES, wheels="others")
    assert bench.versions(cured) == [
        "numpy-1.0.dist-info",
        "onnxruntime-2.0.dist-info",
    ]


UNRULY = {
    "PYTHONHOME": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "PYTHONSTARTUP": "/nowhere",
    "PYTHONWARNINGS": "error",
    "PYTHONPLATLIBDIR": "nowhere",
    "PYTHONIOENCODING": "no-such-encoding",
    "PYTHONMALLOC": "nonsense",
    "PYTHONINSPECT": "1",
    "PYTHONTRACEMALLOC": "nonsense",
}


def test_variables_of_python_in_the_login_shell_are_no_fault_of_a_runtime(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    setting = "".join(f"export {name}={value}\n" for name, value in UNRULY.items())
    python.write_text(f'#!/bin/sh\n{setting}exec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    with bench_at(tmp_path, f"{python.parent}:/usr/bin:/bin") as bench:
        assert "onnxruntime-1.0.dist-info" in bench.versions(bench.try_all(WORKS))


@pytest.mark.parametrize("home", ["a:b", "with space", "quo'te\"s", "caf\u00e9 \u97f3", "$HOME `x` \\ ;&"])
def test_a_home_by_any_name_has_its_runtime_and_runs_it(tmp_path: Path, home: str, golden_bundle: Bundle) -> None:
    with bench_at(tmp_path / home, system_python(tmp_path, REAL)) as bench:
        bench.connection.system = another_machine(tmp_path)
        site = bench.prepare([], "none")
        parity = prove(bench.connection, site, golden_bundle, install(bench.connection, golden_bundle), frames=8)
    assert parity and all(entry["error"] < 1e-4 for entry in parity)


@pytest.mark.parametrize(
    "source",
    [
        'raise OSError(5, "Input/output error")',
        'raise OSError(24, "Too many open files")',
        'raise RuntimeError("the weather")',
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "raise SystemExit(1)",
    ],
)
def test_a_fault_that_may_pass_is_not_held_against_a_runtime(bench: Bench, source: str) -> None:
    with contextlib.suppress(DeviceError):  # or an older one runs
        bench.try_all(source, WORKS)
    assert not list((bench.root / "runtimes").glob("*.failed.json"))


@pytest.mark.parametrize(
    "words",
    [
        "libfoo.so.1: cannot open shared object file: No such file or directory",
        "/x/y.so: invalid ELF header",
        "/x/y.so: wrong ELF class: ELFCLASS64",
        "/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /x/y.so)",
        "/x/y.so: undefined symbol: PyUnicode_AsUTF8",
        "NumPy was built with baseline optimizations:\n(X86_V2) but your machine doesn't support:\n(X86_V2).",
    ],
)
def test_what_the_processor_or_the_c_library_lacks_is_remembered(bench: Bench, words: str) -> None:
    bench.try_all(f"raise ImportError({words!r})", WORKS)
    assert len(list((bench.root / "runtimes").glob("*.failed.json"))) == 1


def test_what_was_held_against_a_runtime_by_mistake_is_forgotten(bench: Bench) -> None:
    bench.try_all(DIES, WORKS)
    (kept,) = (bench.root / "runtimes").glob("*.failed.json")
    failure = json.loads(kept.read_text())
    old = {key: value for key, value in failure.items() if key != "judged"}
    kept.write_text(json.dumps({**old, "reason": "exit status 1: ModuleNotFoundError: No module named 'encodings'"}))
    bench.try_all(DIES, WORKS)
    assert "SIGILL" in json.loads(kept.read_text())["reason"]
    assert any("trying the next version" in text for text in bench.told)
    kept.write_text(json.dumps(old))
    sent = bench.connection.bytes_sent
    bench.try_all(DIES, WORKS)
    assert bench.connection.bytes_sent == sent


def test_a_runtime_that_dies_of_an_instruction_in_a_model_is_not_taken_again(bench: Bench) -> None:
    site = bench.try_all(WORKS, WORKS.replace('"1"', '"0.9"'))
    runner = {"tonearm/runtime/runner.py": DIES.encode()}
    push_tree(bench.connection, "runners/own", runner, lambda text, done, total: None)
    broken = Site(site.facts, site.runtime, "runners/own")
    with pytest.raises(AgentError, match=r"killed by SIGILL.*lacks an instruction.*try again, an older version"):
        run_task(bench.connection, broken, Release("releases/x", 0), {})
    pins = tiny_pins(bench.folder / "wheels", WORKS, WORKS.replace('"1"', '"0.9"'))
    assert bench.versions(bench.prepare(pins))[1] == "onnxruntime-1.0.dist-info"


def test_the_trial_computes_what_models_are_made_of() -> None:
    model = onnx.load_model_from_string(base64.b64decode(MODEL))
    onnx.checker.check_model(model)
    assert {"GRU", "MatMul", "Tanh"} <= {node.op_type for node in model.graph.node}
    assert (model.opset_import[0].version, model.ir_version) <= (18, 9)


@contextlib.contextmanager
def no_exec(folder: Path) -> Iterator[Bench]:
    """A board whose home lies on a file system that nothing can be run from."""
    (folder / "board").mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "noexec", "none", str(folder / "board")]
    subprocess.run(command, check=True, capture_output=True)
    try:
        with bench_at(folder) as bench:
            yield bench
    finally:
        subprocess.run(["umount", "--lazy", folder / "board"], check=True, capture_output=True)


def can_mount() -> bool:
    failures = contextlib.suppress(OSError, subprocess.CalledProcessError)
    with tempfile.TemporaryDirectory() as folder, failures, no_exec(Path(folder)):
        return True
    return False


@pytest.mark.skipif(not can_mount(), reason="only root can mount a file system to try this on")
def test_a_board_whose_home_is_mounted_noexec_is_told_the_mount_before_anything_is_pushed(tmp_path: Path) -> None:
    with no_exec(tmp_path) as bench:
        with pytest.raises(AgentError) as refused:
            bench.try_all(WORKS)
        assert f"sudo mount -o remount,exec {tmp_path}/board there" in str(refused.value)
        assert bench.connection.bytes_sent == 0


def another_machine(folder: Path) -> str:
    """The /proc of a machine that no wheel exists for."""
    arch = folder / "another" / "proc" / "sys" / "kernel" / "arch"
    arch.parent.mkdir(parents=True)
    arch.write_text("armv7l\n")
    return str(folder / "another")


def system_python(folder: Path, packages: dict[str, Path]) -> str:
    """A PATH whose python3 has these packages of its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "system"], check=True)
    version = "{}.{}".format(*sys.version_info)
    for name, place in packages.items():
        (folder / "system" / "lib" / f"python{version}" / "site-packages" / name).symlink_to(place)
    (folder / "bin").mkdir()
    python = folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(str(folder / "system/bin/python3"))} "$@"\n')
    python.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


REAL = {module.__name__: Path(module.__path__[0]) for module in (onnxruntime, numpy, onnx)}


def test_where_no_wheel_exists_the_systems_own_runtime_plays_a_bundle(tmp_path: Path, golden_bundle: Bundle) -> None:
    with bench_at(tmp_path, system_python(tmp_path, REAL)) as bench:
        bench.connection.system = another_machine(tmp_path)
        site = bench.prepare([], "none")
        release = install(bench.connection, golden_bundle)
        parity = prove(bench.connection, site, golden_bundle, release)
        switch(bench.connection, release)
        asked = bench.connection.asked
        assert bench.prepare([], "none").runtime == site.runtime
        assert bench.connection.asked == asked + 1
    assert all(entry["error"] < 1e-4 for entry in parity)
    versions = f"onnxruntime-{onnxruntime.__version__}-numpy-{numpy.__version__}"
    assert site.runtime.startswith(f"runtimes/system-{versions}-")
    assert sorted(path.name for path in (bench.root / site.runtime).iterdir()) == ["numpy", "onnxruntime"]


def test_where_no_wheel_exists_and_the_system_has_none_the_command_is_said(tmp_path: Path) -> None:
    with bench_at(tmp_path, system_python(tmp_path, {})) as bench:
        bench.connection.system = another_machine(tmp_path)
        with pytest.raises(NoWheelError) as refused:
            bench.try_all(WORKS)
        assert bench.connection.bytes_sent == 0
    assert "python3-onnxruntime" in str(refused.value)
    assert "ONNX Runtime has wheels for aarch64 and x86_64 only, and this board is armv7l" in str(refused.value)


def fake_system(folder: Path, source: str) -> dict[str, Path]:
    tiny_pins(folder, source)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
    (folder / "numpy" / "version.py").write_text('version = "1"\n')
    return {name: folder / name for name in ("onnxruntime", "numpy")}


def test_a_runtime_of_the_systems_own_gets_another_name_when_its_packages_change(tmp_path: Path) -> None:
    packages = fake_system(tmp_path / "packages", WORKS)
    with bench_at(tmp_path, system_python(tmp_path, packages)) as bench:
        names = [bench.prepare([], "none").runtime]
        (packages["numpy"] / "version.py").write_text('version = "2"\n')
        names.append(bench.prepare([], "none").runtime)
        (packages["onnxruntime"] / "capi").mkdir()
        (packages["onnxruntime"] / "capi" / "state.so").write_bytes(b"rebuilt")
        names.append(bench.prepare([], "none").runtime)
    assert [name.rpartition("-")[0] for name in names] == [
        "runtimes/system-onnxruntime-1-numpy-1",
        "runtimes/system-onnxruntime-1-numpy-2",
        "runtimes/system-onnxruntime-1-numpy-2",
    ]
    assert len(set(names)) == 3


def test_where_wheels_fail_the_systems_own_runtime_is_the_last_resort(tmp_path: Path) -> None:
    with bench_at(tmp_path, system_python(tmp_path, fake_system(tmp_path / "packages", WORKS))) as bench:
        assert bench.try_all(DIES).runtime.startswith("runtimes/system-onnxruntime-1-numpy-1-")


def test_a_runtime_of_the_systems_own_that_does_not_run_is_named_with_how_it_ended(tmp_path: Path) -> None:
    with bench_at(tmp_path, system_python(tmp_path, fake_system(tmp_path / "packages", DIES))) as bench:
        for _ in range(2):
            with pytest.raises(AgentError, match="the system's package: killed by SIGILL"):
                bench.prepare([], "none")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"libc": ["", ""]}, "ONNX Runtime has wheels for glibc only, and this board has another"),
        ({"libc": ["musl", "1.2"]}, "ONNX Runtime has wheels for glibc only, and this board has musl"),
        ({"bits": 32, "machine": "armv7l"}, "no wheels for 32-bit systems, and this one is armv7l"),
        ({"bits": 32, "machine": "armv6l"}, "no wheels for 32-bit systems, and this one is armv6l"),
        ({"bits": 32, "machine": "aarch64"}, "no wheels for 32-bit systems, and this one is armv7l"),
        ({"bits": 32, "machine": "i686"}, "no wheels for 32-bit systems, and this one is i686"),
        ({"machine": "riscv64"}, "wheels for aarch64 and x86_64 only, and this board is riscv64"),
        ({"implementation": "pypy"}, "pi: its python3 is pypy: ONNX Runtime needs CPython there"),
    ],
)
def test_a_board_that_no_wheel_can_fit_is_told_so_with_the_reason(facts: dict[str, Any], said: str) -> None:
    with pytest.raises(DeviceError) as refused:
        platform_of("pi", survey_with(**facts))
    assert str(refused.value).endswith(said)


def test_wheels_are_chosen_by_the_boards_own_machine_python_and_libc() -> None:
    platform = platform_of("pi", survey_with(libc=["glibc", "2.41"], python=[3, 13, 5]))
    assert str(platform) == "aarch64, Python 3.13, glibc 2.41"
    assert str(platform_of("pi", check_survey("pi", {**SAID, "threads": "t"}))) == "aarch64, Python 3.11t, glibc 2.36"


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (
            'ID=debian\nVERSION_ID="13"\n',
            "install the system's package on the board: sudo apt install python3-onnxruntime",
        ),
        (
            "ID=raspbian\nVERSION_ID=13\n",
            "install the system's package on the board: sudo apt install python3-onnxruntime",
        ),
        ("ID=debian\n", "install the system's package on the board: sudo apt install python3-onnxruntime"),
        ('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n', "Debian 12 has no package of it: install Debian 13"),
        (
            "ID=alpine\nPRETTY_NAME='Alpine'\n",
            "Debian 13 has a package of it (sudo apt install python3-onnxruntime); see whether Alpine",
        ),
        ("", "Debian 13 has a package of it (sudo apt install python3-onnxruntime); see whether its system has one"),
    ],
)
def test_the_command_fits_the_boards_own_system(system: str, said: str) -> None:
    assert advice(check_survey("pi", {**SAID, "distribution": distribution(system)})).startswith(said)


@pytest.mark.parametrize(
    "lie",
    [
        {"runners": ["../../etc"]},
        {"runtimes": {"../x": {}}},
        {"runtimes": {"x": {"numpy-1.0": ["no tag"]}}},
        {"runtimes": ["x"]},
        {"failed": {"x": {}}},
        {"system": "system/../../x"},
        {"facts": {}},
        {"distribution": ["debian"]},
        {"noexec": None, "threads": None, "runners": None},
    ],
)
def test_what_a_board_says_that_makes_no_sense_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match=r"pi: it sent (invalid facts|an invalid list of runtimes)"):
        check_survey("pi", {**SAID, **lie})


def test_a_runner_gets_another_name_when_any_of_its_files_changes() -> None:
    files = runner_files()
    names = {runner_name({**files, name: content + b"\n"}) for name, content in files.items()}
    assert len(names | {runner_name(files)}) == len(files) + 1


def test_a_runner_gets_another_name_when_a_file_is_renamed_or_left_out() -> None:
    files = {"a": b"1", "b": b"2"}
    others = [{"a": b"1", "c": b"2"}, {"a": b"1"}, {"a": b"12", "b": b""}, {"ab": b"12"}]
    assert len({runner_name(f) for f in [files, *others]}) == len(others) + 1


def test_the_runner_has_its_sub_packages_with_it(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "inner.py").write_text("1")
    (tmp_path / "outer.py").write_text("2")
    assert runner_files(tmp_path) == {"tonearm/runtime/outer.py": b"2", "tonearm/runtime/room/inner.py": b"1"}


def test_the_runner_is_whole_and_stands_alone() -> None:
    files = runner_files()
    assert {"tonearm/runtime/__init__.py", "tonearm/runtime/runner.py"} <= set(files)
    assert not [name for name, content in files.items() if b"from ..device" in content or b"import torch" in content]
