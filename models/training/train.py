"""Teach a model to sound like recordings; stop and go on at any time.

The paper's recipe (MSS loss, AdamW, gradients clipped), with shorter clips and fewer steps, so that two processor
cores can do it. What differs from the paper because of that: each clip starts from zero states at a random place, so
the gradient sees no further back than its start; and the learning rate falls to nothing in the last third of the
steps, which a run of 120 000 can do without.

What a step does depends on the seed and its number alone: a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...export.streaming import Signals, first_states, render
from ...runtime.clip import uniform_noise
from ...runtime.files import whole
from ...runtime.progress import Progress
from ..constants import HOP, SAMPLE_RATE
from ..errors import TrainingError
from ..families.controls import scale_f0, scale_loudness
from ..families.family import Family
from ..sound.spectral import multi_scale_spectral
from .dataset import DataSet, Phrase

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01
DECAY, DECAY_STEPS = 0.98, 10_000
WARM_UP = 100
COOLDOWN = 1 / 3  # of all steps
LONGEST_GRADIENT = 3.0
KEEP_SECONDS = 60.0
CHECKS = 10  # validations in a run

Parts = Signals
Loss = Callable[["Batch", Parts], Tensor]


@dataclass(frozen=True)
class Batch:
    """Clips out of some phrases: which, from which frame, and as the model takes them."""

    phrases: Sequence[int]
    starts: Sequence[int]
    inputs: Signals
    audio: Tensor  # (batch, samples)


@dataclass(frozen=True)
class Plan:
    """The length of a training, and its clips."""

    steps: int
    batch: int = 8
    seconds: float = 1.0
    seed: int = 0

    @property
    def frames(self) -> int:
        """Of a clip."""
        return int(self.seconds * SAMPLE_RATE / HOP)


@dataclass(frozen=True)
class Trained:
    """The state of a run: the losses of its steps so far and, by step, those of the validation."""

    losses: list[float]
    validation: dict[int, float]
    seconds: float


def plain_loss(batch: Batch, parts: Parts) -> Tensor:
    """MSS between the recording and the model."""
    return multi_scale_spectral(batch.audio, parts["audio"])


def train(
    model: Family,
    data: DataSet,
    plan: Plan,
    file: Path,
    progress: Progress,
    loss: Loss = plain_loss,
    about: str = "",
    keep_seconds: float = KEEP_SECONDS,
) -> Trained:
    """Train `model` in place; the run is kept in `file` now and then, and goes on from there.

    Args:
        model: with the weights to begin from; on the device to train on.
        data: what to learn from; `loss` gets the numbers of its phrases in `Batch.phrases`.
        plan: how long, on what clips.
        file: where the run is kept.
        progress: told how far it is.
        loss: of a batch and of the model's parts, `audio (batch, samples)` among them.
        about: what the run is about; a kept one about something else is not gone on with.
        keep_seconds: how much can be lost when it is stopped.

    Raises:
        TrainingError: when `file` holds another run, or the loss is no longer a number.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, plan.steps))
    run = f"{about}; {plan}"
    so_far = _resume(file, run, model, optimizer, schedule)
    start = kept = time.monotonic()
    _set_training(model)
    for step in range(len(so_far.losses), plan.steps):
        value = _step(model, optimizer, parameters, draw(data.train, plan, step, model), loss)
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss or its gradient is {value} at step {step}: {file} holds the run before that step; "
                "train again with another --seed and another folder (-o)"
            )
        schedule.step()
        so_far.losses.append(value)
        if is_checked(step, plan.steps):
            so_far.validation[step + 1] = validate(model, data.validation)
            _set_training(model)
        text = f"MSS {np.mean(so_far.losses[-50:]):.2f}" + _last(so_far.validation)
        try:
            progress(text, step + 1, plan.steps)
        finally:  # an interruption between two steps loses none
            if sys.exc_info()[0] or time.monotonic() - kept >= keep_seconds or step + 1 == plan.steps:
                kept = time.monotonic()
                so_far = Trained(so_far.losses, so_far.validation, so_far.seconds + kept - start)
                start = kept
                _keep(file, run, model, optimizer, schedule, so_far)
    model.eval()
    return so_far


def _set_training(model: Family) -> None:
    """Without dropout: what it does to FM levels is noise between the harmonics.

    The loss rewards that where a recording has noise there, and it is gone when the model plays. Only a GRU has to
    be in training mode, which CUDA wants for the gradient and which changes nothing in it.
    """
    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.RNNBase):
            module.train()


def _last(validation: dict[int, float]) -> str:
    return f", validation {list(validation.values())[-1]:.2f}" if validation else ""


