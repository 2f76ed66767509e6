"""A student learns from its teacher: both losses as the paper has them, and the tables it takes over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sounds import small_data
from tonearm.models.constants import HOP
from tonearm.models.errors import TrainingError
from tonearm.models.families.controls import exp_sigmoid
from tonearm.models.families.ddx7 import DDX7, PATCHES
from tonearm.models.families.family import Family
from tonearm.models.families.hpn import HpN
from tonearm.models.families.wavetable import Wavetable
from tonearm.models.sound.spectral import multi_scale_spectral
from tonearm.models.training.distillation import Teacher, distillation_loss, prepare_student
from tonearm.models.training.train import Batch, Plan, controls_of, draw, sound, train

DATA = small_data()
PLAN = Plan(2, batch=3, seconds=0.3)


def hpn(hidden: int, harmonics: int = 8) -> Family:
    torch.manual_seed(hidden)
    return HpN(hidden, harmonics, 33, reverb=False).eval()


def wavetable(hidden: int) -> Family:
    torch.manual_seed(hidden)
    return Wavetable(hidden, 33, reverb=False).eval()


def ddx7(patch: str, width: int) -> Family:
    torch.manual_seed(width)
    return DDX7(PATCHES[patch], width, 3, reverb=False).eval()


def played(student: Family) -> tuple[Batch, dict[str, torch.Tensor]]:
    """A batch, and random parts of a student."""
    batch = draw(DATA.train, PLAN, 0, student)
    frames, samples = batch.inputs["f0_hz"].shape[1], batch.audio.shape[1]
    random = torch.Generator().manual_seed(0)
    width = sum(student.decoder.heads)  # type: ignore[arg-type]
    parts = {"controls": (3, frames, width), "audio": (3, samples)}
    return batch, {name: torch.randn(shape, generator=random) for name, shape in parts.items()}


def at(teacher: Family, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """What the teacher does at the batch's clips, cut out of whole phrases by hand."""
    controls, audio = [], []
    for number, start in zip(batch.phrases, batch.starts, strict=True):
        whole = DATA.train[number]
        controls.append(controls_of(teacher, whole)[start : start + 75])
        audio.append(sound(teacher, whole)[start * HOP : (start + 75) * HOP])
    return torch.stack(controls), torch.stack(audio)


def test_audio_distillation_is_half_of_each_distance() -> None:
    teacher = hpn(8)
    batch, parts = played(hpn(4))
    _, audio = at(teacher, batch)
    wanted = 0.5 * multi_scale_spectral(batch.audio, parts["audio"]) + 0.5 * multi_scale_spectral(audio, parts["audio"])
    assert distillation_loss("audio", Teacher(teacher, DATA.train))(batch, parts) == pytest.approx(float(wanted))


@pytest.mark.parametrize("make", [hpn, wavetable, lambda width: ddx7("flute", width)])
def test_control_distillation_is_half_of_the_distance_and_that_of_each_head(make) -> None:
    teacher = make(8)
    batch, parts = played(make(4))
    controls, _ = at(teacher, batch)
    distances = [
        (exp_sigmoid(theirs) - exp_sigmoid(ours)).abs().mean()
        for theirs, ours in zip(teacher.split(controls), teacher.split(parts["controls"]), strict=True)
    ]
    wanted = 0.5 * multi_scale_spectral(batch.audio, parts["audio"]) + sum(distances)
    assert len(distances) == len(teacher.heads)
    assert distillation_loss("control", Teacher(teacher, DATA.train))(batch, parts) == pytest.approx(float(wanted))


def test_a_student_with_its_teachers_controls_hears_the_recording_alone() -> None:
    teacher = hpn(8)
    batch, parts = played(teacher)
    parts["controls"] = at(teacher, batch)[0]
    found = distillation_loss("control", Teacher(teacher, DATA.train))(batch, parts)
    assert found == pytest.approx(0.5 * float(multi_scale_spectral(batch.audio, parts["audio"])))


def test_the_teacher_plays_a_phrase_once() -> None:
    teacher, (batch, _) = Teacher(hpn(8), DATA.train), played(hpn(4))
    controls, audio = at(teacher.model, batch)
    for _ in range(2):
        assert torch.equal(teacher.controls(batch), controls)
        assert torch.equal(teacher.audio(batch), audio[:, : batch.audio.shape[1]])
    with torch.no_grad():
        teacher.model.decoder.proj_matrices[0].bias.add_(1)  # type: ignore[index]
    assert torch.equal(teacher.controls(batch), controls)


@pytest.mark.parametrize("method", ["audio", "control"])
def test_a_wavetable_student_keeps_its_teachers_tables(tmp_path: Path, method: str) -> None:
    teacher, student = wavetable(8), wavetable(4)
    tables = teacher.synth.wavetables
    prepare_student(student, teacher)
    before = {key: value.clone() for key, value in student.decoder.state_dict().items()}
    loss = distillation_loss(method, Teacher(teacher, DATA.train))
    train(student, DATA, PLAN, tmp_path / "w.run", lambda *what: None, loss)
    assert torch.equal(student.synth.wavetables(), tables())  # type: ignore[operator]
    assert any(not torch.equal(before[key], value) for key, value in student.decoder.state_dict().items())


@pytest.mark.parametrize(
    ("student", "teacher"),
    [(hpn(4), wavetable(8)), (hpn(4), hpn(8, harmonics=9)), (ddx7("flute", 4), ddx7("violin", 8))],
)
def test_a_teacher_of_another_kind_is_refused(student: Family, teacher: Family) -> None:
    with pytest.raises(TrainingError, match="a teacher of its own family, with the same heads and the same patch"):
        prepare_student(student, teacher)
