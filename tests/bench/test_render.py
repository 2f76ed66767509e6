"""A render brings back the sound that was asked for, or nothing: what is no sound reaches no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import tonearm
from square_roots import HOP, RATE, root_bundle
from tonearm.bench.controls import write_sound
from tonearm.bench.errors import BenchError, ControlsError
from tonearm.bench.fidelity import difference
from tonearm.device.loopback import loopback_folder
from tonearm.runtime.bundle import Bundle

pytestmark = pytest.mark.usefixtures("own_place")
FRAMES = 20
GIVES = "outputs = stream.render(signals, _progress)\n"  # the line of the runner that a board may have otherwise


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return root_bundle(tmp_path_factory.mktemp("bundles") / "root")


def take(loudest: float) -> Path:
    """A recording, whose sample 700 is as loud as that."""
    samples = np.full(FRAMES * HOP, 0.1, np.float32)
    samples[700] = loudest
    path = Path("take.wav")
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


def render(bundle: Bundle, target: str, status: int) -> str:
    command = ["render", bundle.folder, "--board", "loopback", "--input", "take.wav", "-o", target, "--block", 64]
    return tonearm(*command, status=status).stderr


@pytest.mark.parametrize("target", ["out.wav", "out.npz"])
def test_a_model_that_can_not_play_an_input_writes_nothing(root: Bundle, target: str) -> None:
    take(-0.9)
    said = render(root, target, 1).splitlines()[-1]
    assert "loopback: root, blocks of 64: output audio is not a finite number (nan) in block 10, sample 668" in said
    assert "its states (kept) are not finite either" in said
    assert not Path(target).exists()
    take(0.9)
    render(root, target, 0)
    assert Path(target).exists()


@pytest.fixture
def altered(root: Bundle) -> Any:
    """Have the loopback board's own runner do something else with the sound that it made."""
    changed: list[tuple[Path, str]] = []

    def alter(line: str) -> None:
        take(0.1)
        render(root, "first.npz", 0)
        runner = max(loopback_folder().glob("home/.tonearm/runners/*"), key=lambda path: path.stat().st_mtime)
        file = runner / "tonearm" / "runtime" / "runner.py"
        changed.append((file, file.read_text()))
        assert GIVES in changed[0][1]
        file.write_text(changed[0][1].replace(GIVES, f"{GIVES}    {line}\n"))

    yield alter
    for file, text in changed:
        file.write_text(text)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("outputs['audio'] = outputs['audio'][:10]", "output audio has 10 values instead of 1344"),
        ("del outputs['audio']", "the sound lacks audio"),
        ("outputs['audio'][5] = float('nan')", "output audio is not a finite number (nan) at sample 5"),
        ("outputs['audio'] = outputs['audio'].astype('complex64')", "output audio is complex64 of shape (1344,)"),
        ("outputs['audio'] = outputs['audio'].reshape(-1, 64)", "output audio is float32 of shape (21, 64)"),
        ("outputs['audio'] = outputs['audio'].astype('U8')", "output audio is str"),
        ("outputs['more'] = outputs['audio']", "the sound has besides more"),
    ],
)
def test_a_board_that_sends_something_else_is_named_and_nothing_is_written(
    root: Bundle, altered: Callable[[str], None], line: str, wrong: str
) -> None:
    altered(line)
    take(0.1)
    said = render(root, "out.wav", 1)
    assert f"tonearm: loopback sent invalid sound: {wrong}" in said and "nothing was written" in said
    assert not Path("out.wav").exists()


def sound(**changes: Any) -> dict[str, Any]:
    found = {"audio": np.zeros(FRAMES * HOP, np.float32), "level": np.zeros(2 * FRAMES, np.float32), **changes}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("target", ["out.wav", "out.npz"])
@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"audio": np.full(FRAMES * HOP, np.nan, np.float32)}, r"audio is not a finite number \(nan\) at sample 0"),
        ({"level": np.full(2 * FRAMES, np.inf, np.float32)}, "level is not a finite number"),
        ({"audio": None}, "lacks audio"),
        ({"audio": np.zeros(FRAMES * HOP, np.complex128)}, "audio is complex128"),
        ({"audio": np.zeros((FRAMES, HOP), np.float32)}, "not a row of floats"),
        ({"audio": np.zeros(0, np.float32)}, "not a row of floats"),
        ({"audio": np.zeros(10, np.float32)}, r"not equally long \(audio 0.001 s, level 0.080 s\)"),
    ],
)
def test_what_is_no_sound_is_not_written(
    root: Bundle, tmp_path: Path, target: str, changes: dict[str, Any], wrong: str
) -> None:
    path = tmp_path / target
    with pytest.raises(ControlsError, match=f"{target} is not written: .*{wrong}"):
        write_sound(path, sound(**changes), root)
    assert not path.exists()


def test_outputs_that_were_cut_to_a_recording_are_written(root: Bundle, tmp_path: Path) -> None:
    cut = sound(audio=np.zeros(70, np.float32), level=np.zeros(3, np.float32))  # 70 samples: 3 of the 2 levels a hop
    write_sound(tmp_path / "out.wav", cut, root)
    assert soundfile.info(tmp_path / "out.wav").frames == 70


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sound_that_is_no_number_is_not_called_equal(value: float) -> None:
    wanted = np.ones(100, np.float32)
    broken = wanted.copy()
    broken[3] = value
    for pair in ((wanted, broken), (broken, wanted), (broken, broken)):
        found = difference(*pair)
        assert (found.error, found.snr_db, str(found)) == (np.inf, -np.inf, "not finite")
    assert str(difference(wanted, wanted)) == "equal"
    assert str(difference(0 * wanted, wanted)) == "1.0e+00, -inf dB"


def test_sounds_of_two_lengths_are_not_compared() -> None:
    with pytest.raises(BenchError, match=r"shape \(1,\) can't be compared with sound of shape \(100,\)"):
        difference(np.ones(100), np.ones(1))
