"""The three families: the same sound as the original implementation, however it is cut into blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import GOLDEN
from streams import HOP, at_once, clips, full_scale_error, in_blocks, partitions
from tonearm.export.streaming import Signals, render
from tonearm.models.catalogue import NAMES as ALL
from tonearm.models.catalogue import TRAINED, load
from tonearm.models.errors import VariantError
from tonearm.models.families.controls import scale_f0, scale_loudness
from tonearm.models.families.ddx7 import DDX7, PATCHES, FMSynthesizer
from tonearm.models.families.family import Family
from tonearm.models.families.hpn import HpN
from tonearm.models.families.wavetable import Wavetable
from tonearm.models.original import GIVEN, inputs_of, offline_parts

NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
VECTORS = {name: dict(np.load(GOLDEN / f"{name}.npz")) for name in NAMES}
FRAMES = 40
STUDENTS = ("hpn-reduced", "ddx7-reduced-flute", "wavetable-reduced")
VARIANTS = [
    *((name, {}) for name in STUDENTS),
    *((name, {"causal": True}) for name in STUDENTS),
    *((name, {"reverb": False}) for name in STUDENTS),
    ("hpn-reduced", {"full_noise": True}),
    ("wavetable-reduced", {"full_noise": True, "causal": True, "reverb": False}),
]


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest) -> tuple[Family, dict[str, np.ndarray]]:
    """A model with the weights that its vectors were made with."""
    return load(request.param, GOLDEN / f"{request.param}.pt"), VECTORS[request.param]


def made(name: str, **options: Any) -> Family:
    """With the golden weights, whatever the options are."""
    module = load(name, **options)
    weights = torch.load(GOLDEN / f"{name}.pt", weights_only=True)
    missing, _ = module.load_state_dict(weights, strict=False)
    assert not missing
    return module


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: "-".join([variant[0], *variant[1]]))
def variant(request: pytest.FixtureRequest) -> Family:
    name, options = request.param
    return made(name, **options)


def taken(module: Family, inputs: Signals) -> Signals:
    """Of drawn inputs those that the module has."""
    return {name: inputs[name] for name in module.inputs}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in NAMES for key in VECTORS[name] if key not in GIVEN])
def test_each_part_is_the_original_implementations(name: str, key: str) -> None:
    parts = offline_parts(load(name, GOLDEN / f"{name}.pt"), VECTORS[name])
    assert full_scale_error(VECTORS[name][key], parts[key]) < 1e-4


def test_no_pitch_and_less_than_the_floor_scale_to_zero() -> None:
    assert scale_f0(torch.tensor([0.0, -1.0])).tolist() == [0, 0]
    assert scale_loudness(torch.tensor([-80.0, -81.0, -200.0])).tolist() == [0, 0, 0]


def test_the_offline_render_takes_the_latency_off(trained: tuple[Family, dict[str, np.ndarray]]) -> None:
    module, vectors = trained
    sure = 300 * HOP - module.latency  # the end of a clip leans on the frame after it
    audio = render(module, inputs_of(module, vectors))["audio"][0, :sure]
    assert full_scale_error(vectors["out.synth_audio"][:sure, 0], audio) < 1e-4


@pytest.mark.parametrize(
    ("name", "total", "decoder", "synth"),
    [
        ("hpn-full", 4_314_408, 4_298_406, 16_002),
        ("hpn-reduced", 23_512, 7_510, 16_002),
        *((f"ddx7-full-{patch}", 415_764, 399_762, 16_002) for patch in ("violin", "flute", "trumpet", "piano")),
        *((f"ddx7-reduced-{patch}", 67_924, 51_922, 16_002) for patch in ("violin", "flute", "trumpet", "piano")),
        ("wavetable-full", 4_283_608, 4_257_366, 26_242),
        ("wavetable-reduced", 32_392, 6_150, 26_242),
    ],
)
def test_sizes_are_the_papers(name: str, total: int, decoder: int, synth: int) -> None:
    parts = load(name).parameters_by_part()
    assert (parts["decoder"], parts["synth"] + parts["reverb"]) == (decoder, synth)
    assert sum(parts.values()) == total
    assert load(name, reverb=False).parameters_by_part() == {**parts, "reverb": 0}


@pytest.mark.parametrize("name", ALL)
def test_every_model_of_the_catalogue_streams_a_phrase_that_can_be_heard(name: str) -> None:
    module = load(name)
    inputs = module.example(124)
    whole = at_once(module, inputs)
    assert full_scale_error(whole, in_blocks(module, inputs, [1, 2, 4, 3, 64, 33, 17])) < 1e-5
    note, rest = (whole.flatten()[start : start + 400].square().mean().sqrt() for start in (3000, 124 * HOP - 400))
    assert 1e-3 < note < 2
    assert name in TRAINED or rest < note / 4


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_model_falls_silent_when_its_room_has(name: str) -> None:
    module = load(name)
    inputs = module.example(500)
    for key, silence in (("loudness_db", -80.0), ("f0_hz", 440.0)):
        inputs[key][:, 125:] = silence
    sound = at_once(module, inputs).flatten()
    note, rest = (sound[start : start + 1600].square().mean().sqrt() for start in (3000, 500 * HOP - 1600))
    assert rest < note / 1000


@pytest.mark.parametrize("name", STUDENTS)
def test_random_weights_repeat_and_leave_the_callers_random_numbers_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    first = load(name).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    second = load(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@settings(deadline=None, max_examples=15)
@given(inputs=clips(FRAMES), partition=partitions(FRAMES))
def test_any_partition_into_blocks_equals_the_whole(variant: Family, inputs: Signals, partition: list[int]) -> None:
    inputs = taken(variant, inputs)
    wanted, got = at_once(variant, inputs), in_blocks(variant, inputs, partition)
    assert torch.isfinite(wanted).all()
    for clip in range(len(wanted)):
        error = full_scale_error(wanted[clip], got[clip])
        assert error < 1e-5, f"blocks of {partition}: clip {clip} is off by {error:.2g} of full scale"


@st.composite
def families(draw: st.DrawFn) -> Family:
    """Any size of any family, with torch's random weights."""
    options = {"causal": draw(st.booleans()), "reverb": draw(st.booleans())}
    hidden, family = draw(st.integers(1, 24)), draw(st.sampled_from(["hpn", "ddx7", "wavetable"]))
    torch.manual_seed(draw(st.integers(0, 100)))
    if family == "ddx7":
        patch = PATCHES[draw(st.sampled_from(sorted(PATCHES)))]
        return DDX7(patch, channels=hidden, blocks=draw(st.integers(2, 5)), **options).eval()
    bands, full_noise = draw(st.integers(33, 150)), draw(st.booleans())
    if family == "wavetable":
        return Wavetable(hidden, bands, full_noise=full_noise, **options).eval()
    return HpN(hidden, draw(st.integers(1, 120)), bands, full_noise=full_noise, **options).eval()


