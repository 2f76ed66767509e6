"""From sound to sound: a recording is analysed as in training, played on a board, and comes back as long as it was."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import seconds, tone, write_tone
from tonearm.bench.cli import main
from tonearm.bench.controls import check_target, cut_to, read_controls, remark_on
from tonearm.bench.errors import ControlsError
from tonearm.models.constants import SAMPLE_RATE
from tonearm.models.errors import RecordingError
from tonearm.models.sound.features import analyse, read_recording
from tonearm.models.training.dataset import read_phrases
from tonearm.models.training.listening import FOLDER
from tonearm.runtime.bundle import Bundle, Signal
from tonearm.runtime.clip import read_arrays, write_arrays

PITCH, LOUDNESS = Signal("f0_hz", 1), Signal("loudness_db", 1)


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A glide that swells, of an odd length, in the current folder."""
    monkeypatch.chdir(tmp_path)
    time = seconds(1.0001)
    sound = tone(220 * 2**time) * np.sin(np.pi * time) + 0.001 * np.random.default_rng(0).standard_normal(len(time))
    soundfile.write("take.wav", sound, SAMPLE_RATE, subtype="FLOAT")
    return Path("take.wav")


def test_a_recording_is_played_as_its_features_are_to_the_last_sample(
    golden_bundle: Bundle, take: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_arrays(Path("features.npz"), analyse(read_recording(take)))
    render = ["render", str(golden_bundle.folder), "--board", "loopback"]
    assert main([*render, "--input", "take.wav", "-o", "sound.npz"]) == 0
    assert main([*render, "--input", "features.npz", "-o", "features-sound.npz"]) == 0
    assert "sound.npz: 1.00 s at 16000 Hz" in capfd.readouterr().out
    sound, wanted = (read_arrays(Path(name))["audio"] for name in ("sound.npz", "features-sound.npz"))
    assert (len(sound), len(wanted)) == (16_002, 251 * 64)
    assert sound.tobytes() == wanted[:16_002].tobytes()
    assert np.std(sound) > 0.001


def test_a_test_phrase_that_comes_along_is_read_as_it_is_analysed_there(golden_bundle: Bundle) -> None:
    [file, *_] = sorted((FOLDER / "flute").glob("*.flac"))
    [phrase] = read_phrases([file])
    given = read_controls(file, golden_bundle)
    for name in ("f0_hz", "loudness_db"):
        assert given[name].ravel().tolist() == getattr(phrase, name).tolist()


@pytest.mark.parametrize(
    ("noise", "level", "said"),
    [(0.01, 0.1, "background noise may be played as notes"), (0.0, 1e-3, "nearly all of it counts as silence")],
)
def test_a_recording_that_will_sound_strange_is_remarked_on(
    golden_bundle: Bundle, tmp_path: Path, noise: float, level: float, said: str
) -> None:
    time = seconds(1.0)
    hiss = noise * np.random.default_rng(0).standard_normal(len(time))
    soundfile.write(tmp_path / "take.wav", tone(np.where(time < 0.7, 300.0, 0), level) + hiss, SAMPLE_RATE)
    signals = read_controls(tmp_path / "take.wav", golden_bundle)
    assert said in remark_on(tmp_path / "take.wav", signals)
    assert remark_on(tmp_path / "take.csv", signals) == ""


def test_test_phrases_are_not_remarked_on(golden_bundle: Bundle) -> None:
    file = FOLDER / "flute" / "flute-083.flac"
    assert remark_on(file, read_controls(file, golden_bundle)) == ""


def test_a_recording_is_not_overwritten_by_what_is_made_of_it(take: Path) -> None:
    with pytest.raises(ControlsError, match=r"take\.wav is both input and output: name another file with -o"):
        check_target(Path("./take.wav"), take)


def test_without_librosa_it_says_what_to_install(golden_bundle: Bundle, take: Path) -> None:
    arguments = ["render", str(golden_bundle.folder), "--board", "loopback", "--input", str(take), "-o", "out.wav"]
    program = (
        f"import sys; sys.modules['librosa'] = None; from tonearm.bench.cli import main; sys.exit(main({arguments}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "tonearm: analysing a recording needs librosa: in the clone of Tonearm, run pip install '.[train]'"
    )


def test_what_is_analysed_is_reported_as_it_is_done(golden_bundle: Bundle, take: Path) -> None:
    told: list[tuple[str, int, int]] = []
    signals = read_controls(take, golden_bundle, lambda text, done, total: told.append((text, done, total)))
    assert told == [("follow pitch and loudness", 251, 251)]
    assert signals["noise"].shape == (1, 251, 64)
    assert list(cut_to(take, {"audio": np.zeros(251 * 64)}, golden_bundle)["audio"].shape) == [16_002]


def test_a_recording_at_another_rate_is_answered_with_the_command_that_converts_it(
    golden_bundle: Bundle, take: Path
) -> None:
    path = write_tone(Path("my takes") / "a.wav", 0.1)
    soundfile.write(path, np.full((4410, 2), 0.1), 44_100)
    with pytest.raises(RecordingError, match=r"ffmpeg -i 'my takes/a.wav' -ac 1 -ar 16000 a-16000.wav"):
        read_controls(path, golden_bundle)


@pytest.mark.parametrize("inputs", [(PITCH,), (PITCH, LOUDNESS, Signal("drive", 1)), (PITCH, Signal("loudness_db", 8))])
def test_other_controls_are_not_made_up_from_a_recording(
    golden_bundle: Bundle, take: Path, inputs: tuple[Signal, ...]
) -> None:
    with pytest.raises(ControlsError, match=r"and a recording does not give .*: give all of them by name in an .npz"):
        read_controls(take, dataclasses.replace(golden_bundle, inputs=inputs))


@pytest.mark.parametrize(("sample_rate", "hop"), [(48_000, 64), (16_000, 128)])
def test_a_bundle_of_another_rate_or_hop_is_not_played_wrong(
    golden_bundle: Bundle, take: Path, sample_rate: int, hop: int
) -> None:
    bundle = dataclasses.replace(golden_bundle, sample_rate=sample_rate, hop=hop)
    with pytest.raises(
        ControlsError, match=f"runs at {sample_rate} Hz with a hop of {hop}, and a recording is analysed"
    ):
        read_controls(take, bundle)


def test_a_recording_is_taken_as_it_is_where_the_input_is_audio(golden_bundle: Bundle, take: Path) -> None:
    bundle = dataclasses.replace(golden_bundle, inputs=(Signal("audio", 64),), latency=0)
    audio = read_controls(take, bundle)["audio"].ravel()
    assert audio[:16_002].tobytes() == soundfile.read(take, dtype="float32")[0].tobytes()
    assert not audio[16_002:].any()
