"""A student learns from its teacher as well as from the recordings, as in "Distilling DDSP" (JAES 73, 2025).

Audio distillation (AD): the student's sound is compared with the recording's and with the teacher's.
Control distillation (CD): its sound with the recording's, and its synthesizer controls with the teacher's.

The teacher plays each phrase once, from its start: a clip of it is what it does there, knowing what came before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..export.streaming import Signals
from .controls import exp_sigmoid
from .dataset import Phrase
from .errors import TrainingError
from .family import HOP, Family
from .spectral import multi_scale_spectral
from .training import Batch, Loss, controls_of, sound
from .wavetable import WavetableSynthesizer

METHODS = {"audio": "ad", "control": "cd"}


class Teacher:
    """What a trained model does with some phrases."""

    def __init__(self, model: Family, phrases: Sequence[Phrase]) -> None:
        self.model, self.phrases = model.eval(), phrases
        self._played: dict[int, tuple[Tensor, Tensor]] = {}

    def played(self, number: int) -> tuple[Tensor, Tensor]:
        """Raw controls `(frames, n)` and audio `(samples,)` of a phrase, computed at the first call."""
        if number not in self._played:
            phrase = self.phrases[number]
            self._played[number] = controls_of(self.model, phrase), sound(self.model, phrase)
        return self._played[number]

    def clips(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Raw controls `(batch, frames, n)` and audio `(batch, samples)` at the clips of a batch."""
        frames, samples = batch.inputs["f0_hz"].shape[1], batch.audio.shape[1]
        places = list(zip(batch.phrases, batch.starts, strict=True))
        controls = [self.played(number)[0][start : start + frames] for number, start in places]
        audio = [self.played(number)[1][start * HOP : start * HOP + samples] for number, start in places]
        return torch.stack(controls), torch.stack(audio)


def distillation_loss(method: str, teacher: Teacher) -> Loss:
    """The loss of a student.

    audio: `.5 MSS(student, recording) + .5 MSS(teacher, student)`;
    control: `.5 MSS(student, recording) + sum over heads of L1(exp_sigmoid(teacher), exp_sigmoid(student))`.
    """

    def loss(batch: Batch, parts: Signals) -> Tensor:
        controls, audio = teacher.clips(batch)
        from_recording = 0.5 * multi_scale_spectral(batch.audio, parts["audio"])
        if method == "audio":
            return from_recording + 0.5 * multi_scale_spectral(audio, parts["audio"])
        heads = zip(teacher.model.split(controls), teacher.model.split(parts["controls"]), strict=True)
        return from_recording + sum((exp_sigmoid(t) - exp_sigmoid(s)).abs().mean() for t, s in heads)

    return loss


def prepare_student(student: Family, teacher: Family) -> None:
    """Check that the two go together; a wavetable student gets its teacher's tables, which stay as they are.

    Attention to a table says something to the student only if it is the same table.

    Raises:
        TrainingError: when they are of different families, or have other heads or another patch.
    """
    kinds = [(type(m), m.decoder.heads, getattr(m.synth, "patch", None)) for m in (student, teacher)]
    if kinds[0] != kinds[1]:
        raise TrainingError("a student learns from a teacher of its own family, with the same heads and the same patch")
    if isinstance(student.synth, WavetableSynthesizer) and isinstance(teacher.synth, WavetableSynthesizer):
        student.synth.wavetables.load_state_dict(teacher.synth.wavetables.state_dict())
        student.synth.wavetables.requires_grad_(False)
