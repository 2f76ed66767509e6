"""Commands that train models."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import bundles
from .arguments import Commands, add_command, natural, plain_name, positive
from .console import Report, out, say, stage

if TYPE_CHECKING:
    from ..models.dataset import DataSet

STEPS = 1000
FOLDER = Path("trained")


def add_train(commands: Commands) -> None:
    """`tonearm train`."""
    command = add_command(
        commands,
        "train",
        "train a model on an instrument or on recordings; goes on where it was stopped",
        "train hpn-full --instrument flute\n  tonearm train ddx7-reduced-violin --data recordings --steps 5000",
    )
    command.add_argument("model", metavar="MODEL", help="a model's name (see: tonearm models)")
    _add_how(command)
    command.set_defaults(run=_train)


def add_distill(commands: Commands) -> None:
    """`tonearm distill`."""
    command = add_command(
        commands,
        "distill",
        "train a student that learns from its teacher, too; goes on where it was stopped",
        "distill hpn-reduced --teacher hpn-full --method control --instrument flute",
    )
    command.add_argument("model", metavar="STUDENT", help="a model's name (see: tonearm models)")
    command.add_argument(
        "--teacher",
        required=True,
        metavar="MODEL[=FILE]",
        help="a trained model of the same family: its name, with its weights if they are neither in the output folder "
        "nor come with Tonearm",
    )
    command.add_argument(
        "--method",
        required=True,
        choices=("audio", "control"),
        help="learn from the teacher's sound, or from its synthesizer controls",
    )
    _add_how(command)
    command.set_defaults(run=_distill)


def _add_how(command: argparse.ArgumentParser) -> None:
    data = command.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--instrument",
        choices=("flute", "trumpet", "violin", "piano"),
        help="100 made-up phrases of a sampled instrument; needs FluidSynth and its soundfont",
    )
    data.add_argument("--data", type=Path, metavar="DIR", help="a folder of .wav files: one voice, mono, 16 kHz, dry")
    command.add_argument("--steps", type=positive, default=STEPS, metavar="N", help=f"default: {STEPS}")
    command.add_argument("--batch", type=positive, default=8, metavar="N", help="clips a step (default: 8)")
    command.add_argument("--seconds", type=float, default=1.0, metavar="S", help="length of a clip (default: 1)")
    command.add_argument("--seed", type=natural, default=0, metavar="N", help="of clips and noise (default: 0)")
    command.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="DIR", help=f"default: {FOLDER}")


def _train(options: argparse.Namespace) -> None:
    _run(options, "", "")


def _distill(options: argparse.Namespace) -> None:
    _run(options, options.teacher, options.method)


def _run(options: argparse.Namespace, teacher: str, method: str) -> None:
    """Train, write weights and card, say how it went and what to do with them."""
    with bundles.needing_extra("training", "train"):
        from ..models.course import Course, run
        from ..models.training import Plan
    what = options.instrument or plain_name(options.data.resolve().name)
    course = Course(options.model, what, teacher, method)
    plan = Plan(options.steps, options.batch, options.seconds, options.seed)
    course.architecture  # noqa: B018  a wrong name is told before recordings are read
    with stage("get the recordings ready") as report:
        data = _data(options, report)
    say(f"  {data.about}: {len(data.train)} phrases to learn from, {len(data.validation)} to validate")
    with stage(f"train {course.name}") as report:
        file, card = run(course, plan, data, options.output, _telling(report))
    last = list(card.validation.values())[-1]
    share = f"{last / card.untrained:.0%} of the {card.untrained:.2f} of random weights"
    out.print(f"{file}: MSS {last:.2f} on validation phrases, {share}; {card.stored_as}", soft_wrap=True)
    say(f"next: tonearm export {course.architecture.name} --checkpoint {file} -o bundles/{course.name}")


def _telling(report: Report) -> Report:
    """The same report, with a line at each validation for those who do not watch the bar: how far, how long still."""
    from ..models.training import is_checked

    begun: list[tuple[int, float]] = []

    def tell(text: str, done: int, total: int) -> None:
        report(text, done, total)
        begun.append((done, time.monotonic()))
        del begun[1:-1]
        if total > 1 and is_checked(done - 1, total) and len(begun) == 2:
            (first, start), (_, now) = begun
            left = (now - start) / max(1, done - first) * (total - done)
            say(f"  step {done} of {total}: {text}; {left / 60:.0f} min left")

    return tell


def _data(options: argparse.Namespace, report: Report) -> DataSet:
    from ..models.dataset import folder_data, instrument_data

    return instrument_data(options.instrument, report) if options.instrument else folder_data(options.data, report)