@settings(deadline=None, max_examples=60)
@given(module=families(), inputs=clips(FRAMES), partition=partitions(FRAMES))
def test_any_size_of_any_family_streams(module: Family, inputs: Signals, partition: list[int]) -> None:
    inputs = taken(module, inputs)
    wanted, got = at_once(module, inputs), in_blocks(module, inputs, partition)
    assert torch.isfinite(wanted).all()
    assert full_scale_error(wanted, got) < 1e-5


def test_clips_side_by_side_do_not_touch_each_other(variant: Family) -> None:
    one = variant.example(FRAMES)
    other = {**one, "f0_hz": one["f0_hz"] * 3, "loudness_db": one["loudness_db"] - 20}
    together = at_once(variant, {name: torch.cat([one[name], other[name]]) for name in one})
    for index, inputs in enumerate((one, other)):
        assert full_scale_error(at_once(variant, inputs)[0], together[index]) < 1e-5, f"clip {index}"


@settings(deadline=None, max_examples=10)
@given(inputs=clips(FRAMES), frame=st.integers(1, FRAMES - 1), size=st.sampled_from([1, 8, FRAMES]))
def test_new_input_never_changes_earlier_output(variant: Family, inputs: Signals, frame: int, size: int) -> None:
    partition, inputs = [size] * (FRAMES // size), taken(variant, inputs)
    later = {name: value.clone() for name, value in inputs.items()}
    later["f0_hz"][:, frame:] = 333
    later["loudness_db"][:, frame:] += 10
    before, after = (in_blocks(variant, clip, partition).flatten(1) for clip in (inputs, later))
    changed = (before != after).any(0).nonzero()[:, 0]
    first = int(changed[0])
    assert first >= frame * HOP, f"frame {frame} changes sample {first}, before its own first, {frame * HOP}"
    assert first < (frame + 1) * HOP, f"frame {frame} is first heard at sample {first}"


@pytest.mark.parametrize("name", STUDENTS)
def test_the_causal_ramp_lags_by_nothing_and_sounds_as_the_centred_one_where_pitch_rests(name: str) -> None:
    centred, causal = made(name, reverb=False), made(name, reverb=False, causal=True)
    assert (centred.latency, causal.latency) == (HOP // 2, 0)
    inputs = centred.example(60)
    inputs["f0_hz"][:] = 250.0
    inputs["loudness_db"][:] = -20.0
    held = slice(40 * HOP, 60 * HOP - HOP)
    wanted, got = (render(module, inputs)["audio"][0, held] for module in (centred, causal))
    tolerance = 1e-2 if name.startswith("ddx7") else 1e-3  # what still moves is the decoder
    assert full_scale_error(wanted, got) < tolerance


@pytest.mark.parametrize("name", ["hpn-reduced", "wavetable-reduced"])
def test_the_full_noise_filter_is_the_convolution_with_every_tap_overlap_added(name: str) -> None:
    module = made(name, full_noise=True, causal=True, reverb=False)
    inputs = module.example(12)
    with torch.no_grad():
        parts, _ = module.parts(inputs, module.zero_states())
    bands = 2 / (1 + np.exp(-module.split(parts["controls"])[2][0].double().numpy())) ** np.log(10) + 1e-7
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)
    taps = np.roll(np.fft.irfft(bands, 128), 64, 1) * window
    wanted = np.zeros(12 * HOP + 127)
    for frame, noise in enumerate(inputs["noise"][0].double().numpy()):
        wanted[frame * HOP : frame * HOP + HOP + 127] += np.convolve(noise, taps[frame])
    assert full_scale_error(wanted[: 12 * HOP], parts["noise"].flatten()) < 1e-5


def test_without_reverb_the_sound_is_the_dry_one() -> None:
    module = made("hpn-reduced", reverb=False)
    sure = 300 * HOP - module.latency
    vectors = VECTORS["hpn-reduced"]
    audio = render(module, inputs_of(module, vectors))["audio"][0, :sure]
    assert full_scale_error(vectors["out.dereverb_audio"][:sure, 0], audio) < 1e-4


def test_a_family_without_noise_has_no_noise_filter() -> None:
    with pytest.raises(VariantError, match="ddx7-full-piano has no noise"):
        load("ddx7-full-piano", full_noise=True)


def test_a_modulator_has_the_higher_number_and_every_operator_is_heard() -> None:
    for name, patch in PATCHES.items():
        operators = range(1, len(patch.ratios) + 1)
        assert all(m > carrier for carrier, ms in patch.modulators.items() for m in ms), name
        heard = {*patch.carriers, *(m for ms in patch.modulators.values() for m in ms)}
        assert heard == set(operators), name


# Operators by number, each with what modulates it.
RECIPES = {
    "1stack2": lambda op: op(1, op(2)),
    "2stack2": lambda op: op(1, op(2)) + op(3, op(4)),
    "1stack4": lambda op: op(1, op(2, op(3, op(4)))),
    "flute4": lambda op: op(1, op(2) + op(3, op(4))),
    "trumpet4": lambda op: op(1, op(2) + op(3, op(4))),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_ablations_are_modulated_as_their_recipes_say(name: str) -> None:
    synth, count, f0_hz = FMSynthesizer(PATCHES[name], causal=True), len(PATCHES[name].ratios), 441.7
    controls = torch.linspace(-1, 2, count).expand(1, 20, count)
    parts, _ = synth(controls, torch.full((1, 20, 1), f0_hz), None, synth.zero_states(1))
    cycles = np.arange(1, 20 * HOP + 1) * float(np.float32(f0_hz)) / 16_000
    levels = 0.32 / (1 + np.exp(-controls[0, 0].double().numpy()))

    def operator(number: int, modulation: np.ndarray | float = 0.0) -> np.ndarray:
        phase = float(synth.fr[number - 1]) * cycles + modulation
        return levels[number - 1] * np.sin(2 * np.pi * phase)

    assert full_scale_error(RECIPES[name](operator) / 0.32, parts["dry"].flatten()) < 1e-5
