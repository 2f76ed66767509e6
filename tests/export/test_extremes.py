"""Loud, silent and extreme input: a module that answers it with no numbers is found before anything is exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tonearm.export.extremes import beyond, within
from tonearm.export.lint import lint, warn
from tonearm.export.streaming import Signals, StreamingModule
from tonearm.models.catalogue import load
from torch import Tensor

HOP = 8


class Quiet(StreamingModule):
    """Plays what `way` makes of its sound; its example never exceeds 0.3, and drive lies from 0.2 to 1."""

    sample_rate: int = 8000
    hop: int = HOP
    latency: int = 0
    inputs: Mapping[str, int] = {"sound": HOP, "drive": 1}
    outputs: Mapping[str, int] = {"audio": HOP}

    def __init__(self, way: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.way = way

    def zero_states(self, batch: int = 1) -> Signals:
        return {}

    def example(self, frames: int) -> Signals:
        sound = 0.3 * torch.sin(0.1 + torch.arange(frames * HOP) * 0.1).reshape(1, frames, HOP)
        return {"sound": sound, "drive": torch.linspace(0.2, 1, frames).reshape(1, frames, 1)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return (self.way(given[0], given[1]),)


class Poisoned(Quiet):
    """Adds what the roots of all blocks' means were before, by way of a state: a block late, and for ever."""

    def zero_states(self, batch: int = 1) -> Signals:
        return {"mean": torch.zeros(batch, 1)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        sound, drive, mean = given
        lows = mean + 1e-3 * (sound.mean(2) + 0.5).sqrt().cumsum(1)  # NaN below -0.5
        before = torch.cat([mean, lows[:, :-1]], 1)
        return sound * drive + before[..., None], lows[:, -1:]


class Delayed(Poisoned):
    """The same, which is heard twenty frames later: longer than anything that is played to it here."""

    def zero_states(self, batch: int = 1) -> Signals:
        return {"line": torch.zeros(batch, 20)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        sound, drive, line = given
        line = torch.cat([line, (sound.mean(2) + 0.5).sqrt()], 1)
        return sound * drive + line[:, : sound.shape[1], None], line[:, -20:]


def said(module: StreamingModule, check: Callable[[Any], list[Any]] = lint) -> list[str]:
    return [str(finding) for finding in check(module.eval())]


@pytest.mark.parametrize(
    ("way", "finding"),
    [
        (lambda x, d: (x + 0.5).sqrt() * d, "sample 0 where sound is -1 throughout"),
        (lambda x, d: (0.5 - x).sqrt() * d, "sample 0 where sound is 1 throughout"),
        (lambda x, d: x / x.abs().amax(2, keepdim=True) * d, "sample 0 where sound is 0 throughout"),
        (lambda x, d: x * (1 + 0 * d.log()), "sample 0 where drive is 0 throughout"),
        (lambda x, d: torch.where(x == 0, x, d * x / (x * x).sqrt()), "sample 0 where sound is 1e-40 throughout"),
        (
            lambda x, d: x * d / (1.2 - x.diff(dim=2, prepend=x[..., :1]).abs().amax(2, keepdim=True)).clamp(0),
            "by turns",
        ),
    ],
)
def test_input_within_full_scale_that_gives_no_number_is_a_finding(
    way: Callable[[Tensor, Tensor], Tensor], finding: str
) -> None:
    found = said(Quiet(way))
    assert any(finding.split(" where ")[-1] in line for line in found), found
    assert all(line.startswith("finite: audio, sample ") and "not a finite number" in line for line in found)
    if finding.startswith("sample"):
        assert any(line.startswith(f"finite: audio, {finding.split(' where ')[0]}:") for line in found)


def test_a_state_that_is_lost_is_told() -> None:
    (found,) = said(Poisoned(lambda x, d: x))
    assert "finite: audio, sample 8: the output is nan, not a finite number, at this sample where sound is -1" in found
    assert "from then on the states (mean) are lost, and with them all that follows" in found
    (found,) = said(Delayed(lambda x, d: x))
    assert "finite: line, sample 8: the state is nan, not a number, after a call where sound is -1 throughout" in found


@pytest.mark.parametrize(
    ("way", "where"),
    [
        (lambda x, d: x * d / (3 - x.abs()).clamp(0), "sound is 4 throughout"),
        (lambda x, d: x * (5.5 - d).sqrt(), "drive is 1000 throughout"),
        (lambda x, d: x * d * torch.exp(x.abs()), "sound is 1000 throughout"),
    ],
)
def test_input_above_full_scale_is_a_warning(way: Callable[[Tensor, Tensor], Tensor], where: str) -> None:
    assert said(Quiet(way)) == []
    assert [where in line for line in said(Quiet(way), warn)] == [True]


def test_what_clamps_its_input_is_left_alone() -> None:
    module = Quiet(lambda x, d: (x.clamp(-1, 1) + 1).sqrt() * torch.tanh(d))
    assert said(module) == said(module, warn) == []


def test_a_module_that_raises_for_an_extreme_is_told_with_which() -> None:
    def looks_up(x: Tensor, d: Tensor) -> Tensor:
        return x * torch.arange(1.0, 8.0)[(x * 9).long().abs().clamp(0, 5 if x.abs().max() < 2 else 99)]

    assert said(Quiet(looks_up)) == []
    assert "finite: forward: raises IndexError" in said(Quiet(looks_up), warn)[0]


@pytest.mark.parametrize("name", ["hpn-reduced-flute", "ddx7-reduced-flute", "wavetable-reduced-flute"])
def test_the_families_play_all_of_it(name: str) -> None:
    module = load(name).eval()
    assert said(module, lambda module: warn(module)) == []
    from tonearm.export.lint.extremes import check_extremes

    assert said(module, check_extremes) == []


def test_the_signals_are_what_they_are_called() -> None:
    for kinds in (within(-1, 1, 8, 4), beyond(-1, 1, 8, 4), within(0.5, 0.5, 8, 1)):
        signals = dict(kinds)
        assert all(signal.shape[:2] == (1, 8) and signal.dtype == np.float32 for signal in signals.values())
        assert len(signals) >= 6
    signals = dict(within(-1, 1, 8, 4))
    assert 0 < signals["1e-40 throughout"].min() < np.finfo(np.float32).tiny
    assert np.abs(np.diff(signals["1 and -1 by turns"].ravel())).min() == 2
