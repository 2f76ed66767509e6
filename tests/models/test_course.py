"""A training from the command line: names, teachers, what is kept, what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import process, program, tonearm
from sounds import tone, write_takes
from tonearm.models.catalogue import load
from tonearm.models.constants import SAMPLE_RATE
from tonearm.models.errors import UnknownModelError
from tonearm.models.training.cards import read_card
from tonearm.models.training.course import Course, trained_name

SHORT = ("--steps", "2", "--batch", "2", "--seconds", "0.2")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    return write_takes(tmp_path / "my takes")


@pytest.mark.parametrize(
    ("course", "name", "architecture"),
    [
        (Course("hpn-full", "flute"), "hpn-full-flute", "hpn-full"),
        (Course("hpn-reduced", "flute", "hpn-full", "audio"), "hpn-reduced-flute+ad", "hpn-reduced"),
        (Course("ddx7-full", "flute"), "ddx7-full-flute", "ddx7-full-flute"),
        (Course("ddx7-full-flute", "flute"), "ddx7-full-flute", "ddx7-full-flute"),
        (Course("ddx7-reduced-violin", "cello", "ddx7-full-violin", "control"), "ddx7-reduced-violin-cello+cd", None),
        (Course("wavetable-reduced", "takes"), "wavetable-reduced-takes", "wavetable-reduced"),
    ],
)
def test_a_trained_model_is_named_after_what_it_learned(course: Course, name: str, architecture: str | None) -> None:
    assert course.name == name
    assert course.architecture.name == (architecture or "ddx7-reduced-violin")


def test_a_name_that_needs_a_patch_or_is_none_is_told() -> None:
    assert trained_name("ddx7-full", "piano") == "ddx7-full-piano"
    with pytest.raises(UnknownModelError, match="name the patch, ddx7-full-violin or"):
        _ = Course("ddx7-full", "cello").architecture


@pytest.mark.slow
def test_teacher_and_students_are_trained_on_a_folder_of_recordings_and_can_be_exported(takes: Path) -> None:
    done = tonearm("train", "ddx7-reduced-flute", "--data", takes, *SHORT)
    file = Path("trained/ddx7-reduced-flute-my-takes.safetensors")
    assert done.stdout.startswith(f"{file}: MSS ") and "it began with; float" in done.stdout
    assert "4 recordings, 6 s, of my takes: 2 phrases to learn from, 1 to validate" in done.stderr
    card = read_card(file.with_suffix(".json"))
    assert (card.name, card.model, card.method, card.steps) == (file.stem, "ddx7-reduced-flute", "plain", 2)
    assert list(card.validation) == ["1", "2"]
    for method, suffix in (("audio", "+ad"), ("control", "+cd")):
        teacher = ("--teacher", "ddx7-reduced-flute", "--method", method)
        tonearm("distill", "ddx7-reduced-flute", *teacher, "--data", takes, *SHORT)
        student = file.with_name(f"{file.stem}{suffix}.safetensors")
        assert json.loads(student.with_suffix(".json").read_text())["teacher"] == "ddx7-reduced-flute"
        assert student.read_bytes() != file.read_bytes()
    assert {path.suffix for path in file.parent.iterdir()} == {".safetensors", ".json"}
    assert load("ddx7-reduced-flute", file).parameters_by_part() == load("ddx7-reduced-flute").parameters_by_part()
    again = tonearm("train", "ddx7-reduced-flute", "--data", takes, *SHORT, status=1).stderr.splitlines()[-1]
    assert again == f"tonearm: {file} exists already: remove it to train again, or name another folder with -o"


def test_a_teacher_that_nobody_has_trained_is_asked_for(takes: Path) -> None:
    how = ("--teacher", "hpn-156", "--method", "audio", "--data", takes, *SHORT)
    line = tonearm("distill", "hpn-reduced", *how, status=1).stderr.splitlines()[-1]
    assert "no weights of hpn-156-my-takes to learn from: train it first (tonearm train hpn-156" in line


def test_a_wrong_name_is_told_before_recordings_are_read(takes: Path) -> None:
    done = tonearm("train", "hpn-fool", "--data", takes, status=1)
    assert "unknown model 'hpn-fool': did you mean hpn-full" in done.stderr
    assert "get the recordings ready" not in done.stderr


def test_a_student_of_ones_own_recordings_can_learn_from_a_teacher_that_comes_along(takes: Path) -> None:
    how = ("--teacher", "ddx7-full-flute", "--method", "control", "--data", takes, *SHORT)
    process("distill", "ddx7-reduced-flute", *how)
    assert read_card(Path("trained/ddx7-reduced-flute-my-takes+cd.json")).teacher == "ddx7-full-flute"


def test_what_a_teachers_file_holds_besides_is_said(takes: Path) -> None:
    state = load("ddx7-reduced-flute").state_dict()
    torch.save({"model": state, "ema": state}, "teacher.pt")
    how = ("--teacher", "ddx7-reduced-flute=teacher.pt", "--method", "control", "--data", takes, *SHORT)
    said = "teacher.pt: other weights are there too, ema: export and convert take them with --weights ema"
    assert said in tonearm("distill", "ddx7-reduced-flute", *how).stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("train", "hpn-reduced-flute+cd"),
            "hpn-reduced-flute+cd names trained weights: to train from scratch, use",
        ),
        (
            ("distill", "hpn-reduced", "--method", "audio", "--teacher", "wavetable-full-flute"),
            "is of another family than",
        ),
    ],
)
def test_what_can_not_be_trained_is_told_before_recordings_are_read(takes: Path, command: tuple, said: str) -> None:
    done = tonearm(*command, "--data", takes, status=1)
    assert said in done.stderr.splitlines()[-1]
    assert "get the recordings ready" not in done.stderr


@pytest.mark.slow
def test_an_interrupted_training_ends_its_step_and_goes_on_from_there(takes: Path) -> None:
    command = ("train", "hpn-reduced", "--data", takes, "--steps", 60, "--batch", 1, "--seconds", 0.2)
    with subprocess.Popen(program(*command), stderr=subprocess.PIPE, text=True) as training:
        assert training.stderr
        for line in training.stderr:
            if line.startswith("  step 6 of 60"):
                training.send_signal(signal.SIGINT)
                break
        rest = training.stderr.read()
        assert training.wait(60) == 130
    [stopped] = [int(line.split()[3]) for line in rest.splitlines() if line.startswith("stopped after step ")]
    assert "Traceback" not in rest and 6 <= stopped < 60
    kept = torch.load("trained/hpn-reduced-my-takes.run", weights_only=True)
    assert len(kept["losses"]) == stopped
    done = tonearm(*command)
    assert "step 6 of 60" not in done.stderr and "step 60 of 60" in done.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "0.05", "9", "x"])
def test_a_clip_that_is_none_is_wrong_usage(takes: Path, seconds: str) -> None:
    assert "--seconds" in tonearm("train", "hpn-reduced", "--data", takes, "--seconds", seconds, status=2).stderr


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (np.zeros(SAMPLE_RATE), SAMPLE_RATE, "is silent"),
        (np.clip(50 * tone(np.full(SAMPLE_RATE, 100.0)), -1, 1), SAMPLE_RATE, "is clipped"),
        (tone(np.full(SAMPLE_RATE, 200.0)), 44_100, "has 1 channel at 44100 Hz, a model needs 1 channel at 16000 Hz"),
        (np.full(SAMPLE_RATE, np.nan), SAMPLE_RATE, "has samples that are not numbers"),
    ],
)
def test_bad_recordings_are_refused_by_name(takes: Path, samples: np.ndarray, rate: int, said: str) -> None:
    soundfile.write(takes / "bad one.wav", samples, rate, subtype="FLOAT")
    line = tonearm("train", "hpn-reduced", "--data", takes, *SHORT, status=1).stderr.splitlines()[-1]
    assert f"bad one.wav {said}" in line
    assert not Path("trained").exists()
