"""Tasks of the runner, in a process of its own as on a board."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tonearm.runtime.bundle import Bundle

RUN = ["-m", "tonearm.runtime.runner"]


def run(folder: Path, bundle: Bundle, python: list[str] = RUN, /, **request: Any) -> tuple[int, dict[str, Any], str]:
    """Exit status, record and standard output of one request in `folder`."""
    content = {"format": 2, "bundle": str(bundle.folder), **request}
    (folder / "request.json").write_text(json.dumps(content))
    command = [sys.executable, *python, "request.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (folder / "record.json").is_file(), done.stderr
    record = json.loads((folder / "record.json").read_text())
    assert record["request"] == content
    assert not (folder / "record.json.part").exists()
    return done.returncode, record, done.stdout


def finish(folder: Path, bundle: Bundle, /, **request: Any) -> dict[str, Any]:
    """The record of a request that is fulfilled."""
    status, record, _ = run(folder, bundle, **request)
    assert status == 0, record
    return record


def refuse(folder: Path, bundle: Bundle, /, **request: Any) -> tuple[str, str]:
    """Kind and message of the error that answers a request."""
    status, record, _ = run(folder, bundle, **request)
    assert status == 1
    assert set(record) == {"format", "request", "error", "kind"}
    return record["kind"], record["error"]
