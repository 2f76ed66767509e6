"""Training repeats, goes on where it was stopped, and teaches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import phrase, small_data
from tonearm.models.constants import HOP
from tonearm.models.errors import TrainingError
from tonearm.models.families.family import Family
from tonearm.models.families.hpn import HpN
from tonearm.models.families.wavetable import Wavetable
from tonearm.models.sound.spectral import multi_scale_spectral
from tonearm.models.training.dataset import Phrase
from tonearm.models.training.train import Batch, Plan, Trained, draw, is_checked, learning_rate, sound, train, validate
from tonearm.runtime.progress import unwatched
from torch import Tensor

DATA = small_data()
PLAN = Plan(50, batch=2, seconds=0.2)


def tiny() -> Family:
    torch.manual_seed(0)
    return HpN(4, 8, 33, reverb=False)


def trained(tmp_path: Path, plan: Plan = PLAN, **how: float) -> tuple[Family, Trained]:
    model = tiny()
    return model, train(model, DATA, plan, tmp_path / f"{plan.seed}.run", unwatched, about="a test", **how)  # type: ignore[arg-type]


def test_fifty_steps_from_one_seed_come_to_the_same_losses_and_from_another_to_others(tmp_path: Path) -> None:
    _, first = trained(tmp_path / "first")
    _, second = trained(tmp_path / "second")
    _, other = trained(tmp_path, Plan(50, batch=2, seconds=0.2, seed=1))
    assert len(first.losses) == 50
    assert np.allclose(first.losses, second.losses, atol=1e-3)
    assert first.validation == pytest.approx(second.validation, abs=1e-3)
    assert not np.allclose(first.losses, other.losses, atol=0.1)


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    _, whole = trained(tmp_path / "whole")
    begun: list[int] = []
    for stop in (21, 40):
        with pytest.raises(KeyboardInterrupt):
            train(tiny(), DATA, PLAN, tmp_path / "0.run", stop_at(stop, begun), about="a test")
    model, parts = trained(tmp_path)
    assert begun == list(range(1, 41))  # none is done twice
    assert np.allclose(whole.losses, parts.losses, atol=1e-3)
    assert list(parts.validation) == list(whole.validation)
    assert validate(model, DATA.validation) == pytest.approx(list(whole.validation.values())[-1], abs=1e-3)


def stop_at(step: int, begun: list[int]) -> Callable[[str, int, int], None]:
    """A report that notes each step and interrupts at one."""

    def report(text: str, done: int, total: int) -> None:
        begun.append(done)
        if done == step:
            raise KeyboardInterrupt

    return report


def test_a_model_learns(tmp_path: Path) -> None:
    before = validate(tiny(), DATA.validation)
    model, done = trained(tmp_path, Plan(400, batch=2, seconds=0.2))
    assert validate(model, DATA.validation) < 0.8 * before
    assert np.mean(done.losses[-10:]) < 0.8 * np.mean(done.losses[:10])
    assert not model.training


def test_the_kept_run_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    plan = Plan(1, batch=1, seconds=0.1)
    trained(tmp_path, plan)
    for model, about in ((tiny(), "another"), (Wavetable(4, reverb=False), "a test")):
        changed = plan if about == "another" else Plan(2, batch=1, seconds=0.1)
        with pytest.raises(TrainingError, match=r"0\.run holds another run .* name another folder with -o"):
            train(model, DATA, changed, tmp_path / "0.run", unwatched, about=about)


@pytest.mark.parametrize("saved", [None, {"a": 1}, {"run": "x"}, [1]])
def test_a_damaged_run_is_named(tmp_path: Path, saved: object) -> None:
    (tmp_path / "0.run").write_bytes(b"no run at all")
    if saved is not None:
        torch.save(saved, tmp_path / "0.run")
    with pytest.raises(TrainingError, match=r"0\.run can't be read: .*; remove it to train from scratch"):
        trained(tmp_path)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was_before(tmp_path: Path) -> None:
    def breaks(batch: Batch, parts: dict[str, Tensor]) -> Tensor:
        return parts["audio"].mean() * (float("nan") if len(seen) == 3 else 1.0)

    seen: list[str] = []
    with pytest.raises(
        TrainingError, match=r"the loss or its gradient is nan at step 3: .*0\.run holds the run before that step"
    ):
        train(tiny(), DATA, PLAN, tmp_path / "0.run", lambda *what: seen.append(what[0]), breaks, keep_seconds=0)
    kept = torch.load(tmp_path / "0.run", weights_only=True)
    assert len(kept["losses"]) == 3
    assert all(value.isfinite().all() for value in kept["model"].values())


def test_a_model_that_plays_no_numbers_is_not_validated() -> None:
    model = tiny()
    with torch.no_grad():
        next(model.parameters())[...] = float("nan")
    with pytest.raises(TrainingError, match=f"plays {DATA.validation[0].name} with numbers that are not finite"):
        validate(model, DATA.validation)


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    rates = [learning_rate(step, 3000) for step in range(3000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[100] == pytest.approx(1, abs=1e-3)
    assert rates[1900] == pytest.approx(0.98**0.19)
    assert rates[2500] == pytest.approx(0.5, rel=0.01)
    assert 0 < rates[-1] < 2e-3


def test_a_run_is_validated_ten_times_and_at_its_end() -> None:
    assert sum(is_checked(step, 1000) for step in range(1000)) == 10
    assert all(is_checked(steps - 1, steps) for steps in (1, 3, 7, 95, 1000))


def test_a_clips_features_and_sound_are_of_one_place() -> None:
    counted = phrase("counted", 200, 2.0)
    samples, frames = np.arange(500 * HOP, dtype=np.float32), np.arange(500, dtype=np.float32)
    numbered = Phrase("numbered", samples, frames, -frames)
    for step in range(5):
        batch = draw([numbered, counted], Plan(9, batch=4, seconds=0.5), step, tiny())
        assert batch.inputs["f0_hz"].shape == (4, 125, 1) and batch.inputs["noise"].shape == (4, 125, HOP)
        for row, (which, start) in enumerate(zip(batch.phrases, batch.starts, strict=True)):
            if which == 0:
                assert batch.inputs["f0_hz"][row, 0, 0] == start
                assert batch.audio[row, 0] == start * HOP and batch.audio.shape[1] == 125 * HOP


def test_a_phrase_shorter_than_a_clip_gives_all_of_it() -> None:
    batch = draw([phrase("short", 200, 0.3)], Plan(1, batch=2, seconds=1.0), 0, tiny())
    assert batch.audio.shape == (2, 75 * HOP) and list(batch.starts) == [0, 0]


def test_the_loss_of_a_sound_with_itself_is_zero_and_grows_with_the_difference() -> None:
    one = torch.from_numpy(phrase("one", 220).audio)[None]
    assert multi_scale_spectral(one, one) == 0
    near, far = (multi_scale_spectral(one, one * gain) for gain in (0.9, 0.3))
    assert 0 < near < far
    assert multi_scale_spectral(one, one * 0.9) == pytest.approx(float(multi_scale_spectral(one * 0.9, one)))


def test_a_phrase_is_played_whole_and_the_same_each_time() -> None:
    model = tiny().eval()
    first = sound(model, DATA.test[0])
    assert first.shape == DATA.test[0].audio.shape
    assert torch.equal(first, sound(model, DATA.test[0]))
