"""A model as a running stream in PyTorch, uncompiled: what `runtime.stream.Stream` is for its bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from ..errors import EngineError

if TYPE_CHECKING:
    from ...export.streaming import StreamingModule
    from ...runtime.bundle import Bundle
    from ...runtime.stream import Stream


class TorchStream:
    """One module with its states, one eager call per block.

    Write the controls of a block into `inputs[name]` (`(1, frames, width)` float32), call `step`, and read
    `outputs[name]`. The arrays stay the same ones for the stream's whole life.
    """

    def __init__(self, bundle: Bundle, module: StreamingModule, block: int, threads: int = 1) -> None:
        """Play `module`, which `bundle` was made of, in blocks of `block` samples.

        `threads` is a setting of the process. `EngineError` where bundle and module name other signals.
        """
        said = [[signal.name for signal in signals] for signals in (bundle.inputs, bundle.outputs, bundle.states)]
        if said != [list(module.inputs), list(module.outputs), list(module.zero_states())]:
            raise EngineError(
                f"{bundle.name} differs from the model of that name in its signals or states: export it again"
            )
        torch.set_num_threads(threads)
        self.bundle, self.block, self.frames = bundle, block, block // bundle.hop
        self._module = module.eval().requires_grad_(False)
        self.inputs = {name: self._zeros(width) for name, width in module.inputs.items()}
        self.outputs = {name: self._zeros(width) for name, width in module.outputs.items()}
        self._given = [torch.from_numpy(buffer) for buffer in self.inputs.values()]
        self._taken = [torch.from_numpy(buffer) for buffer in self.outputs.values()]
        self.reset()

    def _zeros(self, width: int) -> np.ndarray:
        return np.zeros((1, self.frames, width), np.float32)

    @torch.inference_mode()
    def step(self) -> None:
        """Compute one block: `inputs` to `outputs`."""
        # Copies, for a state may be a view of what came in, and the next block is written over that.
        results = self._module(*(value.clone() for value in self._given), *self._states)
        count = len(self._taken)
        for buffer, value in zip(self._taken, results[:count], strict=True):
            buffer.copy_(value)
        self._states = results[count:]

    def reset(self) -> None:
        """Back to the states before the first block."""
        self._states: Any = tuple(self._module.zero_states().values())

    def states(self) -> dict[str, np.ndarray]:
        """The states as the last step left them, by name (copies)."""
        names = [state.name for state in self.bundle.states]
        return {name: state.numpy().copy() for name, state in zip(names, self._states, strict=True)}

    def render(
        self, signals: dict[str, np.ndarray], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> dict[str, np.ndarray]:
        """A whole clip from zero states, exactly as `Stream.render` plays it."""
        from ...runtime.stream import Stream

        return Stream.render(cast("Stream", self), signals, progress)