def is_checked(step: int, steps: int) -> bool:
    """Whether the model is validated after this step."""
    return (step + 1) % max(1, steps // CHECKS) == 0 or step + 1 == steps


def learning_rate(step: int, steps: int) -> float:
    """Of the first, at that step: the paper's slow decay, after a warm-up, and to nothing in the last third.

    Without the warm-up the first steps throw a wide decoder far from the weights it begins with.
    """
    left = (steps - step) / max(1.0, steps * COOLDOWN)
    return DECAY ** (step / DECAY_STEPS) * min(1.0, (step + 1) / WARM_UP, left)


def draw(phrases: Sequence[Phrase], plan: Plan, step: int, model: Family) -> Batch:
    """The clips of that step, each from a random place of a random phrase."""
    random = np.random.default_rng([plan.seed, step])
    chosen = random.integers(len(phrases), size=plan.batch)
    starts = [int(random.integers(max(1, len(phrases[i].f0_hz) - plan.frames + 1))) for i in chosen]
    frames = min(plan.frames, *(len(phrases[i].f0_hz) for i in chosen))
    clips = [_clip(phrases[i], start, frames) for i, start in zip(chosen, starts, strict=True)]
    device = next(model.parameters()).device
    inputs = {
        name: torch.stack([clip[name] for clip in clips])[..., None].to(device) for name in ("f0_hz", "loudness_db")
    }
    if model.noise:
        noise = random.uniform(-1, 1, (plan.batch, frames, HOP)).astype(np.float32)
        inputs["noise"] = torch.from_numpy(noise).to(device)
    return Batch(list(chosen), starts, inputs, torch.stack([clip["audio"] for clip in clips]).to(device))


def _clip(phrase: Phrase, start: int, frames: int) -> Signals:
    arrays = {
        "f0_hz": phrase.f0_hz[start : start + frames],
        "loudness_db": phrase.loudness_db[start : start + frames],
        "audio": phrase.audio[start * HOP : (start + frames) * HOP],
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _step(model: Family, optimizer: torch.optim.Optimizer, parameters: list, batch: Batch, loss: Loss) -> float:
    """One step down the gradient, if it is a number; the loss before it."""
    parts, _ = model.parts(batch.inputs, first_states(model, batch.inputs))
    parts["audio"] = parts["wet"].flatten(1)[:, model.latency :]
    aligned = Batch(batch.phrases, batch.starts, batch.inputs, batch.audio[:, : parts["audio"].shape[1]])
    optimizer.zero_grad(set_to_none=True)
    value = loss(aligned, parts)
    value.backward()
    length = torch.nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
    if not torch.isfinite(value + length):
        return math.nan
    optimizer.step()
    return value.item()


def _inputs(model: Family, phrase: Phrase) -> Signals:
    """A whole phrase as the model takes it, `(1, frames, width)` each, with the seeded noise of every render."""
    device = next(model.parameters()).device
    controls = {"f0_hz": phrase.f0_hz, "loudness_db": phrase.loudness_db}
    inputs = {name: torch.from_numpy(control)[None, :, None] for name, control in controls.items()}
    if model.noise:
        inputs["noise"] = torch.from_numpy(uniform_noise(len(phrase.f0_hz), HOP))
    return {name: value.to(device) for name, value in inputs.items()}


def sound(model: Family, phrase: Phrase) -> Tensor:
    """The phrase as the model plays it, `(samples,)`, from its start."""
    return render(model, _inputs(model, phrase))["audio"][0]


def controls_of(model: Family, phrase: Phrase) -> Tensor:
    """The phrase's raw synthesizer controls, `(frames, n)`."""
    inputs = _inputs(model, phrase)
    with torch.no_grad():
        scaled = scale_f0(inputs["f0_hz"]), scale_loudness(inputs["loudness_db"])
        return model.decoder(*scaled, first_states(model, inputs))[0][0]


def validate(model: Family, phrases: Sequence[Phrase]) -> float:
    """The mean MSS of whole phrases; `TrainingError` names one that is played with numbers that are not finite."""
    model.eval()
    device = next(model.parameters()).device
    wanted = [torch.from_numpy(phrase.audio).to(device)[None] for phrase in phrases]
    played = [sound(model, phrase)[None] for phrase in phrases]
    for audio, phrase in zip(played, phrases, strict=True):
        if not audio.isfinite().all():
            raise TrainingError(
                f"the model plays {phrase.name} with numbers that are not finite: train with another --seed"
            )
    losses = [multi_scale_spectral(w, audio) for w, audio in zip(wanted, played, strict=True)]
    return float(torch.stack(losses).mean())


def _keep(file: Path, run: str, model: Family, optimizer, schedule, so_far: Trained) -> None:
    """Write the run whole, or leave the one before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    saved = {
        "run": run,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "losses": so_far.losses,
        "validation": so_far.validation,
        "seconds": so_far.seconds,
    }
    try:
        with whole(file) as part:
            torch.save(saved, part)
    except RuntimeError as error:  # what torch makes of a full disk
        raise TrainingError(f"{file} can't be written: {error}") from error


def _resume(file: Path, run: str, model: Family, optimizer, schedule) -> Trained:
    """Go on with the run in `file`, if there is one."""
    if not file.is_file():
        return Trained([], {}, 0.0)
    try:
        saved = torch.load(file, weights_only=True, map_location=next(model.parameters()).device)
        found = str(saved["run"])
        so_far = Trained(saved["losses"], saved["validation"], saved["seconds"])
        if found == run:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
    except Exception as error:
        raise TrainingError(f"{file} can't be read: {error!r}; remove it to train from scratch") from error
    if found != run:
        raise TrainingError(f"{file} holds another run ({found}), not ({run}): name another folder with -o")
    return so_far
