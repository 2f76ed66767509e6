"""A student learns from its teacher as well as from the recordings, as in "Distilling DDSP" (JAES 73, 2025).

Audio distillation (AD): the student's sound is compared with the recording's and with the teacher's.
Control distillation (CD): its sound with the recording's, and its synthesizer controls with the teacher's.

The teacher plays each phrase once, from its start: a clip of it is what it does there, knowing what came before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...export.streaming import Signals
from ..constants import HOP
from ..errors import TrainingError
from ..families.controls import exp_sigmoid
from ..families.family import Family
from ..sound.spectral import multi_scale_spectral
from .dataset import Phrase
from .train import Batch, Loss, controls_of, sound

METHODS = {"audio": "ad", "control": "cd"}


class Teacher:
    """A trained model's sound and controls for some phrases, each computed once."""

    def __init__(self, model: Family, phrases: Sequence[Phrase]) -> None:
        self.model, self.phrases = model.eval(), phrases
        self._controls: dict[int, Tensor] = {}
        self._audio: dict[int, Tensor] = {}

    def controls(self, batch: Batch) -> Tensor:
        """Raw controls at the clips of a batch, `(batch, frames, n)`; a phrase's are computed once."""
        frames = batch.inputs["f0_hz"].shape[1]
        for number in set(batch.phrases) - set(self._controls):
            self._controls[number] = controls_of(self.model, self.phrases[number])
        places = zip(batch.phrases, batch.starts, strict=True)
        return torch.stack([self._controls[number][start : start + frames] for number, start in places])

    def audio(self, batch: Batch) -> Tensor:
        """Its sound at the clips of a batch, `(batch, samples)`; a phrase's is computed once."""
        samples = batch.audio.shape[1]
        for number in set(batch.phrases) - set(self._audio):
            self._audio[number] = sound(self.model, self.phrases[number])
        places = zip(batch.phrases, batch.starts, strict=True)
        return torch.stack([self._audio[number][start * HOP : start * HOP + samples] for number, start in places])


def distillation_loss(method: str, teacher: Teacher) -> Loss:
    """The loss of a student.

    audio: `.5 MSS(student, recording) + .5 MSS(teacher, student)`;
    control: `.5 MSS(student, recording) + sum over heads of L1(exp_sigmoid(teacher), exp_sigmoid(student))`.
    """

    def loss(batch: Batch, parts: Signals) -> Tensor:
        from_recording = 0.5 * multi_scale_spectral(batch.audio, parts["audio"])
        if method == "audio":
            return from_recording + 0.5 * multi_scale_spectral(teacher.audio(batch), parts["audio"])
        heads = zip(teacher.model.split(teacher.controls(batch)), teacher.model.split(parts["controls"]), strict=True)
        return from_recording + sum((exp_sigmoid(t) - exp_sigmoid(s)).abs().mean() for t, s in heads)

    return loss


def prepare_student(student: Family, teacher: Family) -> None:
    """Check that the two go together, and let the student take over what its family shares with a teacher.

    Raises:
        TrainingError: when they are of different families, or have other heads or another patch.
    """
    kinds = [(type(m), m.decoder.heads, getattr(m.synth, "patch", None)) for m in (student, teacher)]
    if kinds[0] != kinds[1]:
        raise TrainingError("a student learns from a teacher of its own family, with the same heads and the same patch")
    student.take_over(teacher)
