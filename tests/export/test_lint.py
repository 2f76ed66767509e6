"""The linter names what would break in the stream, the tensor and the sample, and leaves good modules alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from tonearm.export.lint import lint
from tonearm.export.lint.contract import check_contract
from tonearm.export.probe import Finding
from tonearm.export.streaming import Signals, StreamingModule
from tonearm.models.catalogue import load
from torch import Tensor, nn
from torch.nn import functional

HOP = 8


class Gain(StreamingModule):
    """Audio times a level."""

    sample_rate: int = 8000
    hop: int = HOP
    latency: int = 0
    inputs: Mapping[str, int] = {"sound": HOP, "level": 1}
    outputs: Mapping[str, int] = {"audio": HOP}

    def zero_states(self, batch: int = 1) -> Signals:
        return {}

    def example(self, frames: int) -> Signals:
        sound = torch.sin(torch.arange(frames * HOP) * 0.1).reshape(1, frames, HOP)
        return {"sound": sound, "level": torch.linspace(0.2, 1, frames).reshape(1, frames, 1)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return (given[0] * given[1],)


class OnePole(Gain):
    """`y[n] = a y[n-1] + (1 - a) x[n]`, sample by sample."""

    pole = 0.9

    def zero_states(self, batch: int = 1) -> Signals:
        return {"memory": torch.zeros(batch, 1)}

    def run(self, sound: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """A hop as one product: `y = decay * memory + kernel x`."""
        steps = torch.arange(self.hop)
        powers = torch.tensor(self.pole) ** (steps[:, None] - steps).clamp(min=0)
        kernel = torch.tril(powers) * (1 - self.pole)
        decay, frames = torch.tensor(self.pole) ** (steps + 1), []
        for frame in sound.unbind(1):
            out = memory * decay + frame @ kernel.T
            memory = out[:, -1:]
            frames.append(out)
        return torch.stack(frames, 1), memory

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return self.run(given[0] * given[1], given[2])


class SlowTwice(OnePole):
    """Two slow filters, the second one sample late: the first tap is zero, and the response creeps up."""

    pole = 0.995

    def zero_states(self, batch: int = 1) -> Signals:
        return {name: torch.zeros(batch, 1) for name in ("first", "second", "last")}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        sound, first = self.run(given[0] * given[1], given[2])
        sound, second = self.run(sound, given[3])
        late = torch.cat([given[4], sound.flatten(1)], 1)
        return late[:, :-1].reshape(sound.shape), first, second, late[:, -1:]


class Delay(Gain):
    """Audio, `samples` later."""

    samples = 0
    inputs: Mapping[str, int] = {"sound": HOP}

    def zero_states(self, batch: int = 1) -> Signals:
        return {"line": torch.zeros(batch, self.samples)}

    def example(self, frames: int) -> Signals:
        return {"sound": torch.sin(torch.arange(frames * self.hop) * 0.1).reshape(1, frames, self.hop)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        line = torch.cat([given[1], given[0].flatten(1)], 1)
        size = given[0].shape[1] * self.hop
        return line[:, :size].reshape(given[0].shape), line[:, size:]


def delay(samples: int, latency: int, hop: int = HOP, base: type[Delay] = Delay) -> Delay:
    """A delay line of that length which says that its latency is `latency`."""
    facts: dict[str, Any] = {"samples": samples, "latency": latency, "hop": hop}
    return type("Delayed", (base,), facts | {"inputs": {"sound": hop}, "outputs": {"audio": hop}})()


class DelayedFilter(Delay):
    """A spread-out response, late."""

    def zero_states(self, batch: int = 1) -> Signals:
        return {"memory": torch.zeros(batch, 1), **super().zero_states(batch)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        filtered, memory = OnePole.run(self, given[0], given[1])  # type: ignore[arg-type]
        audio, line = super().forward(filtered, given[2])
        return audio, memory, line

    pole = 0.9


class LinearPhase(Delay):
    """A symmetric filter of twice `samples` taps and one: no tap stands out, its middle is its latency."""

    def zero_states(self, batch: int = 1) -> Signals:
        return {"last": torch.zeros(batch, 2 * self.samples)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        taps = torch.hann_window(2 * self.samples + 3, periodic=False)[1:-1] / self.samples
        sound = torch.cat([given[1], given[0].flatten(1)], 1)
        audio = functional.conv1d(sound[:, None], taps[None, None])
        return audio.reshape(given[0].shape), sound[:, -2 * self.samples :]


class Amp(Gain):
    """A recurrent amplifier that starts with what it needs to be heard."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.gru = nn.GRU(1, 6, batch_first=True)
        self.mix = nn.Linear(6, 1)

    def zero_states(self, batch: int = 1) -> Signals:
        return {"gru": torch.zeros(1, batch, 6)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        heard, state = self.gru((given[0] * given[1]).flatten(1)[:, :, None], given[2])
        return self.mix(heard).reshape(given[0].shape), state


class Hiss(Gain):
    """A level that rises slowly shapes noise."""

    inputs: Mapping[str, int] = {"hiss": HOP, "level": 1}
    noise: tuple[str, ...] = ("hiss",)

    def zero_states(self, batch: int = 1) -> Signals:
        return {"memory": torch.zeros(batch, 1)}

    def example(self, frames: int) -> Signals:
        given = super().example(frames)
        return {"hiss": given["sound"], "level": given["level"]}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        level, memory = [], given[2]
        for frame in given[1].unbind(1):
            memory = memory + 0.001 * (frame - memory)
            level.append(memory)
        return given[0] * torch.stack(level, 1), memory


class Blinks(Gain):
    """Silent every second frame and before the first sound; a counter and a switch are its states."""

    def zero_states(self, batch: int = 1) -> Signals:
        return {"frames": torch.zeros(batch, dtype=torch.int64), "awake": torch.zeros(batch, 1, dtype=torch.bool)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        sound, _, frames, awake = given
        count = frames[:, None] + torch.arange(sound.shape[1])
        heard = torch.cat([awake, (sound != 0).any(2)], 1).int().cumsum(1)[:, 1:] > 0
        return sound * (heard & (count % 2 == 1))[:, :, None], frames + sound.shape[1], heard[:, -1:]


class HidesItsState(OnePole):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hidden", torch.zeros(1, 1), persistent=False)

    def zero_states(self, batch: int = 1) -> Signals:
        return {}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        audio, self.hidden = self.run(given[0], self.hidden)
        return (audio,)


class CountsBlocks(Gain):
    """Its state is a plain number, and only from the fourth sample on."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = 0

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        audio = given[0].clone()
        audio[:, 0, 3] += self.blocks
        self.blocks += 1
        return (audio,)


class LooksAhead(Gain):
    """Each sample is the mean of itself and the one a hop later."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        later = functional.pad(given[0][:, 1:], (0, 0, 0, 1))
        return ((given[0] + later) / 2,)


class Normalises(Gain):
    """The loudest of the whole clip decides on its first sample."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return (given[0] / (given[0] * given[1]).abs().amax((1, 2), keepdim=True),)


class Forgets(OnePole):
    """Returns its state as it came: every block begins anew."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return self.run(given[0], given[2])[0], given[2]


class LateLevel(Delay):
    """The level acts three hops after the sound."""

    inputs: Mapping[str, int] = Gain.inputs
    samples = 3

    def example(self, frames: int) -> Signals:
        return Gain.example(self, frames)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        levels = torch.cat([given[2], given[1][:, :, 0]], 1)
        return given[0] * levels[:, : -self.samples, None], levels[:, -self.samples :]


class WritesInput(Gain):
    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        given[0][:, 0, 2:] *= 0.5
        return (given[0] + given[1] - given[1],)


class WritesState(OnePole):
    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        audio, last = self.run(given[0], given[2])
        given[2].copy_(last)
        return audio, given[2]


class ReturnsItsBuffer(OnePole):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scratch", torch.zeros(1, 1), persistent=False)

    scratch: Tensor

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        audio, last = self.run(given[0], given[2])
        self.scratch.copy_(last)
        return audio, self.scratch


class Dithers(Gain):
    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return (given[0] + 0.01 * torch.rand_like(given[0]),)


class DropsOut(Gain):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return (self.dropout(given[0]),)


class FrozenTime(Gain):
    """Takes the number of frames from its first call."""

    frames = 0

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        self.frames = self.frames or given[0].shape[1]
        return (torch.cat([given[0], given[0].flip(1)], 1)[:, : self.frames],)


class WeighsLength(Gain):
    """The longer the call, the quieter."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return (given[0] / given[0].shape[1],)


class KeepsOutside(Gain):
    """What it remembers is not in the module at all."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        OUTSIDE.append(len(OUTSIDE))
        return (given[0] * OUTSIDE[-1],)


OUTSIDE: list[int] = []


class FitsOneLength(Gain):
    """Its window was made for the first call's number of frames."""

    window: Tensor | None = None

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        if self.window is None:
            self.window = torch.ones(given[0].shape)
        return (torch.stack([given[0].flatten(), self.window.flatten()])[:1].reshape(given[0].shape),)


def found(module: StreamingModule) -> Finding:
    """The only finding; a module is broken for its own reason and for no other."""
    findings = lint(module)
    assert len(findings) == 1, list(map(str, findings))
    return findings[0]


@pytest.mark.parametrize(
    "build",
    [
        *(Gain, OnePole, SlowTwice, Amp, Hiss, Blinks),
        lambda: delay(37, 37),
        lambda: delay(5000, 5000, base=DelayedFilter),
    ],
)
def test_a_module_that_streams_is_left_alone(build: Any) -> None:
    assert lint(build().eval()) == []


def test_a_linear_phase_filter_that_declares_its_middle_is_left_alone() -> None:
    assert lint(delay(40, 40, base=LinearPhase)) == []


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"reverb": False}], ids=str)
@pytest.mark.parametrize("name", ["hpn-reduced", "ddx7-reduced-trumpet", "wavetable-reduced"])
def test_the_models_of_this_package_are_clean(name: str, options: dict[str, Any]) -> None:
    assert lint(load(name, **options)) == []


