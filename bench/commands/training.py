"""Commands that train models."""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...device.text import printable
from ...runtime.progress import Progress
from .. import bundles
from ..interrupts import sparing
from ..names import plain_name
from ..output.console import out, say, stage

if TYPE_CHECKING:
    from ...models.training.dataset import DataSet


def train(options: argparse.Namespace) -> None:
    """Train a model."""
    _run(options, "", "")


def distill(options: argparse.Namespace) -> None:
    """Train a student with its teacher."""
    _run(options, options.teacher, options.method)


def _run(options: argparse.Namespace, teacher: str, method: str) -> None:
    """Train, write weights and card, say how it went and what to do with them."""
    with bundles.needing_extra("training", "train"):
        from ...models.training import soundfont  # noqa: F401  which needs packages of its own
        from ...models.training.cards import last_validation
        from ...models.training.course import Course, check, run
        from ...models.training.train import Plan
    what = options.instrument or plain_name(options.data.resolve().name)
    course = Course(options.model, what, teacher, method)
    plan = Plan(options.steps, options.batch, options.seconds, options.seed)
    check(course, options.output)  # before recordings are read
    with stage("get the recordings ready") as progress:
        data = _data(options, progress)
    say(f"  {data.about}: {len(data.train)} phrases to learn from, {len(data.validation)} to validate")
    with stage(f"train {course.name}") as progress, _asking_to_stop() as is_asked:
        told = _telling(progress, is_asked)
        file, card = run(course, plan, data, options.output, told, lambda line: say(f"{teacher}: {printable(line)}"))
    last = last_validation(card)
    share = f"{last / card.untrained:.0%} of the {card.untrained:.2f} it began with"
    out.print(f"{file}: MSS {last:.2f} on validation phrases, {share}; {card.stored_as}", soft_wrap=True)
    say(f"next: tonearm export {course.architecture.name} --checkpoint {file} -o bundles/{course.name}")


@contextlib.contextmanager
def _asking_to_stop() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C lets the step end, so that nothing is lost; the second one stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        with sparing(signal.SIGINT):
            yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def _telling(progress: Progress, is_asked: Callable[[], bool]) -> Progress:
    """The same report, with a line at each validation for those who do not watch the bar: how far, how long still.

    Where a stop is asked for, it interrupts.
    """
    from ...models.training.train import is_checked

    begun: list[tuple[int, float]] = []

    def tell(text: str, done: int, total: int) -> None:
        progress(text, done, total)
        if is_asked():
            say(f"stopped after step {done} of {total}: the same command goes on from there")
            raise KeyboardInterrupt
        if total <= 1:  # what goes before the steps
            return
        begun.append((done, time.monotonic()))
        del begun[1:-1]
        if is_checked(done - 1, total) and len(begun) == 2:
            (first, start), (_, now) = begun
            left = (now - start) / max(1, done - first) * (total - done)
            still = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"
            say(f"  step {done} of {total}: {text}; {still} left")

    return tell


def _data(options: argparse.Namespace, progress: Progress) -> DataSet:
    from ...models.training.dataset import folder_data, instrument_data

    return instrument_data(options.instrument, progress) if options.instrument else folder_data(options.data, progress)
