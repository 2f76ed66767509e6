"""What a board is given to run: pinned wheels that fit it, and our runner, named after their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tonearm.device.errors import WheelError
from tonearm.device.provision import fetch_wheels, requirements, runner_files, runner_name, runtime_name, wheels_for

FACTS: dict[str, Any] = {
    "libc": "glibc",
    "libc_version": "2.36",
    "bits": 64,
    "machine": "aarch64",
    "python": [3, 11, 2],
}


@pytest.mark.parametrize(
    ("python", "onnxruntime"), [((3, 9), "1.19.2"), ((3, 10), "1.23.2"), ((3, 11), "1.31.1"), ((3, 13), "1.31.1")]
)
def test_each_python_has_its_pinned_onnx_runtime_and_numpy(python: tuple[int, int], onnxruntime: str) -> None:
    runtime, numpy = requirements(python)
    assert runtime == f"onnxruntime=={onnxruntime}"
    assert numpy.startswith("numpy==2.")


@pytest.mark.parametrize("python", [(3, minor) for minor in range(9, 15)])
def test_the_onnx_runtime_that_dies_on_a_raspberry_pi_4_is_never_chosen(python: tuple[int, int]) -> None:
    assert "onnxruntime==1.21.0" not in requirements(python)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"libc": ""}, "pi: ONNX Runtime has wheels for glibc only, this board has another C library"),
        ({"libc": "musl"}, "pi: ONNX Runtime has wheels for glibc only, this board has musl"),
        ({"bits": 32, "machine": "armv7l"}, "pi: ONNX Runtime has no wheels for 32-bit armv7l; use a 64-bit system"),
    ],
)
def test_a_board_that_no_wheel_fits_is_refused_with_the_reason(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WheelError) as refused:
        wheels_for("pi", {**FACTS, **change})
    assert str(refused.value).startswith(said)


def test_a_machine_without_wheels_is_named_with_its_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WheelError, match=r"no wheels of onnxruntime==.* for sparc64, Python 3\.11, glibc 2\.36: \S"):
        fetch_wheels("sparc64", (3, 11), 36)


def wheels(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_a_runtime_is_named_after_the_content_of_its_wheels_only(tmp_path: Path) -> None:
    name = runtime_name(wheels(tmp_path / "a", {"a.whl": b"one", "b.whl": b"two"}))
    assert name.startswith("runtimes/")
    assert runtime_name(wheels(tmp_path / "b", {"z.whl": b"two", "y.whl": b"one"})) == name
    assert runtime_name(wheels(tmp_path / "c", {"a.whl": b"one", "b.whl": b"too"})) != name
    assert runtime_name(wheels(tmp_path / "d", {"a.whl": b"one"})) != name


def test_a_runner_gets_another_name_when_any_of_its_files_changes() -> None:
    files = runner_files()
    names = {runner_name({**files, name: content + b"\n"}) for name, content in files.items()}
    assert len(names | {runner_name(files)}) == len(files) + 1


def test_a_runner_gets_another_name_when_a_file_is_renamed_or_left_out() -> None:
    files = {"a": b"1", "b": b"2"}
    others = [{"a": b"1", "c": b"2"}, {"a": b"1"}, {"a": b"12", "b": b""}, {"ab": b"12"}]
    assert len({runner_name(f) for f in [files, *others]}) == len(others) + 1


def test_the_runner_is_whole_and_stands_alone() -> None:
    files = runner_files()
    assert {"tonearm/runtime/__init__.py", "tonearm/runtime/runner.py"} <= set(files)
    assert not [name for name, content in files.items() if b"from ..device" in content or b"import torch" in content]
