"""One model's training from beginning to end: weights to begin from, teacher, training, and what is kept of it.

```
trained/hpn-reduced-flute+cd.run             while it runs: what it takes to go on
        hpn-reduced-flute+cd.safetensors     when it is done, and a .json with the card
```
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from .cards import Card, write_card, write_weights
from .catalogue import MODELS, NAMES, SEED, Model, build, find, load, untrained
from .dataset import DataSet, Report
from .distillation import METHODS, Teacher, distillation_loss, prepare_student
from .errors import TrainingError
from .family import Family
from .training import Loss, Plan, plain_loss, train, validate

SUFFIX = ".safetensors"


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
        """The model without weights; of DDX7 the one with the instrument's patch."""
        return find(_patched(self.model, self.what))

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


def run(course: Course, plan: Plan, data: DataSet, folder: Path, report: Report) -> tuple[Path, Card]:
    """Train, on a GPU if there is one; the file of the weights and their card.

    Raises:
        TrainingError: when the weights are there already, the teacher is not or does not fit, or the loss is no number.
    """
    file = folder / f"{course.name}{SUFFIX}"
    if file.exists():
        raise TrainingError(f"{file} is there already: remove it to train again, or name another folder with -o")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = untrained(course.architecture).to(device)
    loss = _loss(course, model, data, folder, device)
    report("listen to random weights", 0, 1)
    before = validate(_random(course.architecture).to(device), data.validation)
    kept = file.with_suffix(".run")
    done = train(model, data, plan, kept, report, loss, about=_about(course, data))
    card = Card(
        course.name,
        course.architecture.name,
        course.method or "plain",
        course.teacher,
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
        write_weights(model, data.validation[0], file),
    )
    write_card(card, file.with_suffix(".json"))
    kept.unlink()
    return file, card


def _about(course: Course, data: DataSet) -> str:
    taught = f", {course.method} of {course.teacher}" if course.method else ""
    return f"{course.name} on {data.about}{taught}"


def _random(architecture: Model) -> Family:
    """Torch's own random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build(architecture).eval()


def _loss(course: Course, student: Family, data: DataSet, folder: Path, device: str) -> Loss:
    if not course.method:
        return plain_loss
    teacher = _teacher(course, folder).to(device)
    prepare_student(student, teacher)
    return distillation_loss(course.method, Teacher(teacher, data.train))


def _teacher(course: Course, folder: Path) -> Family:
    """By its name, with its weights from the file that is given, from the folder, or those it comes with."""
    name, _, given = course.teacher.partition("=")
    trained = trained_name(name, course.what)
    in_folder = folder / f"{trained}{SUFFIX}"
    if given or in_folder.is_file():
        return load(_patched(name, course.what), Path(given) if given else in_folder)
    if trained not in NAMES or find(trained).checkpoint is None:
        raise TrainingError(
            f"no weights of {trained} to learn from: train it first (tonearm train {name} with the same data and -o), "
            f"or name their file: --teacher {name}=FILE"
        )
    return load(trained)
