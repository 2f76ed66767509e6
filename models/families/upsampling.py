"""From control frames to samples, delayed by half a frame so that it can be streamed.

The reference upsamples with half-pixel centres: frame k's value sits at sample `64 k + 31.5`. Between two
centres the next frame is needed, so the stream runs 32 samples late, and in that delayed time every output
frame lies exactly between two control frames:

```
control frames        |      k-1      |       k       |
their centres                 ^               ^
offline samples        ......[      output frame      ]......   = offline samples 64 k - 32 ... 64 k + 31
linear (f0, FM levels)       x(k-1) --------> x(k)
nearest (amplitudes)         A(k-1)  |  A(k)                     changes in the middle
```

Causal is the choice of players who want those 32 samples back: a frame sounds at once, and what is linear glides
from the last frame's value to its own. The glides are the same, 32 samples late; nothing else is.

```
causal samples        |      k-1      |       k       |         output frame k = samples 64 k ... 64 k + 63
linear                                x(k-1) --> x(k)
nearest                               A(k)
```
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...export.streaming import Signals
from .stateful import Stateful


def before(values: Tensor, last: Tensor, started: Tensor) -> Tensor:
    """Of each frame the one before it, `(batch, frames, n)`; before the first, the first (edges are clamped)."""
    earlier = torch.where(started > 0, last, values[:, :1])
    return torch.cat([earlier, values], 1)[:, :-1]


def ramp_weights(hop: int) -> Tensor:
    """How far each sample of an output frame is on the way to the frame's own value, `(hop,)`, float64."""
    return (torch.arange(hop, dtype=torch.float64) + 0.5) / hop


class Held(Stateful):
    """Nearest upsampling: each frame's values, and where it is delayed the last frame's before them."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.width, self.causal = width, causal

    def zero_states(self, batch: int) -> Signals:
        """The last frame's values."""
        return {} if self.causal else {"last_held": torch.zeros(batch, 1, self.width)}

    def forward(self, values: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`(batch, frames, width)` to `(batch, frames, parts, width)`: each part holds for `hop / parts` samples."""
        if self.causal:
            return values[:, :, None], {}
        held = torch.cat([states["last_held"], values], 1)
        return torch.stack([held[:, :-1], values], 2), {"last_held": held[:, -1:]}


class HalfFrameDelay(Stateful):
    """Delays a signal of whole frames by half a frame: what brings noise in line with the oscillators."""

    def __init__(self, hop: int, *, causal: bool) -> None:
        super().__init__()
        self.samples, self.causal = hop // 2, causal

    def zero_states(self, batch: int) -> Signals:
        """The half frame that is still to come out."""
        return {} if self.causal else {"delay": torch.zeros(batch, self.samples)}

    def forward(self, signal: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`(batch, frames, hop)` to the same shape, half a frame later; causal: as it is."""
        if self.causal:
            return signal, {}
        samples = torch.cat([states["delay"], signal.flatten(1)], 1)
        return samples[:, : -self.samples].reshape(signal.shape), {"delay": samples[:, -self.samples :]}
