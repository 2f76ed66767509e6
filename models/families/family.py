"""The base class of the families: controls go through a decoder and a synthesizer, then through a reverb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from ...export.streaming import Signals, StreamingModule, count_parameters
from ...runtime.clip import uniform_noise
from ..constants import HOP, SAMPLE_RATE
from .controls import Scaling, example_controls
from .reverb import Reverb
from .stateful import Stateful, zero_states_of

if TYPE_CHECKING:
    from ..model import Model


class Family(StreamingModule):
    """A decoder, a synthesizer and, in the published layout inside the synthesizer, a reverb.

    `heads` are the published names of the raw controls.

    `decoder(f0_scaled, loudness_scaled, states)` gives the raw controls, `synth(controls, f0_hz, noise, states)` the
    sound's parts by name, `dry` among them; each returns its states as well, and has `zero_states(batch)`.

    A family is a subclass with `build`, `width_of` and `wanted_controls`, and an entry in `catalogue.FAMILIES`.
    """

    sample_rate: int = SAMPLE_RATE
    hop: int = HOP
    outputs: Mapping[str, int] = {"audio": HOP}
    noisy: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]]

    def __init__(self, decoder: Stateful, synth: Stateful, *, causal: bool, reverb: bool) -> None:
        super().__init__()
        self.scale, self.decoder, self.synth = Scaling(), decoder, synth
        self.latency = 0 if causal else HOP // 2
        self.noise = ("noise",) if self.noisy else ()
        self.inputs = {"f0_hz": 1, "loudness_db": 1, **dict.fromkeys(self.noise, HOP)}
        self.synth.add_module("reverb", Reverb(SAMPLE_RATE, HOP) if reverb else None)
        self.state_names = list(self.zero_states())

    @classmethod
    def build(cls, model: Model, state: Mapping[str, Tensor], **options: bool) -> Self:
        """The model with torch's random weights.

        Args:
            model: an entry of the catalogue, of this family.
            state: the weights that it is to take, for sizes that only they tell; empty for a model without.
            options: `causal`, `reverb`, and `full_noise` where the family has noise.

        Raises:
            VariantError: for an option that the family does not have.
            CheckpointError: for weights of sizes that the family can't have.
        """
        raise NotImplementedError

    @classmethod
    def width_of(cls, state: Mapping[str, Tensor]) -> int:
        """The decoder's width in weights of this family, 0 for those of another."""
        raise NotImplementedError

    @classmethod
    def mismatch(cls, model: Model, state: Mapping[str, Tensor]) -> str:
        """A difference between weights and `model` that shapes do not show, in words; "" where there is none."""
        return ""

    def wanted_controls(self, loudness_db: Tensor) -> Tensor:
        """Raw controls that an untrained decoder is fitted to: `loudness_db (frames, 1)` to `(frames, n)`."""
        raise NotImplementedError

    def take_over(self, teacher: Family) -> None:
        """Copy from the teacher what a student shares with it, and stop its training; a family may share nothing."""

    @property
    def reverb(self) -> Reverb | None:
        """None where the model has been made without."""
        return self.synth.reverb  # type: ignore[return-value]

    def parameters_by_part(self) -> dict[str, int]:
        """Decoder, synthesizer and reverb."""
        reverb = 0 if self.reverb is None else count_parameters(self.reverb)
        parts = {"decoder": count_parameters(self.decoder), "synth": count_parameters(self.synth) - reverb}
        return {**parts, "reverb": reverb}

    def zero_states(self, batch: int = 1) -> Signals:
        """Of decoder, synthesizer and reverb, before the first block."""
        return zero_states_of(self, batch)

    def example(self, frames: int) -> Signals:
        """Notes with vibrato, attacks, decays and rests, `(1, frames, width)`."""
        f0_hz, loudness_db = example_controls(frames, SAMPLE_RATE / HOP)
        noise = {name: torch.from_numpy(uniform_noise(frames, HOP)) for name in self.noise}
        return {"f0_hz": f0_hz, "loudness_db": loudness_db, **noise}

    def split(self, controls: Tensor) -> tuple[Tensor, ...]:
        """Raw controls `(batch, frames, n)`, one for each of `heads`."""
        widths: tuple[int, ...] = self.decoder.heads  # type: ignore[assignment]
        return torch.split(controls, list(widths), 2)

    def parts(self, inputs: Signals, states: Signals) -> tuple[Signals, Signals]:
        """What `forward` computes, with everything on the way: `controls`, the sound's parts, `dry`, `wet`.

        Returns:
            The parts, each `(batch, frames, width)` and the sounds `latency` late, and the new states.
        """
        f0_scaled, loudness_scaled = self.scale(inputs["f0_hz"], inputs["loudness_db"])
        controls, after = self.decoder(f0_scaled, loudness_scaled, states)
        sounds, more = self.sounds(controls, inputs, states)
        return {"controls": controls, **sounds}, {**after, **more}

    def sounds(self, controls: Tensor, inputs: Signals, states: Signals) -> tuple[Signals, Signals]:
        """The second half of `parts`: from raw controls `(batch, frames, n)` to sound."""
        parts, after = self.synth(controls, inputs["f0_hz"], inputs.get("noise"), states)
        if self.reverb is None:
            return {**parts, "wet": parts["dry"]}, after
        wet, more = self.reverb(parts["dry"], states)
        return {**parts, "wet": wet}, {**after, **more}

    def forward(self, *inputs_and_states: Tensor) -> tuple[Tensor, ...]:
        """See `StreamingModule`."""
        named = dict(zip([*self.inputs, *self.state_names], inputs_and_states, strict=True))
        parts, after = self.parts(named, named)
        return (parts["wet"], *(after[name] for name in self.state_names))
