"""Which wheels fit a board, and how they come to lie on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_pins, tiny_wheel
from tonearm.device.errors import NoWheelError, WheelError
from tonearm.device.runtimes.wheelhouse import Wheelhouse
from tonearm.device.runtimes.wheels import TRIES, Pin, Platform, pins_for, runtime_name

PI = Platform("aarch64", (3, 11), 36)
NOWHERE = ("--no-index",)
PIN = Pin("1.0", "1.0", range(9, 99))
PYTHONS = [(3, minor) for minor in range(9, 15)]


@pytest.mark.parametrize(
    ("python", "onnxruntime"),
    [((3, 9), "1.19.2"), ((3, 10), "1.23.2"), ((3, 11), "1.31.1"), ((3, 13), "1.31.1"), ((3, 14), "1.31.1")],
)
def test_each_python_begins_with_the_newest_onnx_runtime_that_has_wheels_for_it(
    python: tuple[int, int], onnxruntime: str
) -> None:
    assert pins_for(Platform("aarch64", python, 36))[0].onnxruntime == onnxruntime


@pytest.mark.parametrize("python", PYTHONS)
def test_each_python_has_a_few_versions_to_fall_back_on_from_new_to_old(python: tuple[int, int]) -> None:
    versions = [[int(part) for part in pin.onnxruntime.split(".")] for pin in pins_for(Platform("aarch64", python, 36))]
    assert 2 <= len(versions) <= TRIES
    assert versions == sorted(versions, reverse=True)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_onnx_runtime_that_dies_on_a_raspberry_pi_4_is_never_chosen(python: tuple[int, int]) -> None:
    assert "1.21.0" not in [pin.onnxruntime for pin in pins_for(Platform("aarch64", python, 36))]


def test_a_python_without_wheels_has_no_versions() -> None:
    assert pins_for(Platform("aarch64", (3, 8), 36)) == pins_for(Platform("aarch64", (3, 99), 36)) == []


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("cp311-cp311-manylinux_2_28_aarch64", True),
        ("cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64", True),
        ("cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64", True),
        ("cp311-cp311-manylinux2014_aarch64", True),
        ("cp311-cp311-linux_aarch64", True),
        ("cp39-abi3-manylinux_2_28_aarch64", True),
        ("py3-none-any", True),
        ("cp311-cp311-manylinux_2_37_aarch64", False),
        ("cp311-cp311-musllinux_1_2_aarch64", False),
        ("cp311-cp311-manylinux_2_28_x86_64", False),
        ("cp311-cp311-manylinux_2_28_armv7l", False),
        ("cp312-cp312-manylinux_2_28_aarch64", False),
        ("cp312-abi3-manylinux_2_28_aarch64", False),
        ("cp311-cp311t-manylinux_2_28_aarch64", False),
        ("pp311-pypy311_pp73-manylinux_2_28_aarch64", False),
    ],
)
def test_a_wheel_fits_by_its_own_tags(tag: str, fits: bool) -> None:
    assert (PI.rank(Path(f"numpy-1.0-{tag}.whl"), "numpy==1.0") is not None) == fits


@given(have=st.integers(17, 60), need=st.integers(17, 60))
def test_a_wheel_fits_every_glibc_that_is_as_new_as_its_own(have: int, need: int) -> None:
    wheel = Path(f"numpy-1.0-cp311-cp311-manylinux_2_{need}_aarch64.whl")
    assert (Platform("aarch64", (3, 11), have).rank(wheel, "numpy==1.0") is not None) == (need <= have)


def test_a_free_threaded_python_takes_wheels_of_its_own_only() -> None:
    platform = Platform("x86_64", (3, 13), 36, "t")
    fits = {abi: platform.rank(Path(f"numpy-1.0-cp313-{abi}-linux_x86_64.whl"), "numpy==1.0") for abi in ABIS}
    assert [abi for abi in ABIS if fits[abi] is not None] == ["cp313t"]


ABIS = ("cp313", "cp313t", "abi3")


@pytest.mark.parametrize("name", ["numpy-1.1-py3-none-any.whl", "onnx-1.0-py3-none-any.whl", "numpy.whl", "x.txt"])
def test_another_version_or_package_is_no_wheel_of_this_one(name: str) -> None:
    assert PI.rank(Path(name), "numpy==1.0") is None


def test_a_runtime_is_named_after_the_content_of_its_wheels_only(tmp_path: Path) -> None:
    def written(folder: str, contents: dict[str, bytes]) -> list[Path]:
        (tmp_path / folder).mkdir()
        for name, content in contents.items():
            (tmp_path / folder / name).write_bytes(content)
        return [tmp_path / folder / name for name in contents]

    name = runtime_name(written("a", {"a.whl": b"one", "b.whl": b"two"}))
    assert name.startswith("runtimes/")
    assert runtime_name(written("b", {"z.whl": b"two", "y.whl": b"one"})) == name
    assert runtime_name(written("c", {"a.whl": b"one", "b.whl": b"too"})) != name
    assert runtime_name(written("d", {"a.whl": b"one"})) != name


def test_wheels_that_a_person_copied_are_used_without_any_index(tmp_path: Path) -> None:
    for folder in (tmp_path / "wheels", tmp_path / "deeper" / "of-a-friend"):
        tiny_pins(folder, "")
        found = Wheelhouse(tmp_path / folder.relative_to(tmp_path).parts[0], NOWHERE).fetch(PIN, PI)
        assert sorted(path.name.split("-")[0] for path in found) == ["numpy", "onnxruntime"]


def test_of_several_wheels_the_one_made_for_the_board_is_taken_and_a_foreign_one_never(tmp_path: Path) -> None:
    tags = ("py3-none-any", "cp311-cp311-manylinux_2_28_aarch64", "cp311-cp311-manylinux_2_28_x86_64")
    for tag in (*tags, "cp311-cp311-manylinux_2_17_aarch64"):
        tiny_wheel(tmp_path, "numpy", "1.0", "", tag)
        tiny_wheel(tmp_path, "onnxruntime", "1.0", "", tag)
    best = Wheelhouse(tmp_path, NOWHERE).fetch(PIN, PI)
    assert [path.name.removesuffix(".whl").split("-", 2)[2] for path in best] == [tags[1], tags[1]]
    for path in tmp_path.glob("*-none-any.whl"):
        path.unlink()
    with pytest.raises(NoWheelError, match=r"no.* onnxruntime==1\.0 .*for aarch64, Python 3\.12, glibc 2\.36"):
        Wheelhouse(tmp_path, NOWHERE).fetch(PIN, Platform("aarch64", (3, 12), 36))


def from_folder(index: Path) -> tuple[str, ...]:
    return ("--no-index", "--find-links", str(index))


def test_what_was_fetched_once_needs_no_index_any_more(tmp_path: Path) -> None:
    tiny_pins(tmp_path / "index", "")
    fetched = Wheelhouse(tmp_path / "wheels", from_folder(tmp_path / "index")).fetch(PIN, PI)
    assert Wheelhouse(tmp_path / "wheels", NOWHERE).fetch(PIN, PI) == fetched
    assert {path.parent for path in fetched} == {tmp_path / "wheels"}


def test_only_what_is_not_there_is_fetched(tmp_path: Path) -> None:
    tiny_pins(tmp_path / "wheels", "")
    (tmp_path / "wheels" / "numpy-1.0-py3-none-any.whl").rename(tmp_path / "numpy-1.0-py3-none-any.whl")
    assert len(Wheelhouse(tmp_path / "wheels", from_folder(tmp_path)).fetch(PIN, PI)) == 2


@pytest.mark.parametrize("recorded", [True, False])
def test_a_damaged_wheel_is_found_and_fetched_anew(tmp_path: Path, recorded: bool) -> None:
    tiny_pins(tmp_path / "index", "x = 1\n" * 1000)
    house = Wheelhouse(tmp_path / "wheels", from_folder(tmp_path / "index"))
    first = [path.read_bytes() for path in house.fetch(PIN, PI)]
    for path in (tmp_path / "wheels").glob("*.sha256" if not recorded else "none"):
        path.unlink()
    for path in (tmp_path / "wheels").glob("*.whl"):
        content = bytearray(path.read_bytes())
        content[60] ^= 1
        path.write_bytes(content)
    assert [path.read_bytes() for path in house.fetch(PIN, PI)] == first


def test_an_index_out_of_reach_is_told_in_a_line_with_what_to_do(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "wheels", ("--index-url", "http://127.0.0.1:9/simple", "--retries=1"))
    with pytest.raises(WheelError) as told:
        house.fetch(PIN, PI)
    assert not isinstance(told.value, NoWheelError)
    assert "connect this machine to the internet once" in str(told.value)
    assert "onnxruntime-1.0-cp311-*_aarch64.whl and numpy-1.0-cp311-*_aarch64.whl from" in str(told.value)
    assert f"into {tmp_path / 'wheels'}" in str(told.value)
    assert "\n" not in str(told.value)


def test_two_that_fetch_at_once_get_the_same_wheels_and_leave_nothing_else(tmp_path: Path) -> None:
    tiny_pins(tmp_path / "index", "")
    found: list[list[Path]] = []
    houses = [Wheelhouse(tmp_path / "wheels", from_folder(tmp_path / "index")) for _ in range(2)]
    threads = [threading.Thread(target=lambda house=house: found.append(house.fetch(PIN, PI))) for house in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert sorted(path.suffix for path in (tmp_path / "wheels").iterdir()) == [".sha256", ".sha256", ".whl", ".whl"]
    assert not (tmp_path / ".wheels.part").exists()


@contextlib.contextmanager
def stuttering_index(wheel: Path) -> Iterator[tuple[str, threading.Event]]:
    """A package index that stops in the middle of a wheel, and the event that it has."""
    content, stopped, go_on = wheel.read_bytes(), threading.Event(), threading.Event()
    digest = hashlib.sha256(content).hexdigest()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path.endswith("/"):
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(f'<a href="/{wheel.name}#sha256={digest}">{wheel.name}</a>'.encode())
                return
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            stopped.set()
            go_on.wait(60)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/simple", stopped
        finally:
            go_on.set()
            server.shutdown()


FETCH = """
import sys
from pathlib import Path
from tonearm.device.runtimes.wheelhouse import Wheelhouse
from tonearm.device.runtimes.wheels import Pin, Platform
told = lambda text, done, total: print(text, done, total, flush=True)
house = Wheelhouse(Path(sys.argv[1]), ["--index-url", sys.argv[2], "--no-cache-dir"])
house.fetch(Pin("1.0", "1.0", range(99)), Platform("aarch64", (3, 11), 36), told)
"""


def test_a_download_tells_how_far_it_is_and_an_interrupt_leaves_the_folder_whole(tmp_path: Path) -> None:
    tiny_pins(tmp_path / "wheels", "")
    content = "#" * 400_000
    (tmp_path / "wheels" / "numpy-1.0-py3-none-any.whl").unlink()
    with stuttering_index(tiny_wheel(tmp_path, "numpy", "1.0", content)) as (url, stopped):
        command = [sys.executable, "-c", FETCH, str(tmp_path / "wheels"), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert stopped.wait(60)
            assert process.stdout
            told = next(line for line in process.stdout if line.startswith("download numpy") and line.split()[2] != "0")
            process.send_signal(signal.SIGINT)
            process.wait(20)
    _, name, done, total = told.split()
    assert name == "numpy-1.0-py3-none-any.whl"
    assert 0 < int(done) < int(total)
    assert int(total) == pytest.approx(len(content), rel=0.05)
    assert [path.name for path in (tmp_path / "wheels").glob("*.whl")] == ["onnxruntime-1.0-py3-none-any.whl"]
    assert not (tmp_path / ".wheels.part").exists()