@pytest.mark.parametrize(
    ("module", "check", "tensor", "sample", "advice"),
    [
        (HidesItsState(), "hidden state", "hidden", 0, "gives another audio; make it a state"),
        (CountsBlocks(), "hidden state", "blocks", 3, "make it a state"),
        (Forgets(), "states", "audio", 256 * HOP, "(memory came back as zeros)"),
        (LooksAhead(), "causality", "audio", 127 * HOP, "new values of sound from sample 1024 on"),
        (delay(37, 0), "latency", "audio", 37, "set latency = 37"),
        (delay(0, 100), "latency", "audio", 0, "the declared latency is 100: set latency = 0"),
        (delay(300, 0, base=DelayedFilter), "latency", "audio", 300, "a change of sound at sample 0 is first heard"),
        (delay(40, 0, base=LinearPhase), "latency", "audio", 40, "set latency = 40"),
        (LateLevel(), "latency", "audio", 3 * HOP, "a change of level at sample 0 is first heard at sample 24"),
        (WritesInput(), "in place", "sound", 2, "forward writes into this argument"),
        (WritesState(), "in place", "memory", 0, "forward writes into this argument"),
        (ReturnsItsBuffer(), "in place", "memory", 0, "it shares memory with scratch"),
        (Dithers().eval(), "determinism", "audio", 0, "take noise as an input"),
        (DropsOut(), "determinism", "audio", None, "call eval(); dropout is in training mode"),
        (KeepsOutside(), "determinism", "audio", 0, "keep nothing outside of the states"),
        (WeighsLength(), "time axis", "audio", 0, "the first block, of 256 frames, is another sound"),
        (FrozenTime(), "time axis", "audio", None, "a call of 1 frames goes wrong where 4 went well: the output is a"),
        (FitsOneLength(), "time axis", "forward", None, "a call of 1 frames goes wrong where 4 went well: raises"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, StreamingModule) else "",
)
def test_a_broken_module_is_found_for_its_own_reason_only(
    module: StreamingModule, check: str, tensor: str, sample: int | None, advice: str
) -> None:
    finding = found(module)
    assert (finding.check, finding.tensor) == (check, tensor), str(finding)
    assert sample is None or finding.sample == sample, str(finding)
    assert advice in str(finding)
    assert tensor in str(finding) and "\n" not in str(finding)


def test_a_clip_that_is_normalised_as_a_whole_depends_on_its_end() -> None:
    assert {(finding.check, finding.tensor) for finding in lint(Normalises())} == {("causality", "audio")}


def test_dropout_is_no_finding_in_evaluation_mode() -> None:
    assert lint(DropsOut().eval()) == []


@settings(max_examples=40, deadline=None)
@given(hop=some.integers(1, 96), samples=some.integers(0, 300), latency=some.none() | some.integers(0, 300))
def test_a_delay_line_is_found_exactly_when_it_declares_another_latency(
    hop: int, samples: int, latency: int | None
) -> None:
    declared = samples if latency is None else latency
    findings = lint(delay(samples, declared, hop))
    assert [(f.check, f.tensor, f.sample) for f in findings] == [("latency", "audio", samples)] * (declared != samples)


def test_the_module_is_left_as_it_was() -> None:
    module = CountsBlocks()
    lint(module)
    assert module.blocks == 0


def broken(base: type[Gain] = Gain, **facts: Any) -> StreamingModule:
    """A module of that kind with other attributes, and with other parts."""
    parts = {name: value for name, value in facts.items() if isinstance(value, nn.Module)}
    module = type("Broken", (base,), {name: value for name, value in facts.items() if name not in parts})()
    for name, part in parts.items():
        module.add_module(name, part)
    return module


def raises(*arguments: Any) -> Any:
    raise RuntimeError("no\nidea")


def to_sixteen(module: StreamingModule, frames: int) -> Signals:
    return Delay.example(module, min(frames, 16))  # type: ignore[arg-type]


def raises_late(module: StreamingModule, frames: int) -> Signals:
    if frames > 16:
        raise ValueError("no more")
    return to_sixteen(module, frames)


@pytest.mark.parametrize(
    ("module", "tensor", "advice"),
    [
        (StreamingModule(), "hop", "is None: set it to a whole number from 1"),
        (broken(hop=0), "hop", "is 0: set it to a whole number from 1"),
        (broken(latency=0.5), "latency", "is 0.5: set it to a whole number from 0"),
        (broken(inputs=["sound"]), "inputs", "set it to the width of each by name"),
        (broken(noise=("hiss",)), "noise", "names of inputs"),
        (broken(noise="level"), "noise", "is 'level': set it to a tuple"),
        (broken(outputs={"sound": HOP}), "sound", "is the name of 2 tensors"),
        (broken(zero_states=lambda self: {}), "zero_states", "it takes the batch size"),
        (broken(zero_states=lambda self, batch=1: [torch.zeros(1)]), "zero_states", "returns a list"),
        (broken(zero_states=lambda self, batch=1: {"m": torch.zeros(1).char()}), "m", "a tensor of int8 (1,)"),
        (broken(zero_states=lambda self, batch=1: {"m": torch.ones(1)}), "m", "does not begin as zeros"),
        (broken(latency=3, outputs={"audio": HOP, "env": 1}), "env", "delay by a multiple of 8, and declare that"),
        (broken(latency=3, outputs={"audio": HOP, "env": 6}), "env", "delay by a multiple of 4, and declare that"),
        (broken(mix=nn.LazyLinear(1)), "mix.weight", "has no size until the module is first called: call it once"),
        (broken(Delay, example=to_sixteen), "example", "example(512) gives {'sound': (1, 16, 8)}: it must give {'sou"),
        (broken(Delay, example=raises_late), "example", "example(512) raises ValueError: no more (test_lint.py, line"),
        (broken(example=raises), "example", "raises RuntimeError: no idea (test_lint.py, line"),
        (broken(example=lambda self, frames: {"level": None, "sound": None}), "example", "['sound', 'level']"),
        (broken(Delay, example=lambda s, n: {"sound": torch.rand(1, n, HOP)}), "sound", "other values each time"),
        (broken(Delay, example=lambda s, n: {"sound": torch.zeros(1, n)}), "sound", "float32 (1, 4, 8)"),
        (broken(Delay, example=lambda s, n: {"sound": torch.zeros(1, n, HOP) / 0}), "sound", "not a finite number"),
        (broken(forward=raises), "forward", "raises RuntimeError: no idea (test_lint.py, line"),
        (broken(forward=lambda self, sound, level: sound), "forward", "must return a tuple of 1: audio"),
        (broken(Delay, forward=lambda self, sound, line: (sound,)), "forward", "a tuple of 2: audio, line"),
        (broken(forward=lambda self, sound, level: (sound.double(),)), "audio", "float64 (1, 4, 8), expected"),
        (broken(forward=lambda self, sound, level: (level,)), "audio", "(1, 4, 1), expected a tensor of float32"),
        (broken(OnePole, forward=lambda s, x, level, m: (x, m[0])), "memory", "returned state is a tensor of float32"),
        (broken(forward=lambda self, sound, level: (torch.sqrt(sound),)), "audio", "not a finite number"),
    ],
)
def test_what_breaks_the_convention_is_named_without_a_traceback(
    module: StreamingModule, tensor: str, advice: str
) -> None:
    text = {finding.tensor: str(finding) for finding in lint(module) if finding.check == "contract"}[tensor]
    assert advice in text and "\n" not in text


def test_a_module_that_raises_for_other_values_is_told_with_its_message() -> None:
    def forward(self: StreamingModule, sound: Tensor, level: Tensor) -> tuple[Tensor, ...]:
        if bool((level[:, 1:] < level[:, :-1]).any()):
            raise ValueError("levels only rise")
        return (sound * level,)

    module = broken(forward=forward)
    assert check_contract(module) == []
    assert "raises ValueError: levels only rise (test_lint.py, line" in str(lint(module)[0])
