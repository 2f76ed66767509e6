"""Play clips to a module that nobody has checked yet: what the linter's checks and the export share.

A clip is the module's own example, but audio is replaced by white noise of the same range: the example may begin
with silence, and noise is the one sound in which every lag can be told from every other.
"""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType

import torch
from torch import Tensor

from ..runtime.parity import TOLERANCE, first_wrong
from .errors import StreamingError
from .streaming import Signals, StreamingModule, step

FRAMES, SAMPLES = 16, 4096  # a clip has at least so many
QUIET = 0.1  # the noise that takes the place of silence


@dataclass(frozen=True)
class Finding:
    """Something that keeps a module from being streamed.

    Attributes:
        check: the check that found it.
        tensor: the input, output, state, buffer or attribute it is about; or the method that raises.
        sample: the first wrong sample, counted from the clip's start; of the latency, the sample at which is heard
            what goes in at sample 0. None where there is no such sample.
        advice: what is wrong and what to change.
    """

    check: str
    tensor: str
    sample: int | None
    advice: str

    def __str__(self) -> str:
        where = self.tensor if self.sample is None else f"{self.tensor}, sample {self.sample}"
        return " ".join(f"{self.check}: {where}: {self.advice}".split())


def told(error: BaseException) -> str:
    """An exception in words, with the last line of a person's own code on its way."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text.split(' (')[0]} ({Path(error.filename).name}, line {error.lineno})"
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__) if _is_own(frame)]
    return f"{text} ({Path(places[-1][0]).name}, line {places[-1][1]})" if places else text


def _is_own(frame: FrameType) -> bool:
    """Whether code is a person's, not Python's, an installed package's or Tonearm's (which may run from a checkout)."""
    file = Path(frame.f_code.co_filename)
    return (
        file.is_file()
        and "site-packages" not in file.parts
        and not file.is_relative_to(sysconfig.get_path("stdlib"))
        and not frame.f_globals.get("__name__", "").startswith("tonearm.")
    )


def example_of(module: StreamingModule, frames: int) -> Signals:
    """The module's example, `(1, frames, width)` each; `StreamingError` where it raises or gives something else."""
    try:
        inputs = module.example(frames)
        wanted = {name: (1, frames, width) for name, width in module.inputs.items()}
        given = {name: tuple(value.shape) for name, value in inputs.items()}
    except Exception as error:
        raise StreamingError(f"example({frames}) raises {told(error)}: it must give any number of frames") from error
    if list(given.items()) != list(wanted.items()):
        raise StreamingError(f"example({frames}) gives {given}: it must give {wanted}, in this order")
    return inputs


def is_audio(module: StreamingModule, name: str) -> bool:
    """Whether an input or output is audio: one value a sample."""
    return {**module.inputs, **module.outputs}[name] == module.hop


def noise_like(value: Tensor, seed: int) -> Tensor:
    """White noise of the shape and the range of `value`; of a constant, between its half and itself."""
    low, high = float(value.min()), float(value.max())
    if low == high:
        low, high = (low / 2, high) if low else (-QUIET, QUIET)
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(value.shape, generator=generator, dtype=value.dtype)


def varied(module: StreamingModule, name: str, value: Tensor, seed: int) -> Tensor:
    """Another signal for an input, of values that the module knows: noise, or the frames of a control shuffled."""
    constant = bool((value == value[:, :1]).all())
    if is_audio(module, name) or (constant and bool(value.any())):
        return noise_like(value, seed)
    return value[:, torch.randperm(value.shape[1], generator=torch.Generator().manual_seed(seed))]


def clip(module: StreamingModule) -> Signals:
    """The example with noise for its audio, long enough to hear the declared latency twice."""
    latency_frames = -(-module.latency // module.hop)
    frames = max(FRAMES, -(-SAMPLES // module.hop), 2 * latency_frames + 4)
    inputs = example_of(module, frames)
    return {n: varied(module, n, value, 0) if is_audio(module, n) else value for n, value in inputs.items()}


def change(module: StreamingModule, inputs: Signals, name: str, frame: int) -> tuple[Signals, int | None]:
    """`inputs` with another signal for the input `name` from `frame` on.

    Returns:
        The changed clip, and the first sample at which it is another (of a control: its frame's first); None if there
        is none.
    """
    old = inputs[name]
    new = torch.cat([old[:, :frame], varied(module, name, old, 1)[:, frame:]], 1)
    differs = torch.nonzero((old != new).flatten())
    if not len(differs):
        return inputs, None
    index = int(differs[0])
    start = index if is_audio(module, name) else index // old.shape[2] * module.hop
    return {**inputs, name: new}, start


def copied(signals: Signals) -> Signals:
    """The same values in memory of their own."""
    return {name: value.clone() for name, value in signals.items()}


def play(module: StreamingModule, inputs: Signals) -> Signals:
    """The outputs of one call from zero states: copies, and the module is given copies."""
    with torch.no_grad():
        return copied(step(module, copied(inputs), module.zero_states())[0])


def difference(wanted: Signals, got: Signals) -> tuple[str, int] | None:
    """The first output that differs by more than `TOLERANCE` of full scale, and its first wrong sample."""
    for name, value in wanted.items():
        sample = first_wrong(value.flatten().numpy(), got[name].flatten().numpy(), TOLERANCE)
        if sample is not None:
            return name, sample
    return None
