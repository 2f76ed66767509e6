"""What a model gives is sound, or is refused before it reaches a file or a sound card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from square_roots import HOP, LATENCY, root_bundle
from tasks import finish, refuse
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.case import measure_case
from tonearm.runtime.clip import read_golden, write_arrays
from tonearm.runtime.errors import BundleError, ParityError, SoundError
from tonearm.runtime.measure import allocate
from tonearm.runtime.parity import check_parity
from tonearm.runtime.sound import check_outputs, first_odd
from tonearm.runtime.stream import Stream

LOUD = -0.9
Outputs = dict[str, Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return root_bundle(tmp_path_factory.mktemp("bundles") / "root")


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return root_bundle(tmp_path_factory.mktemp("bundles") / "root", forgets=True)


def clip(frames: int = 20, **loud: int) -> dict[str, np.ndarray]:
    """A quiet clip, too loud at sample `at`."""
    sound = np.full(frames * HOP, 0.1, np.float32)
    if loud:
        sound[loud["at"]] = LOUD
    return {"sound": sound.reshape(1, frames, HOP)}


@pytest.mark.parametrize(("block", "at", "first"), [(64, 700, 10), (256, 700, 2), (64, 64, 1), (64, 0, 0)])
def test_a_render_that_is_no_number_is_refused_where_it_becomes_none(
    root: Bundle, block: int, at: int, first: int
) -> None:
    played = clip(at=at)
    sample = max(at - LATENCY, 0) if at else 0
    with pytest.raises(SoundError) as caught:
        Stream(root, block).render(played)
    # At sample 0, the latency hides the first block's start: what is heard is broken from the next block on.
    where = f"in block {first}, sample {sample}" if at else "in block 1, sample 32"
    assert f"root, blocks of {block}: output audio is not a finite number (nan) {where}" in str(caught.value)
    assert "from then on its states (kept) are not finite either, and all that follows is lost" in str(caught.value)


def test_states_that_are_fine_are_not_called_lost(forgetful: Bundle) -> None:
    with pytest.raises(SoundError, match=r"block 10, sample 668: the model can't play"):
        Stream(forgetful, 64).render(clip(at=700))


@pytest.mark.parametrize("at", [0, LATENCY - 1])
def test_what_the_latency_takes_off_is_not_heard(forgetful: Bundle, at: int) -> None:
    sounds = [Stream(forgetful, block).render(clip(at=at))["audio"] for block in (64, 256)]
    assert all(np.isfinite(sound).all() for sound in sounds)
    with pytest.raises(SoundError, match="sample 0:"):
        Stream(forgetful, 64).render(clip(at=LATENCY))


def test_what_comes_after_the_clip_is_not_heard_at_any_block(forgetful: Bundle) -> None:
    played = clip(frames=5)
    played["sound"][0, 4, LATENCY + 4 :] = LOUD  # is held, and comes out after the clip's end, but for its first values
    for block in (64, 256):
        with pytest.raises(SoundError, match=f"sample {4 * HOP + 4}"):
            Stream(forgetful, block).render(played)
    played["sound"][0, 4, LATENCY:] = 0.1
    assert np.isfinite(Stream(forgetful, 256).render(played)["audio"]).all()


def test_the_runner_says_so_and_writes_nothing(root: Bundle, tmp_path: Path) -> None:
    write_arrays(tmp_path / "inputs.npz", clip(at=700))
    how = {"task": "render", "block": 64, "threads": 1, "inputs": "inputs.npz", "outputs": "outputs.npz"}
    kind, message = refuse(tmp_path, root, **how)
    assert kind == "SoundError"
    assert "output audio is not a finite number (nan) in block 10, sample 668" in message
    assert not (tmp_path / "outputs.npz").exists()
    write_arrays(tmp_path / "inputs.npz", clip())
    finish(tmp_path, root, **how)
    assert (tmp_path / "outputs.npz").exists()


def test_a_player_is_told_and_goes_on_after_a_reset(root: Bundle) -> None:
    stream = Stream(root, 64)
    stream.inputs["sound"][...] = 0.1
    stream.step()
    assert stream.is_finite()
    stream.inputs["sound"][...] = LOUD
    stream.step()
    assert not stream.is_finite()
    stream.inputs["sound"][...] = 0.1
    stream.step()
    assert not stream.is_finite()  # its state is lost
    stream.reset()
    stream.step()
    assert stream.is_finite()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinity_is_no_sound_either(value: float) -> None:
    array = np.zeros((1, 2, 3), np.float32)
    assert first_odd(array) is None
    array[0, 1, 1] = value
    assert first_odd(array) == 4


def test_a_measurement_counts_the_steps_that_gave_no_sound(
    root: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    class Broken(Stream):
        """From its 8th step on, the warm-up counted, its input is too loud."""

        steps = 0

        def step(self) -> None:
            self.steps += 1
            if self.steps >= 8:
                self.inputs["sound"][...] = LOUD
            super().step()

    for stream, wanted in ((Stream, None), (Broken, {"steps": 18, "first": 2})):
        request = {"mode": "burst", "block": 64, "threads": 1, "telemetry": False}
        record: dict[str, Any] = {"memory": {}}
        found = measure_case(root, request, record, allocate(20, 5, 3), lambda kind=stream: kind(root, 64))
        assert record.get("not_finite") == wanted
        assert found["step_ns"].shape == (20,) and "not_finite" not in found


def test_parity_of_a_stream_that_gives_no_numbers_fails(root: Bundle) -> None:
    golden = dict(read_golden(root))
    golden["sound"] = golden["sound"] * 2
    with pytest.raises(ParityError, match="output audio is not a finite number"):
        check_parity(Stream(root, 64), golden)


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("name", ["sound", "audio"])
def test_golden_vectors_that_are_no_numbers_prove_nothing(tmp_path: Path, name: str, value: float) -> None:
    bundle = root_bundle(tmp_path / "root")
    golden = read_golden(bundle)
    golden[name].reshape(-1)[100] = value
    write_arrays(bundle.folder / bundle.golden, golden)
    with pytest.raises(BundleError, match=f"golden vectors.*{name} has values that are not finite numbers"):
        read_golden(bundle)


def row(**values: Any) -> Outputs:
    return {"audio": np.zeros(128, np.float32), "level": np.zeros(4, np.float32), **values}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"level": np.zeros(4, np.float32)}, "lacks audio"),
        ({}, "lacks audio, level"),
        (row(more=np.zeros(3)), "has besides more"),
        (row(**{"a\x1b[2J": np.zeros(3)}), r"has besides 'a\\x1b\[2J'"),
        (row(audio=np.zeros(10, np.float32)), "audio has 10 values instead of 128"),
        (row(audio=np.zeros(0, np.float32)), r"audio is float32 of shape \(0,\), not a row of floats"),
        (row(audio=np.zeros((128, 1), np.float32)), r"audio is float32 of shape \(128, 1\)"),
        (row(audio=np.zeros(128, np.complex64)), "audio is complex64"),
        (row(audio=np.zeros(128, np.int16)), "audio is int16"),
        (row(audio=np.zeros(128, np.float16)), "audio is float16"),
        (row(audio=np.zeros(128, np.longdouble)), "audio is longdouble|audio is float128"),
        (row(audio=np.array(["loud"] * 128)), "audio is str"),
        (row(level=np.array([0, 1, np.nan, 0])), r"level is not a finite number \(nan\) at sample 2"),
        (row(audio=np.full(128, -np.inf)), r"audio is not a finite number \(-inf\) at sample 0"),
        (row(audio=[0.0] * 128), "audio is a list"),
    ],
)
def test_sound_is_what_was_asked_for(root: Bundle, given: Outputs, wrong: str) -> None:
    check_outputs(root, row(), 2)
    with pytest.raises(SoundError, match=wrong):
        check_outputs(root, given, 2)
