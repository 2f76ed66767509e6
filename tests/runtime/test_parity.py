"""The golden clip proves a stream however late its output is, and a cut clip proves what it compares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tonearm.export.streaming import Signals, StreamingModule
from tonearm.export.write import export_bundle
from tonearm.runtime.bundle import Bundle, Provenance
from tonearm.runtime.clip import read_arrays
from tonearm.runtime.errors import ParityError
from tonearm.runtime.parity import check_parity
from tonearm.runtime.stream import Stream
from torch import Tensor


class Late(StreamingModule):
    """Audio, `latency` samples later."""

    sample_rate = 8000
    hop = 1
    latency = 256
    inputs: Mapping[str, int] = {"sound": 1}
    outputs: Mapping[str, int] = {"audio": 1}

    def zero_states(self, batch: int = 1) -> Signals:
        return {"line": torch.zeros(batch, self.latency)}

    def example(self, frames: int) -> Signals:
        return {"sound": torch.cos(torch.arange(frames * self.hop) * 0.37).reshape(1, frames, self.hop)}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        line = torch.cat([given[1], given[0].flatten(1)], 1)
        size = given[0].shape[1] * self.hop
        return line[:, :size].reshape(given[0].shape), line[:, size:]


def export(folder: Path, block: int, hop: int, latency: int) -> Bundle:
    facts: dict[str, Any] = {"hop": hop, "latency": latency, "inputs": {"sound": hop}, "outputs": {"audio": hop}}
    return export_bundle(type("Later", (Late,), facts)(), "late", folder, [block], weights=Provenance("none")).bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Bundle]:
    """By hop: one is late by four blocks, the other by more frames than two blocks and the usual clip have."""
    folder = tmp_path_factory.mktemp("late")
    return {1: export(folder / "1", 64, 1, 256), 4: export(folder / "4", 16, 4, 4 * 600 + 1)}


@pytest.mark.parametrize(
    ("hop", "frames", "compared"), [(1, 64, 129), (1, 200, 200), (4, 8, 9), (4, 64, 64), (4, 511, 511), (4, None, 1113)]
)
def test_a_cut_clip_is_compared_as_far_as_was_asked_however_long_the_latency(
    bundles: dict[int, Bundle], hop: int, frames: int | None, compared: int
) -> None:
    bundle = bundles[hop]
    stream, golden = Stream(bundle, *bundle.graphs), read_arrays(bundle.folder / bundle.golden)
    found = check_parity(stream, golden, frames)
    assert found.pop("step_ns") > 0
    assert found == {"block": stream.block, "frames": compared, "error": 0}
    golden["audio"][compared * hop - 1] += 1
    with pytest.raises(ParityError, match="output audio is wrong"):
        check_parity(stream, golden, frames)
