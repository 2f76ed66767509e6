"""Sound in files: whole or not at all, and what a board has computed is not lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tonearm.bench.controls import write_sound
from tonearm.bench.errors import ControlsError
from tonearm.runtime.bundle import Bundle

FULL = """
import resource, sys, tempfile
from pathlib import Path
import numpy as np
from tonearm.bench.controls import write_sound
from tonearm.bench.errors import ControlsError
from tonearm.runtime.bundle import read_bundle

bundle, path = read_bundle(Path(sys.argv[1])), Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_sound(path, {"audio": np.zeros(16_000, np.float32)}, bundle)
except ControlsError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", [".wav", ".npz"])
def test_a_disk_that_is_full_leaves_the_old_sound(tmp_path: Path, golden_bundle: Bundle, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL, str(golden_bundle.folder), str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"{path} on this machine can't be written (File too large), nor can anything in ")
    assert path.read_bytes() == b"old"
    assert not list(tmp_path.glob(".out*"))


def test_what_can_not_be_written_where_it_should_is_kept_elsewhere(
    tmp_path: Path, golden_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    path, audio = tmp_path / "deleted meanwhile" / "out.wav", np.linspace(-0.5, 0.5, 1600, dtype=np.float32)
    with pytest.raises(ControlsError, match=r"on this machine can't be written .* it is kept as ") as told:
        write_sound(path, {"audio": audio}, golden_bundle)
    [kept] = (tmp_path / "elsewhere").iterdir()
    assert str(told.value).endswith(f"it is kept as {kept}")
    np.testing.assert_allclose(soundfile.read(kept)[0], audio, atol=1e-6)
