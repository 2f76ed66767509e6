"""The recurrent decoder of HpN and wavetable: an MLP per control, a GRU, an MLP, linear heads.

Source: Engel et al., DDSP (2020); layout of the paper's code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...export.streaming import Signals
from .stateful import Stateful

GRU = "decoder.gru.weight_hh_l0"
TABLE = "synth.wavetables."  # tells the two families apart


def _mlp(inputs: int, hidden: int) -> nn.Sequential:
    """Three times Linear, LayerNorm, LeakyReLU."""
    layers: list[nn.Module] = []
    for size in (inputs, hidden, hidden):
        layers += [nn.Linear(size, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


def recurrent_width(state: Mapping[str, Tensor]) -> int:
    """The width of a recurrent decoder, told by a model's weights; 0 where they have none."""
    return state[GRU].shape[-1] if GRU in state and state[GRU].dim() else 0


class RecurrentDecoder(Stateful):
    """Controls to the synthesizer's raw parameters; `heads` are their widths."""

    receptive_field = None  # frames: all there ever were

    def __init__(self, hidden: int, heads: tuple[int, ...]) -> None:
        super().__init__()
        self.hidden = hidden
        self.heads = heads
        self.in_mlps = nn.ModuleList([_mlp(1, hidden), _mlp(1, hidden)])
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.out_mlp = _mlp(hidden + 2, hidden)
        self.proj_matrices = nn.ModuleList([nn.Linear(hidden, size) for size in heads])

    def zero_states(self, batch: int) -> Signals:
        """The GRU's."""
        return {"gru": torch.zeros(1, batch, self.hidden)}

    def features(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Tensor:
        """What the outputs are linear in, for a clip `(1, frames, 1)` from its start: `(frames, hidden)`."""
        return self._hidden(f0_scaled, loudness_scaled, self.zero_states(1))[0]

    def _hidden(self, f0_scaled: Tensor, loudness_scaled: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """What the heads see, `(batch * frames, hidden)`."""
        batch, frames, _ = f0_scaled.shape
        # Flat (frames, width) matrices: ONNX Runtime wraps every product of a 3-d tensor in two more nodes.
        controls = [control.flatten(0, 1) for control in (f0_scaled, loudness_scaled)]
        embedded = [mlp(control) for mlp, control in zip(self.in_mlps, controls, strict=True)]
        recurrent, gru = self.gru(torch.cat(embedded, 1).reshape(batch, frames, -1), states["gru"])
        return self.out_mlp(torch.cat([recurrent.flatten(0, 1), *controls], 1)), {"gru": gru}

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """Controls `(batch, frames, 1)` to all heads side by side, `(batch, frames, sum of heads)`."""
        hidden, after = self._hidden(f0_scaled, loudness_scaled, states)
        # The heads as one product: in a small model a node costs more than its arithmetic.
        weight = torch.cat([head.weight for head in self.proj_matrices])  # type: ignore[misc]
        bias = torch.cat([head.bias for head in self.proj_matrices])  # type: ignore[misc]
        return functional.linear(hidden, weight, bias).reshape(*f0_scaled.shape[:2], -1), after

    def set_heads(self, weight: Tensor, bias: Tensor) -> None:
        """Overwrite all heads: `weight (sum of heads, hidden)`, `bias (sum of heads,)`."""
        rows = zip(self.proj_matrices, weight.split(self.heads), bias.split(self.heads), strict=True)
        with torch.no_grad():
            for head, some_weight, some_bias in rows:
                head.weight.copy_(some_weight)  # type: ignore[operator]
                head.bias.copy_(some_bias)  # type: ignore[operator]
