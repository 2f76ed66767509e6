"""A bundle that a board's ONNX Runtime is too old for is refused before anything is pushed."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from tonearm.device.errors import AgentError
from tonearm.device.runtimes.provision import prepare
from tonearm.device.runtimes.takes import TAKES, check, needed, tell_older, version_in
from tonearm.device.runtimes.wheels import PINS
from tonearm.device.ssh.connection import Connection
from tonearm.runtime.bundle import MANIFEST, Bundle, read_bundle
from tonearm.runtime.progress import Remark, unwatched


def saying(bundle: Bundle, folder: Path, **facts: Any) -> Bundle:
    """A copy of a bundle whose manifest says so."""
    shutil.copytree(bundle.folder, folder)
    manifest = json.loads((folder / MANIFEST).read_text()) | facts
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return read_bundle(folder)


@pytest.mark.parametrize("pin", PINS, ids=str)
def test_a_bundle_of_ours_runs_with_every_version_that_a_board_may_get(golden_bundle: Bundle, pin: Any) -> None:
    check("pi", pin.onnxruntime, [golden_bundle], unwatched)
    assert needed(golden_bundle) == (18, 9)


@pytest.mark.parametrize(
    ("facts", "said"), [({"opset": 26}, "opset 26, IR version 9"), ({"ir_version": 99}, "IR version 99")]
)
def test_a_board_that_is_too_old_is_told_apart_before_anything_is_pushed(
    golden_bundle: Bundle, tmp_path: Path, loopback: Connection, facts: dict[str, int], said: str
) -> None:
    bundle = saying(golden_bundle, tmp_path / "newer", **facts)
    old = next(pin for pin in PINS if pin.onnxruntime.startswith("1.23"))
    with pytest.raises(AgentError, match=f"loopback: .*{said}; ONNX Runtime 1.23.*nothing was uploaded") as found:
        prepare(loopback, pins=[old], bundles=[bundle])
    assert found.value.kind == "opset"
    assert loopback.bytes_sent == 0
    assert not [*(tmp_path / "loopback" / "home" / ".tonearm").glob("runtimes/*")]


def test_of_several_bundles_the_one_that_is_too_new_is_told_and_the_others_go_on(
    golden_bundle: Bundle, tmp_path: Path
) -> None:
    told: list[str] = []
    newer = saying(golden_bundle, tmp_path / "newer", opset=26)
    check("pi", "1.24.4", [golden_bundle, newer], lambda text, done, total: told.append(text))
    (line,) = told
    assert isinstance(line, Remark) and line.startswith(f"pi: {newer.name} needs ONNX opset 26")


def test_an_older_runtime_is_told_and_the_same_or_a_newer_one_is_not() -> None:
    told: list[str] = []
    for version in ("1.24.4", onnxruntime.__version__, "99.0", ""):
        tell_older("pi", version, lambda text, done, total: told.append(text))
    (line,) = told
    ours = onnxruntime.__version__
    assert line.startswith(f"pi gets ONNX Runtime 1.24.4, which is older than this machine's {ours}: step times")


def test_newer_versions_take_no_less() -> None:
    rows = [TAKES[version] for version in sorted(TAKES)]
    assert all(later[0] >= earlier[0] and later[1] >= earlier[1] for earlier, later in pairwise(rows))


@pytest.mark.parametrize("facts", [{"opset": "x", "ir_version": None}, {"opset": [1]}, {}])
def test_a_manifest_that_does_not_say_is_no_reason_to_refuse(
    golden_bundle: Bundle, tmp_path: Path, facts: dict[str, Any]
) -> None:
    check("pi", "1.18.1", [saying(golden_bundle, tmp_path / "odd", **facts)], unwatched)


@pytest.mark.parametrize(
    ("name", "version"),
    [("system-onnxruntime-1.21.0-numpy-2.2.4-0123abcd", "1.21.0"), ("system-onnxruntime-unknown-numpy", ""), ("", "")],
)
def test_the_version_of_a_system_package_is_in_its_name(name: str, version: str) -> None:
    assert version_in(name) == version
