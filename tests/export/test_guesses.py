"""States and the hop of a graph made elsewhere are told from names and shapes only where there is one reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tonearm.export.errors import ForeignError
from tonearm.export.foreign.guesses import Tensor, correspond, guess_hop, guess_states

SHAPES = st.sampled_from([(1, 64), (1, 1, 64), (2, 1, 128), (1, 8), ()])
STEMS = st.sampled_from(["h", "c", "cache", "gru_state", "conv_cache", "memory2", "buffer.left", "hiddenState"])
WAYS = st.sampled_from(
    ["{} {}_next", "{} {}_out", "{} new_{}", "{}_in {}_out", "prev_{} {}", "{} {}N", "{}_0 {}_n", "past_{} present_{}"]
)
NAMES = st.text("abhcnxio01_", min_size=1, max_size=6)


def tensors(**shapes: tuple[int, ...]) -> list[Tensor]:
    return [Tensor(name, "float32", shape) for name, shape in shapes.items()]


@pytest.mark.parametrize(
    "pair",
    [
        "h hn",
        "h_in h_out",
        "state stateN",
        "cache new_cache",
        "x x_next",
        "prev_x x",
        "h0 hn",
        "c0 cn",
        "r1i r1o",
        "state_h state_h_out",
        "newState newState_out",
        "past_1 present_1",
        "inter_cache inter_cache_out",
        "in_cache0 out_cache0",
        "states new_states",
        "input_state input_state_out",
        "hidden updated_hidden",
        "prevAudio nextAudio",
    ],
)
def test_a_state_is_told_by_its_two_names(pair: str) -> None:
    assert correspond(*pair.split())


@pytest.mark.parametrize(
    "pair",
    [
        "input output",
        "audio_in audio_out",
        "x y",
        "in out",
        "x_in x_out",
        "mix enh",
        "h c",
        "h cn",
        "state_1 state_2",
        "frame frame_out",
        "conv_cache tra_cache_out",
        "h1 h2_out",
        "audio audio_out",
        "43 44",
    ],
)
def test_what_is_played_and_heard_is_no_state_nor_is_another_tensor(pair: str) -> None:
    assert not correspond(*pair.split())


@given(st.dictionaries(STEMS, SHAPES, min_size=1, max_size=4), WAYS, st.randoms())
def test_states_named_in_one_way_are_all_found_whatever_their_order(
    shapes: dict[str, tuple[int, ...]], way: str, random: object
) -> None:
    pairs = {way.split()[0].format(stem): way.split()[1].format(stem) for stem in shapes}
    before = [Tensor(name, "float32", shape) for name, shape in zip(pairs, shapes.values(), strict=True)]
    after = [Tensor(name, "float32", shape) for name, shape in zip(pairs.values(), shapes.values(), strict=True)]
    inputs, outputs = [*tensors(audio=(1, 256)), *before], [*tensors(sound=(1, 256)), *after]
    random.shuffle(inputs)  # type: ignore[attr-defined]
    random.shuffle(outputs)  # type: ignore[attr-defined]
    assert guess_states(inputs, outputs) == pairs


@given(st.dictionaries(NAMES, SHAPES, max_size=4), st.dictionaries(NAMES, SHAPES, max_size=4))
def test_a_guess_is_one_to_one_fits_and_leaves_something_to_play_or_there_is_none(
    before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]
) -> None:
    try:
        pairs = guess_states(tensors(**before), tensors(**after))
    except ForeignError as error:
        assert "--state " in str(error)
        return
    assert len(set(pairs.values())) == len(pairs)
    for name, output in pairs.items():
        assert before[name] == after[output]
        assert [other for other in after if correspond(name, other) and after[other] == before[name]] == [output]
    assert not pairs or (len(pairs) < len(before) and len(pairs) < len(after))


def test_a_state_without_a_telling_name_is_asked_for() -> None:
    with pytest.raises(ForeignError, match=r"perhaps 43 -> 44\. .*--state 43=44"):
        guess_states(tensors(audio=(1, 512), **{"43": (1, 8)}), tensors(speech=(1, 1), **{"44": (1, 8)}))


def test_a_control_beside_the_audio_is_no_state() -> None:
    assert guess_states(tensors(audio=(1, 64), gain=(1, 1)), tensors(out=(1, 64))) == {}


def test_types_must_agree() -> None:
    inputs = [*tensors(audio=(1, 64)), Tensor("h", "float64", (1, 8))]
    assert guess_states(inputs, [*tensors(out=(1, 64)), Tensor("hn", "float32", (1, 8))]) == {}


@pytest.mark.parametrize(
    ("inputs", "outputs", "hop"),
    [
        ({"audio": (1, 512)}, {"p": (1, 1)}, 512),
        ({"audio": (1, 1, 64), "gain": (1, 1)}, {"out": (64,)}, 64),
        ({"x": (1, 1)}, {"y": (1, 1)}, 1),
        ({"a": (480,), "limit": ()}, {"out": (480,), "snr": (1,)}, 480),
        ({"mix": (1, 257, 1, 2)}, {"enh": (1, 257, 1, 2)}, None),
        ({"magnitude": (1, 1, 257)}, {"mask": (1, 1, 257)}, None),
        ({"stereo": (1, 2, 64)}, {"out": (1, 2, 64)}, None),
        ({"f0": (1, 1), "loudness": (1, 1)}, {"out": (1, 64)}, None),
        ({"a": (1, 64), "b": (1, 32)}, {"out": (1, 16)}, None),
    ],
)
def test_the_hop_is_told_by_a_size_that_can_only_be_samples(
    inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], hop: int | None
) -> None:
    if hop is None:
        with pytest.raises(ForeignError, match="--hop"):
            guess_hop(tensors(**inputs), tensors(**outputs))
    else:
        assert guess_hop(tensors(**inputs), tensors(**outputs)) == hop
