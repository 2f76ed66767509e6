"""A bundle as a running stream: one bound call per block, states in two sets of buffers used in turn.

```
step 0   states A -> graph -> states B        a state is never read and written in one buffer,
step 1   states B -> graph -> states A        and nothing is copied or allocated between steps
```
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .bundle import STATE_TYPES, Bundle, Signal, next_name
from .clip import align, hold_last, lag, padded_frames
from .errors import SessionError, SoundError
from .graphs import Graph, differences, ends
from .sound import are_finite, first_odd

_ONNX_NAMES = {"float32": "float", "float64": "double"}  # where they are not numpy's
TYPES = {f"tensor({_ONNX_NAMES.get(dtype, dtype)})": dtype for dtype in STATE_TYPES}


class Stream:
    """One graph of a bundle with its states.

    Write the controls of a block into `inputs[name]` (`(1, frames, width)` float32), call `step`, and read
    `outputs[name]`. The arrays stay the same ones for the stream's whole life. Before a block goes to a sound card, ask
    `is_finite`.
    """

    def __init__(self, bundle: Bundle, block: int, threads: int = 1, *, profile: str = "") -> None:
        """Open the graph for blocks of `block` samples.

        Args:
            bundle: of the graph.
            block: samples per step.
            threads: of ONNX Runtime.
            profile: how the name of its profiler's file begins; without it the profiler stays off.

        Raises:
            BundleError: the graph can't be trusted, see `graphs.Graph`; ONNX Runtime has not seen it.
            SessionError: ONNX Runtime refuses it.
        """
        self.bundle, self.block, self.frames = bundle, block, block // bundle.hop
        Graph(bundle, block)
        self._session = open_session(bundle.graph(block), threads, profile)
        check_graph(self._session, bundle, self.frames)
        self.inputs = {signal.name: self._zeros(signal.width) for signal in bundle.inputs}
        self.outputs = {signal.name: self._zeros(signal.width) for signal in bundle.outputs}
        self._states = [[np.zeros(s.shape, s.dtype) for s in bundle.states] for _ in range(2)]
        self._bindings = [self._bind(*self._states), self._bind(*reversed(self._states))]
        self._turn = 0
        self._run = self._session.run_with_iobinding

    def _zeros(self, width: int) -> np.ndarray:
        return np.zeros((1, self.frames, width), np.float32)

    def _bind(self, before: list[np.ndarray], after: list[np.ndarray]) -> Any:
        binding = self._session.io_binding()
        names = [state.name for state in self.bundle.states]
        for name, array in [*self.inputs.items(), *zip(names, before)]:
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in [*self.outputs.items(), *zip(map(next_name, names), after)]:
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding

    def step(self) -> None:
        """Compute one block: `inputs` to `outputs`."""
        try:
            self._run(self._bindings[self._turn])
        except Exception as error:
            raise SessionError(
                f"ONNX Runtime failed in the graph for blocks of {self.block} samples: {error}"
            ) from error
        self._turn ^= 1

    def is_finite(self) -> bool:
        """Whether all outputs of the last step are finite numbers; others must reach no sound card.

        Where they are not, fade out from the last block that was, and `reset`: states that are not finite any more
        would make all later blocks so, too. It costs 1.5 µs for each output on a PC.
        """
        return are_finite(self.outputs.values())

    def reset(self) -> None:
        """Back to the states before the first block."""
        for array in (*self._states[0], *self._states[1]):
            array.fill(0)
        self._turn = 0

    def states(self) -> dict[str, np.ndarray]:
        """The states as the last step left them, by name (copies)."""
        return {s.name: array.copy() for s, array in zip(self.bundle.states, self._states[self._turn])}

    def end_profile(self) -> str:
        """Stop the profiler; the name of its file."""
        return self._session.end_profiling()

    def render(
        self, signals: dict[str, np.ndarray], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> dict[str, np.ndarray]:
        """A whole clip from zero states, the declared latency taken off.

        Args:
            signals: as from `clip.check_signals`, `(1, frames, width)` each.
            progress: called with the frames done and their total.

        Returns:
            `(frames * width,)` for each output, aligned with the inputs.

        Raises:
            SignalError: the latency is not a whole number of an output's values.
            SoundError: an output is not a finite number; the message names it, the block and the sample.
        """
        lags = {s.name: lag(self.bundle.latency, self.bundle.hop, s.width) for s in self.bundle.outputs}
        frames = next(iter(signals.values())).shape[1]
        total = padded_frames(frames, self.bundle.hop, self.bundle.latency, self.frames)
        padded = {name: hold_last(value, total) for name, value in signals.items()}
        blocks: dict[str, list[np.ndarray]] = {name: [] for name in self.outputs}
        self.reset()
        for start in range(0, total, self.frames):
            progress(start, total)
            for name, buffer in self.inputs.items():
                buffer[...] = padded[name][:, start : start + self.frames]
            self.step()
            _check_step(self, start // self.frames, frames)
            for name, buffer in self.outputs.items():
                blocks[name].append(buffer.copy())
        return {name: align(np.concatenate(b, 1), lags[name], frames)[0] for name, b in blocks.items()}


def _check_step(stream: Stream, index: int, frames: int) -> None:
    """`SoundError` where block `index` of a clip of `frames` has, in what will be heard, a number that is not finite.

    ```
    output   -latency-| the clip's samples |  padding      not heard: what comes before and after the clip
    ```
    """
    if are_finite(stream.outputs.values()):
        return
    for signal in stream.bundle.outputs:
        late = lag(stream.bundle.latency, stream.bundle.hop, signal.width)
        values = stream.outputs[signal.name].reshape(-1)
        start = index * values.size - late  # of the block, in the clip
        skipped = max(0, -start)
        odd = first_odd(values[skipped : max(skipped, frames * signal.width - start)])
        if odd is not None:
            raise SoundError(_lost(stream, signal, index, start + skipped + odd, float(values[skipped + odd])))


def _lost(stream: Stream, signal: Signal, index: int, sample: int, value: float) -> str:
    broken = [name for name, state in stream.states().items() if not are_finite([state])]
    lost = f"; from then on its states ({', '.join(broken[:8])}) are not finite either, and all that follows is lost"
    return (
        f"{stream.bundle.name}, blocks of {stream.block}: output {signal.name} is not a finite number ({value:g}) in "
        f"block {index}, sample {sample}{lost if broken else ''}: the model can't play these inputs, no sound was "
        "written; try softer or other inputs, or mend the model"
    )


def check_graph(session: Any, bundle: Bundle, frames: int) -> None:
    """`SessionError` unless the graph's inputs and outputs are what the manifest says, by name, shape and type."""
    for wanted, nodes in zip(ends(bundle, frames), (session.get_inputs(), session.get_outputs())):
        found = {node.name: (tuple(node.shape), TYPES.get(node.type, node.type)) for node in nodes}
        wrong = differences(wanted, found)
        if wrong:
            raise SessionError(f"the graph and the manifest of {bundle.name} differ: {wrong}")


def open_session(graph: Path, threads: int = 1, profile: str = "") -> Any:
    """An ONNX Runtime session as the board uses it: explicit threads, no spinning, CPU only.

    With its profiler on where `profile` says how the file's name begins.
    """
    options = onnxruntime.SessionOptions()
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; on boards it does not know it warns at every start
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise SessionError(f"ONNX Runtime {onnxruntime.__version__} does not load {graph.name}: {error}") from error
