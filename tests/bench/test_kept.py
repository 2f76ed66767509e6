"""Results are kept whatever becomes of the folder and of others who write there; what can't be kept is told."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import program
from made_results import append_the_same, made_arrays, measured, packed, samples
from tonearm.bench.errors import UnkeptError
from tonearm.bench.report.html import write_html
from tonearm.bench.report.markdown import markdown
from tonearm.bench.report.terminal import terminal_tables
from tonearm.bench.results import store
from tonearm.bench.results.store import CASES, SAMPLES, append, check_kept, finished, load, read_cases
from tonearm.device.descriptor import LOOPBACK
from tonearm.runtime.bundle import Bundle

opened: list[str] = []
sys.addaudithook(lambda event, of: opened.append(str(of[0])) if event == "open" else None)


def test_of_many_who_measure_one_case_at_once_each_line_goes_with_its_own_samples(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    sizes = range(100, 104)
    for _ in range(3):
        writers = [context.Process(target=append_the_same, args=(tmp_path, steps, 20)) for steps in sizes]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
            assert writer.exitcode == 0
        (case,) = read_cases(tmp_path)
        assert load(tmp_path).samples("same")["step_ns"].size == case["record"]["request"]["steps"]
    assert [path.name for path in (tmp_path / SAMPLES).iterdir()] == ["same.npz"]
    assert len((tmp_path / CASES).read_text().splitlines()) == 3 * 20 * len(sizes)


def with_room(folder: Path, room: int) -> subprocess.CompletedProcess[str]:
    """Append a case in a process whose files may have so many bytes, as on a disk that is full."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    script = (
        "import sys\nfrom pathlib import Path\nfrom made_results import measured, samples\n"
        "from tonearm.bench.results.store import append\nappend(Path(sys.argv[1]), 'new', measured(), samples(500))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{script}", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)


@pytest.mark.parametrize(("steps", "file"), [(3, SAMPLES), (500, CASES)])
def test_a_file_that_can_not_be_written_is_named_and_what_was_there_stays(
    tmp_path: Path, steps: int, file: str
) -> None:
    for index in range(40):
        append(tmp_path, f"old{index}", measured(), samples(3))
    before = (tmp_path / CASES).read_bytes()
    size = len(packed(made_arrays(1_000_000 + 1000 * np.arange(500), first=True)))
    room = size // 2 if file == SAMPLES else len(before) + 10
    assert size < len(before)
    told = with_room(tmp_path, room).stderr
    assert "UnkeptError" in told and f"{tmp_path / file}" in told and "on this machine can't be written" in told
    assert (tmp_path / CASES).read_bytes() == before
    assert not [*tmp_path.rglob("*.part")]
    assert len(finished(tmp_path)) == 40
    assert with_room(tmp_path, 1 << 24).returncode == 0
    assert len(finished(tmp_path)) == 41


def test_cases_that_are_gone_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        append(tmp_path, name, measured(), samples(3))
    check_kept(tmp_path, {"a", "b"})
    with pytest.raises(UnkeptError, match=f"1 of 3 cases measured are no longer in {tmp_path} on this machine"):
        check_kept(tmp_path, {"a", "b", "c"})


def test_a_sweep_whose_results_are_taken_away_says_so_and_goes_on(golden_bundle: Bundle, tmp_path: Path) -> None:
    words = ["sweep", "--board", LOOPBACK, "--models", golden_bundle.folder, "--blocks", 64, "--modes", "burst"]
    words += ["--repeats", 4, "--steps", 100, "-o", tmp_path / "results"]
    with subprocess.Popen(program(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        while not read_cases(tmp_path / "results"):
            assert command.poll() is None
        (tmp_path / "results").rename(tmp_path / "elsewhere")
        _, told = command.communicate(timeout=300)
    assert command.returncode == 1
    assert f"{tmp_path / 'results'}" in told.splitlines()[-1] and "on this machine" in told.splitlines()[-1]
    assert "Traceback" not in told
    done = subprocess.run(program(*words), capture_output=True, text=True)
    assert done.returncode == 0 and len(read_cases(tmp_path / "results")) == 4


def several(folder: Path, cases: int) -> Path:
    for index in range(cases):
        case = measured(repeat=index % 2)
        case["record"]["request"] |= {"block": 64 * (1 + index // 2), "steps": 60}
        append(folder, f"case{index}", case, samples(60))
    return folder


def opens_a_case(folder: Path, cases: int, show: Callable[[store.Results], object]) -> float:
    """How often files of samples are opened to show results, by the number of cases."""
    found = load(several(folder, cases))
    opened.clear()
    show(found)
    return sum(path.endswith(".npz") for path in opened) / cases


@pytest.mark.parametrize("show", [terminal_tables, markdown, lambda found: write_html(found, Path("report.html"))])
def test_a_case_among_many_is_read_as_often_as_one_among_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: Callable[[store.Results], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    few, many = opens_a_case(tmp_path / "few", 6, show), opens_a_case(tmp_path / "many", 24, show)
    assert 0 < many <= few


def test_a_case_that_is_added_to_many_reads_no_line_of_theirs(tmp_path: Path) -> None:
    read: list[int] = []
    for cases in (2, 40):
        folder = several(tmp_path / str(cases), cases)
        before = bytes_read()
        append(folder, "one-more", measured(), samples(60))
        read.append(bytes_read() - before)
    assert read[1] <= read[0]


def bytes_read() -> int:
    """By this process so far."""
    line = Path("/proc/self/io").read_text().splitlines()[0]
    return int(line.split()[1])


def test_signals_of_a_full_file_are_ignored_as_python_does_it() -> None:
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
