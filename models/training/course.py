"""One model's training from beginning to end: weights to begin from, teacher, training, and what is kept of it.

```
trained/hpn-reduced-flute+cd.run             while it runs: what it takes to go on
        hpn-reduced-flute+cd.safetensors     when it is done, as float16 where that can't be heard
        hpn-reduced-flute+cd.json            its card
```
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from ...runtime.files import whole
from ..catalogue import MODELS, NAMES, TRAINED, find, load, untrained
from ..errors import TrainingError
from ..families.family import Family
from ..model import Model
from .cards import Card, write_card
from .dataset import DataSet, Phrase, Progress
from .distillation import METHODS, Teacher, distillation_loss, prepare_student
from .train import Loss, Plan, plain_loss, sound, train, validate

SUFFIX = ".safetensors"
QUIETEST_ERROR_DB = -60.0  # of float16, below the sound


@dataclass(frozen=True)
class Course:
    """Which model learns what: `what` is the instrument's or the recordings' name.

    `teacher` is a model's name or NAME=FILE, `method` one of `METHODS`; both are empty without a teacher.
    """

    model: str
    what: str
    teacher: str = ""
    method: str = ""

    @property
    def architecture(self) -> Model:
        """The model without weights; of DDX7 the one with the instrument's patch.

        Raises:
            UnknownModelError: when there is none of that name.
            TrainingError: for a name that stands for weights.
        """
        name = _patched(self.model, self.what)
        if name in TRAINED and name not in MODELS:
            base = name.partition("+")[0].rpartition("-")[0]
            raise TrainingError(f"{name} names trained weights: to train from scratch, use {base}")
        return find(name)

    @property
    def name(self) -> str:
        """`<family>-<size>-<what>[+ad|+cd]`."""
        return trained_name(self.architecture.name, self.what) + (f"+{METHODS[self.method]}" if self.method else "")


def _patched(model: str, what: str) -> str:
    """`ddx7-full` is a name only with its patch."""
    return model if model in NAMES or f"{model}-{what}" not in MODELS else f"{model}-{what}"


def trained_name(model: str, what: str) -> str:
    """The name of a model trained on `what`."""
    model = _patched(model, what)
    return model if model.endswith(f"-{what}") else f"{model}-{what}"


def check(course: Course, folder: Path) -> None:
    """Check names and files, before recordings are read.

    Raises:
        UnknownModelError, TrainingError: as `run`.
    """
    _file(course, folder)
    if course.method:
        _teacher_file(course, folder)


def _file(course: Course, folder: Path) -> Path:
    """Where the weights go."""
    file = folder / f"{course.name}{SUFFIX}"
    if file.exists() and not file.with_suffix(".run").exists():
        raise TrainingError(f"{file} exists already: remove it to train again, or name another folder with -o")
    return file


def run(
    course: Course,
    plan: Plan,
    data: DataSet,
    folder: Path,
    progress: Progress,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[Path, Card]:
    """Train, on a GPU if there is one; the file of the weights and their card.

    `note` hears what the teacher's file held besides.

    Raises:
        TrainingError: when the weights are there already, the teacher is not or does not fit, or the loss is no number.
    """
    file = _file(course, folder)
    kept = file.with_suffix(".run")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = untrained(course.architecture).to(device)
    teacher = load(*_teacher_file(course, folder), note).to(device) if course.method else None
    loss = _loss(course, model, teacher, data)
    progress("listen to the weights it begins with", 0, 1)
    before = validate(model, data.validation)
    done = train(model, data, plan, kept, progress, loss, about=_about(course, data, teacher))
    card = Card(
        course.name,
        course.architecture.name,
        course.method or "plain",
        course.teacher.partition("=")[0],
        data.about,
        data.licence,
        plan.steps,
        plan.batch,
        plan.seconds,
        plan.seed,
        round(before, 3),
        {str(step): round(value, 3) for step, value in done.validation.items()},
        round(done.seconds / 60, 1),
        device,
        write_weights(model, data.validation, file),
    )
    write_card(card, file.with_suffix(".json"))
    kept.unlink()
    return file, card


def write_weights(model: Family, phrases: Sequence[Phrase], file: Path) -> str:
    """Write the weights, whole or not at all, as float16 if all `phrases` sound the same with them; the type's name."""
    state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    learned = dict(model.named_parameters())
    half = {key: value.half() if key in learned else value for key, value in state.items()}
    stored = half if _error_db(model, half, state, phrases) < QUIETEST_ERROR_DB else state
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as part:
        part.write_bytes(safetensors.torch.save(stored, {"format": "pt"}))
    return "float16" if stored is half else "float32"


def _error_db(model: Family, rounded: dict[str, Tensor], state: dict[str, Tensor], phrases: Sequence[Phrase]) -> float:
    """The greatest difference that rounded weights make to a phrase, below the phrase."""
    wanted = [sound(model, phrase) for phrase in phrases]
    model.load_state_dict(rounded)
    differences = [(sound(model, phrase) - whole).norm() for phrase, whole in zip(phrases, wanted, strict=True)]
    model.load_state_dict(state)
    ratios = [difference / whole.norm() for difference, whole in zip(differences, wanted, strict=True)]
    return 20 * float(torch.log10(torch.stack(ratios).max()))


def _about(course: Course, data: DataSet, teacher: Family | None) -> str:
    """The identity of a run, without which a kept one is not resumed: the same recordings, the same teacher."""
    digest = hashlib.sha256()
    for phrase in (*data.train, *data.validation):
        digest.update(phrase.audio.tobytes() + phrase.f0_hz.tobytes() + phrase.loudness_db.tobytes())
    for value in teacher.state_dict().values() if teacher else ():
        digest.update(value.cpu().numpy().tobytes())
    taught = f", {course.method} of {course.teacher}" if teacher else ""
    return f"{course.name} on {data.about}{taught}, sha256 {digest.hexdigest()[:16]}"


def _loss(course: Course, student: Family, teacher: Family | None, data: DataSet) -> Loss:
    if teacher is None:
        return plain_loss
    prepare_student(student, teacher)
    return distillation_loss(course.method, Teacher(teacher, data.train))


def _teacher_file(course: Course, folder: Path) -> tuple[str, Path]:
    """The teacher's name and weights: the file that is given, those in the folder, those that come along."""
    name, _, given = course.teacher.partition("=")
    model = find(_patched(name, course.what))
    if model.family != course.architecture.family:
        raise TrainingError(f"{name} is of another family than {course.model}: a student learns from its own family")
    trained = trained_name(name, course.what)
    files = [Path(given)] if given else [folder / f"{trained}{SUFFIX}", folder / f"{name}{SUFFIX}"]
    files += [packaged for packaged in (_packaged(trained), model.checkpoint) if packaged and not given]
    found = [file for file in files if file.is_file()]
    if given and not found:
        raise TrainingError(f"--teacher {course.teacher}: there is no file {given}")
    if not found:
        raise TrainingError(
            f"no weights of {trained} to learn from: train it first (tonearm train {name} with the same data and -o), "
            f"or name their file: --teacher {name}=FILE"
        )
    return model.name, found[0]


def _packaged(name: str) -> Path | None:
    return find(name).checkpoint if name in NAMES else None
