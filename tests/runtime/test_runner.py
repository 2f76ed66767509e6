"""The runner in a process of its own, as a board runs it: the three tasks, what it refuses, what it imports."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from places import ROOT
from tasks import finish, refuse, run
from tonearm.runtime.bundle import Bundle, read_bundle, sha256
from tonearm.runtime.clip import read_arrays, write_arrays
from tonearm.runtime.parity import full_scale_error

ON_BOARDS = sorted(
    str(path.relative_to(ROOT)) for folder in ("runtime", "device/agent") for path in (ROOT / folder).rglob("*.py")
)
LIST_IMPORTS = """
import json, runpy, sys
before = set(sys.modules)
try:
    runpy.run_module("tonearm.runtime.runner", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert end.code == 0, end.code
names = {name.split(".")[0] for name in set(sys.modules) - before}
json.dump(sorted(names - set(sys.stdlib_module_names)), open("modules.json", "w"))
"""


@pytest.fixture
def controls(golden: dict[str, np.ndarray], tmp_path: Path) -> dict[str, np.ndarray]:
    """The golden controls, also as inputs.npz."""
    arrays = {name: golden[name] for name in ("f0_hz", "loudness_db", "noise")}
    write_arrays(tmp_path / "inputs.npz", arrays)
    return arrays


RENDER = {"task": "render", "block": 64, "threads": 1, "inputs": "inputs.npz", "outputs": "outputs.npz"}
MEASURE = {
    "task": "measure",
    "mode": "burst",
    "block": 64,
    "threads": 1,
    "telemetry": False,
    "steps": 20,
    "warmup": 5,
    "floor": 7,
    "samples": "steps.npz",
}
PARITY = {"task": "parity", "blocks": [64, 256]}


def test_parity_is_proven_for_each_block(tmp_path: Path, golden_bundle: Bundle) -> None:
    found = finish(tmp_path, golden_bundle, **PARITY)["parity"]
    assert [(entry["block"], entry["frames"]) for entry in found] == [(64, 513), (256, 513)]
    assert all(0 < entry["error"] < golden_bundle.tolerance for entry in found)


def test_parity_of_the_first_frames_streams_those_that_they_lean_on_too(tmp_path: Path, golden_bundle: Bundle) -> None:
    [found] = finish(tmp_path, golden_bundle, task="parity", blocks=[64], frames=16)["parity"]
    assert found["frames"] == 16
    assert found["error"] < golden_bundle.tolerance


@pytest.mark.usefixtures("controls")
def test_a_render_is_the_original_implementations(
    tmp_path: Path, golden_bundle: Bundle, golden: dict[str, np.ndarray]
) -> None:
    record = finish(tmp_path, golden_bundle, **RENDER)
    audio = read_arrays(tmp_path / "outputs.npz")["audio"]
    assert full_scale_error(golden["out.synth_audio"][:, 0], audio) < 1e-4
    assert record["seconds"]["render"] > 0


def test_noise_that_is_not_given_is_seeded(
    tmp_path: Path, golden_bundle: Bundle, controls: dict[str, np.ndarray]
) -> None:
    heard = []
    write_arrays(tmp_path / "inputs.npz", {name: value for name, value in controls.items() if name != "noise"})
    for block in (64, 256):
        finish(tmp_path, golden_bundle, **RENDER | {"block": block})
        heard.append(read_arrays(tmp_path / "outputs.npz")["audio"])
    assert full_scale_error(heard[0], heard[1]) < 1e-5


@pytest.mark.usefixtures("controls")
@pytest.mark.parametrize("request_", [PARITY, RENDER, MEASURE], ids=lambda request: request["task"])
def test_a_record_says_what_ran_where_and_what_it_took(
    tmp_path: Path, golden_bundle: Bundle, request_: dict[str, Any]
) -> None:
    record = finish(tmp_path, golden_bundle, **request_)
    assert (record["format"], record["model"], record["digest"]) == (2, "hpn-reduced", golden_bundle.digest)
    assert (record["numpy"], record["onnxruntime"]) == (np.__version__, onnxruntime.__version__)
    assert record["python"] == sys.version.split()[0]
    assert record["denormals_flushed"] is True
    assert {"import_numpy", "import_onnxruntime", "session"} <= set(record["seconds"])
    assert min(record["seconds"].values()) > 0
    peaks = [record["memory"][stage]["peak_kb"] for stage in ("python", "numpy", "onnxruntime", "session", "run")]
    assert peaks == sorted(peaks)
    assert peaks[0] > 0


@pytest.mark.usefixtures("controls")
@pytest.mark.parametrize("request_", [PARITY, RENDER], ids=lambda request: request["task"])
def test_standard_output_is_only_how_far_it_is(tmp_path: Path, golden_bundle: Bundle, request_: dict[str, Any]) -> None:
    _, _, output = run(tmp_path, golden_bundle, **request_)
    told = [tuple(map(int, line.split(" "))) for line in output.splitlines()]
    assert told
    assert told == sorted(told)
    assert all(0 <= done <= total == told[0][1] for done, total in told)


def tampered(bundle: Bundle, folder: Path, sample: int) -> Bundle:
    """A copy whose golden audio is another one from `sample` on, with hashes that match."""
    shutil.copytree(bundle.folder, folder)
    golden = read_arrays(folder / bundle.golden)
    golden["audio"][sample:] += 0.1 * np.abs(golden["audio"]).max()
    write_arrays(folder / bundle.golden, golden)
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / bundle.golden
    manifest["files"][bundle.golden] = {"sha256": sha256(path), "size": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return read_bundle(folder)


@pytest.mark.parametrize(("block", "wrong"), [(64, 11), (256, 2)])  # sample 700 comes 32 samples late
def test_a_stream_unlike_the_golden_one_fails_at_its_first_wrong_block(
    tmp_path: Path, golden_bundle: Bundle, block: int, wrong: int
) -> None:
    other = tampered(golden_bundle, tmp_path / "bundle", sample=700)
    kind, message = refuse(tmp_path, other, task="parity", blocks=[block])
    assert kind == "ParityError"
    assert f"blocks of {block}: output audio is wrong from block {wrong}, sample 700: " in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["f0_hz", "loudness_db"])
def test_a_control_that_is_no_finite_number_is_refused_with_its_frame(
    tmp_path: Path, golden_bundle: Bundle, controls: dict[str, np.ndarray], name: str, value: float
) -> None:
    controls[name] = controls[name].copy()
    controls[name][[17, 200]] = value
    write_arrays(tmp_path / "inputs.npz", controls)
    assert refuse(tmp_path, golden_bundle, **RENDER) == ("SignalError", f"{name} is not a finite number at frame 17")
    assert not (tmp_path / "outputs.npz").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f0_hz": None}, "hpn-reduced needs the input f0_hz"),
        ({"f0_hz": np.zeros(0, np.float32)}, "f0_hz is empty"),
        ({"loudness_db": np.zeros(299, np.float32)}, "loudness_db has shape (299,)"),
        ({"loudness_db": np.full(300, "loud")}, "loudness_db must hold numbers, not text"),
        ({"noise": np.zeros((300, 32), np.float32)}, "noise has shape (300, 32)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_controls_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, golden_bundle: Bundle, controls: dict[str, np.ndarray], changes: dict[str, Any], message: str
) -> None:
    given = {name: value for name, value in (controls | changes).items() if value is not None}
    write_arrays(tmp_path / "inputs.npz", given)
    kind, text = refuse(tmp_path, golden_bundle, **RENDER)
    assert kind == "SignalError"
    assert text.startswith(message)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"format": 1}, "RunnerError", "request format 1, this runner reads 2: deploy again"),
        ({"bundle": "/nowhere"}, "BundleError", "no bundle in /nowhere"),
        ({"blocks": [64, 128]}, "BundleError", "no graph for blocks of 128 samples"),
    ],
)
def test_a_request_it_cannot_fulfil_is_answered_with_the_reason(
    tmp_path: Path, golden_bundle: Bundle, changes: dict[str, Any], kind: str, message: str
) -> None:
    answered, text = refuse(tmp_path, golden_bundle, **PARITY | changes)
    assert answered == kind
    assert message in text


@pytest.mark.usefixtures("controls")
@pytest.mark.parametrize("request_", [PARITY, RENDER, MEASURE], ids=lambda request: request["task"])
def test_it_imports_only_the_standard_library_numpy_and_onnx_runtime(
    tmp_path: Path, golden_bundle: Bundle, request_: dict[str, Any]
) -> None:
    status, _, _ = run(tmp_path, golden_bundle, ["-c", LIST_IMPORTS], **request_)
    assert status == 0
    assert json.loads((tmp_path / "modules.json").read_text()) == ["numpy", "onnxruntime", "tonearm"]


def old_pythons() -> list[str]:
    """A Python 3.9 that answers, where there is one (a pyenv shim may not)."""
    found = shutil.which("python3.9")
    answers = found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0
    return [found] if found and answers else []


@pytest.mark.parametrize("file", ON_BOARDS)
def test_what_runs_on_boards_is_python_3_9(file: str) -> None:
    source = (ROOT / file).read_text()
    ast.parse(source, file, feature_version=(3, 9))
    for python in old_pythons():
        program = "import sys; compile(sys.stdin.buffer.read(), sys.argv[1], 'exec', dont_inherit=True)"
        done = subprocess.run([python, "-c", program, file], input=source.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
