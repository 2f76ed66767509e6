"""DDX7: FM synthesis with the routing of a DX7 patch, its operators' levels from a causal convolutional decoder.

Source: Caspe, McPherson, Sandler, DDX7 (2022), and its recipes for the ablations; sizes of "Distilling DDSP"
(Giudici et al., JAES 73, 2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...export.streaming import Signals
from ..constants import HOP, SAMPLE_RATE
from ..errors import VariantError
from .controls import GAIN_DB
from .family import Family
from .oscillator import Phase
from .stateful import Stateful
from .upsampling import Held, before, ramp_weights

if TYPE_CHECKING:
    from ..model import Model

KERNEL = 3
BLOCKS = {128: 5, 64: 3}  # of the teacher ("full") and the student ("reduced"), by width
MAX_LEVEL = 0.32  # highest output of an operator, in multiples of 2 pi; a checkpoint does not say it
# A float32 ratio from 1/2 up times this is a whole number: no operator's phase breaks where the base phase wraps.
PERIOD = 2**24


@dataclass(frozen=True)
class Patch:
    """The routing of operators, by their numbers; a modulator's number is the higher one.

    `ratios` are the operators' frequencies in multiples of f0, OP1 first.
    """

    modulators: dict[int, tuple[int, ...]]
    carriers: tuple[int, ...]
    ratios: tuple[float, ...]


STACKS = {3: (4,), 4: (5,), 5: (6,), 1: (2,)}
PATCHES = {
    "violin": Patch(STACKS, (3, 1), (1, 1, 1, 1, 3, 14)),  # STRINGS 1
    "flute": Patch({5: (6,), 3: (4,), 1: (5, 3, 2)}, (1,), (1, 1, 1, 2, 2, 1.5)),  # FLUTE 1
    "trumpet": Patch({5: (6,), 4: (5,), 1: (4, 3, 2)}, (1,), (1, 1, 1, 1, 3.2, 8.5)),  # BRASS 3
    "piano": Patch({2: (3,), 1: (2,), 4: (6,), 5: (6,)}, (1, 4, 5), (1, 1, 3, 1, 1.58, 1)),  # PIANO 1
    # Ablations, named as their recipes.
    "flute4": Patch({3: (4,), 1: (3, 2)}, (1,), (1, 1, 1, 2)),
    "trumpet4": Patch({3: (4,), 1: (3, 2)}, (1,), (1, 1, 1, 3.2)),
    "1stack4": Patch({3: (4,), 2: (3,), 1: (2,)}, (1,), (1, 1, 3, 14)),
    "2stack2": Patch({3: (4,), 1: (2,)}, (3, 1), (1, 1, 1, 1)),
    "1stack2": Patch({1: (2,)}, (1,), (1, 1)),
}


class CausalConv(Stateful):
    """A dilated convolution over frames with weight norm; its state is the frames it still looks back on."""

    def __init__(self, inputs: int, outputs: int, dilation: int, state: str) -> None:
        super().__init__()
        self.dilation, self.state = dilation, state
        conv = nn.Conv1d(inputs, outputs, KERNEL)
        self.weight_v = nn.Parameter(conv.weight.detach())
        # From PyTorch's variance to He's: else the loudness dies away in the ReLUs of a model that is not trained yet.
        self.weight_g = nn.Parameter(math.sqrt(6) * self.weight_v.detach().norm(dim=(1, 2), keepdim=True))
        self.bias = nn.Parameter(conv.bias.detach())  # type: ignore[union-attr]

    def zero_states(self, batch: int) -> Signals:
        """The last `2 * dilation` frames of input."""
        return {self.state: torch.zeros(batch, self.weight_v.shape[1], (KERNEL - 1) * self.dilation)}

    def weight(self) -> Tensor:
        """`g v / |v|`, `(outputs, inputs, KERNEL)`."""
        return self.weight_g * self.weight_v / self.weight_v.norm(dim=(1, 2), keepdim=True)

    def past(self, frames: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`frames (batch, inputs, frames)` with those before them, and the new state."""
        known = torch.cat([states[self.state], frames], 2)
        return known, {self.state: known[:, :, frames.shape[2] :]}

    def forward(self, frames: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`(batch, inputs, frames)` to `(batch, outputs, frames)`."""
        known, after = self.past(frames, states)
        return functional.conv1d(known, self.weight(), self.bias, dilation=self.dilation), after


class Block(Stateful):
    """Two convolutions, each with ReLU and dropout (the last block's second without), and perhaps a 1 x 1 bypass."""

    def __init__(self, sizes: tuple[int, int, int], number: int, *, bypass: bool, last: bool) -> None:
        super().__init__()
        inputs, hidden, outputs = sizes
        first = CausalConv(inputs, hidden, 2**number, f"conv_{number}a")
        second = CausalConv(hidden, outputs, 2**number, f"conv_{number}b")
        self.block = nn.ModuleDict({"0": first, "3": second})  # numbered as published
        self.residual = nn.Conv1d(inputs, outputs, 1) if bypass else None
        self.last = last

    def _activated(self, frames: Tensor) -> Tensor:
        return functional.dropout(functional.relu(frames), 0.5, self.training)

    def forward(self, frames: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`(batch, inputs, frames)` to `(batch, outputs, frames)`."""
        hidden, after_first = self.block["0"](frames, states)
        result, after_second = self.block["3"](self._activated(hidden), states)
        result = result if self.last else self._activated(result)
        if self.residual is not None:
            result = result + self.residual(frames)
        return result, {**after_first, **after_second}

    def features(self, frames: Tensor) -> Tensor:
        """What the last block's output is linear in: `(1, inputs, frames)` to `(frames, KERNEL * hidden + inputs)`."""
        states = self.zero_states(1)
        hidden, _ = self.block["0"](frames, states)
        second: CausalConv = self.block["3"]  # type: ignore[assignment]
        known, _ = second.past(self._activated(hidden), states)
        taps = [known[:, :, tap * second.dilation :][:, :, : frames.shape[2]] for tap in range(KERNEL)]
        return torch.cat([*taps, frames], 1)[0].T

    def set_output(self, weight: Tensor, bias: Tensor) -> None:
        """Overwrite what follows `features`: `weight (outputs, features)`, `bias (outputs,)`."""
        second: CausalConv = self.block["3"]  # type: ignore[assignment]
        outputs, hidden, _ = second.weight_v.shape
        taps, bypass = weight.split([KERNEL * hidden, weight.shape[1] - KERNEL * hidden], 1)
        with torch.no_grad():
            second.weight_v.copy_(taps.reshape(outputs, KERNEL, hidden).transpose(1, 2))
            second.weight_g.copy_(second.weight_v.norm(dim=(1, 2), keepdim=True))
            second.bias.copy_(bias)
            self.residual.weight.copy_(bypass[..., None])  # type: ignore[union-attr]
            self.residual.bias.zero_()  # type: ignore[union-attr]


class ConvolutionalDecoder(Stateful):
    """A temporal convolutional network over both controls to raw operator levels."""

    def __init__(self, channels: int, blocks: int, operators: int) -> None:
        super().__init__()
        self.heads = (operators,)
        self.receptive_field = 1 + 2 * (KERNEL - 1) * (2**blocks - 1)  # frames
        widths = [2, *[channels] * (blocks - 1), operators]
        ends = (0, blocks - 1)
        self.net = nn.ModuleList(
            Block((widths[i], channels, widths[i + 1]), i, bypass=i in ends, last=i == blocks - 1)
            for i in range(blocks)
        )

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """Controls `(batch, frames, 1)` to `(batch, frames, operators)`."""
        frames, after = torch.cat([f0_scaled, loudness_scaled], 2).transpose(1, 2), {}
        for block in self.blocks():
            frames, more = block(frames, states)
            after |= more
        return frames.transpose(1, 2), after

    def features(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Tensor:
        """What the outputs are linear in, for a clip `(1, frames, 1)` from its start: `(frames, n)`."""
        frames = torch.cat([f0_scaled, loudness_scaled], 2).transpose(1, 2)
        *earlier, last = self.blocks()
        for block in earlier:
            frames, _ = block(frames, block.zero_states(1))
        return last.features(frames)

    def set_heads(self, weight: Tensor, bias: Tensor) -> None:
        """Overwrite what follows `features`: `weight (operators, n)`, `bias (operators,)`."""
        self.blocks()[-1].set_output(weight, bias)

    def blocks(self) -> list[Block]:
        """In their order."""
        return list(self.net)  # type: ignore[arg-type]


class FMSynthesizer(Stateful):
    """Raw operator levels to sound: sines that modulate each other's phase; nothing is trained."""

    fr: Tensor
    ramp: Tensor

    def __init__(self, patch: Patch, *, causal: bool) -> None:
        super().__init__()
        self.patch, self.operators = patch, len(patch.ratios)
        self.phase = Phase(SAMPLE_RATE, HOP, causal=causal, period=PERIOD)
        self.audible = Held(1, causal=causal)
        whole = all(ratio == int(ratio) for ratio in patch.ratios)
        self.register_buffer("fr", torch.tensor(patch.ratios, dtype=torch.int64 if whole else torch.float32))
        self.register_buffer("ramp", ramp_weights(HOP).float(), persistent=False)

    def zero_states(self, batch: int) -> Signals:
        """Of the phase, and the last frame's levels."""
        return {**super().zero_states(batch), "last_levels": torch.zeros(batch, 1, self.operators)}

    def levels(self, levels: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`(batch, frames, operators)` upsampled linearly to `(batch, frames, operators, hop)`."""
        last = before(levels, states["last_levels"], states["started"])[..., None]
        return last + self.ramp * (levels[..., None] - last), {"last_levels": levels[:, -1:]}

    def forward(self, controls: Tensor, f0_hz: Tensor, noise: None, states: Signals) -> tuple[Signals, Signals]:
        """The `levels (batch, frames, operators)` and the sound, `dry (batch, frames, hop)`."""
        levels = MAX_LEVEL * torch.sigmoid(controls)
        cycles, after_phase = self.phase(f0_hz, states)
        multiples = cycles[:, :, None] * self.fr.to(cycles.dtype)[:, None]
        phases = (multiples - torch.round(multiples)).to(levels.dtype).unbind(2)
        upsampled, after_levels = self.levels(levels, states)
        sound = self._modulated(phases, upsampled.unbind(2)) / MAX_LEVEL
        # The half frame before the clip is silent: the reverb would hear it.
        audible, after_held = self.audible(torch.ones_like(f0_hz), states)
        dry = (sound.unflatten(2, (audible.shape[2], -1)) * audible).flatten(2)
        return {"levels": levels, "dry": dry}, {**after_phase, **after_levels, **after_held}

    def _modulated(self, phases: tuple[Tensor, ...], levels: tuple[Tensor, ...]) -> Tensor:
        """The sum of the carriers; phases in cycles."""
        outputs: dict[int, Tensor] = {}
        for number in range(self.operators, 0, -1):
            phase = phases[number - 1]
            for modulator in self.patch.modulators.get(number, ()):
                phase = phase + outputs[modulator]
            outputs[number] = levels[number - 1] * torch.sin(2 * torch.pi * phase)
        return torch.stack([outputs[carrier] for carrier in self.patch.carriers]).sum(0)


class DDX7(Family):
    """The FM family: 128 channels and 5 blocks for the teacher ("full"), 64 and 3 for the student ("reduced")."""

    noisy: ClassVar[bool] = False
    heads: ClassVar[tuple[str, ...]] = ("ol",)

    def __init__(self, patch: Patch, channels: int, blocks: int, *, causal: bool = False, reverb: bool = True) -> None:
        decoder = ConvolutionalDecoder(channels, blocks, len(patch.ratios))
        super().__init__(decoder, FMSynthesizer(patch, causal=causal), causal=causal, reverb=reverb)

    @classmethod
    def build(cls, model: Model, state: Mapping[str, Tensor], **options: bool) -> Self:
        """With the patch that the model's name says."""
        if options.pop("full_noise", False):
            raise VariantError(f"{model.name} has no noise: leave --full-noise out")
        return cls(PATCHES[model.patch], model.width, BLOCKS[model.width], **options)

    @classmethod
    def width_of(cls, state: Mapping[str, Tensor]) -> int:
        """See `Family`."""
        key = "decoder.net.0.block.0.bias"
        return state[key].shape[-1] if key in state and state[key].dim() else 0

    @classmethod
    def mismatch(cls, model: Model, state: Mapping[str, Tensor]) -> str:
        """See `Family`; weights of another patch may fit in shape, and sound wrong."""
        # Without what float32 adds to 1.58.
        ratios = [round(float(ratio), 5) for ratio in state["synth.fr"].flatten()] if "synth.fr" in state else []
        wanted = list(map(float, PATCHES[model.patch].ratios))
        return "" if ratios == wanted else f"other frequency ratios, {ratios}, than {model.name} has, {wanted}"

    def wanted_controls(self, loudness_db: Tensor) -> Tensor:
        """See `Family`; carriers follow the loudness, modulators half of it."""
        patch: Patch = self.synth.patch  # type: ignore[assignment]
        share = torch.tensor([1.0 if number in patch.carriers else 0.5 for number in range(1, len(patch.ratios) + 1)])
        gain_db = GAIN_DB - 20 * math.log10(len(patch.carriers))
        level_db = share * (loudness_db + gain_db) - 12 * (1 - share)
        return torch.logit(torch.clamp(10 ** (level_db / 20), 1e-4, 0.95))
