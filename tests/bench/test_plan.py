"""A sweep's plan: what a file may say, which cases it makes, and in which order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tonearm.bench.errors import BenchError
from tonearm.bench.output.numbers import about
from tonearm.bench.stats.step_times import steps_needed
from tonearm.bench.sweep.cases import Case
from tonearm.bench.sweep.estimate import Estimate
from tonearm.bench.sweep.plan import Plan, cases_of, check_plan, of_precisions, read_plan, steps_of
from tonearm.device.descriptor import BUILT_IN, REAL
from tonearm.models.catalogue import resolve
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.errors import BundleError

RATE = 16_000

WHOLE = """
models = ["hpn-full", "bundles/own"]
boards = ["pi"]
precisions = ["fp32"]
blocks = [64, 256]
threads = [1, 2]
modes = ["paced"]
engines = ["onnxruntime"]
repeats = 5
seconds = 2.5
seed = 7
output = "there"
cool_down = 0
tune = true
profile = false
protocol = "ddx7"
"""


def test_every_key_of_a_plan_is_a_field_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(WHOLE)
    said = read_plan(tmp_path / "plan.toml")
    assert set(said) | {"steps"} == set(Plan.__dataclass_fields__)
    plan = Plan(**said)
    assert (plan.models, plan.blocks, plan.seconds) == (("hpn-full", "bundles/own"), (64, 256), 2.5)
    assert (plan.output, plan.cool_down, plan.tune) == (Path("there"), 0, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("block = [64]", "plan.toml: block: did you mean blocks?"),
        ("xyz = 1", "plan.toml: xyz: not one of models, boards"),
        ("blocks = 64", "plan.toml: blocks: a list of whole numbers from 1 without repeats, not 64"),
        ("blocks = [0]", "plan.toml: blocks: a list of whole numbers"),
        ("blocks = [true]", "plan.toml: blocks: a list of whole numbers"),
        ("blocks = []", "plan.toml: blocks: a list of whole numbers"),
        ("blocks = [64, 64]", "without repeats"),
        ("blocks = [[64]]", "plan.toml: blocks: a list"),
        ('models = "hpn-full"', "plan.toml: models: a list of names"),
        ('modes = ["quick"]', "plan.toml: modes: a list of burst and paced"),
        ('engines = ["jax"]', "plan.toml: engines: a list of onnxruntime and torch"),
        ("repeats = 0", "plan.toml: repeats: a whole number from 1"),
        ("seconds = 0", "plan.toml: seconds: a number of seconds above 0"),
        ("seconds = nan", "plan.toml: seconds: a number of seconds above 0"),
        ("seconds = true", "plan.toml: seconds: a number of seconds above 0"),
        ("cool_down = -1", "plan.toml: cool_down: a number of seconds from 0"),
        ("tune = 1", "plan.toml: tune: true or false"),
        ('protocol = "dx7"', "plan.toml: protocol: ddx7 or paper, not 'dx7'"),
        ("protocol = []", "plan.toml: protocol: ddx7 or paper"),
        ("output = 1", "plan.toml: output: the name of a folder"),
        ("[blocks]\na = 1", "plan.toml: blocks: a list"),
        ("steps = 1\nseconds = 1", "plan.toml: steps and seconds both set the length of a case"),
        ("blocks = [", "plan.toml: "),
        ("\xff", "plan.toml: "),
        (None, "plan.toml: No such file"),
    ],
)
def test_what_a_plan_says_wrong_is_told_by_its_key(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "plan.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(BenchError) as caught:
        read_plan(tmp_path / "plan.toml")
    assert said in str(caught.value)


def cells(cases: list[Case]) -> list[tuple[int, int, str, str]]:
    return [(case.block, case.threads, case.mode, case.engine) for case in cases]


@given(seed=st.integers(), repeats=st.integers(1, 4))
def test_every_repeat_has_all_cells_once_in_an_order_that_the_seed_gives(
    golden_bundle: Bundle, seed: int, repeats: int
) -> None:
    plan = Plan(threads=(1, 2, 3), engines=("onnxruntime", "torch"), repeats=repeats, seed=seed)
    known = replace(golden_bundle, provenance=resolve(golden_bundle.name).provenance)  # PyTorch can make it again
    cases = cases_of(plan, [known, known], "loopback")
    size = 2 * 3 * 2 * 2
    assert [case.repeat for case in cases] == [repeat for repeat in range(repeats) for _ in range(size)]
    rounds = [cells(cases[start : start + size]) for start in range(0, len(cases), size)]
    assert all(len(set(one)) == size and set(one) == set(rounds[0]) for one in rounds)
    assert len({case.key for case in cases}) == len(cases)
    assert cases_of(plan, [known], "loopback") == cases


def test_the_order_is_another_one_in_every_repeat_and_for_another_seed(golden_bundle: Bundle) -> None:
    plan = Plan(threads=tuple(range(1, 9)), repeats=3)
    cases = cases_of(plan, [golden_bundle], "loopback")
    rounds = [cells(cases[start : start + 32]) for start in range(0, 96, 32)]
    other = cells(cases_of(replace(plan, seed=1), [golden_bundle], "loopback"))[:32]
    assert len({tuple(one) for one in [*rounds, other]}) == 4


def test_a_virtual_board_is_measured_once_back_to_back_and_a_real_one_both_ways(golden_bundle: Bundle) -> None:
    virtual, real = (cases_of(Plan(), [golden_bundle], name) for name in ("virtual", "loopback"))
    assert {(case.mode, case.repeat, case.steps) for case in virtual} == {("burst", 0, 32), ("burst", 0, 8)}
    assert {(case.mode, case.repeat) for case in real} == {(m, r) for m in ("burst", "paced") for r in range(3)}


@given(rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]), block=st.integers(1, 1 << 16))
def test_the_repeats_together_have_steps_enough_for_their_percentiles(rate: int, block: int) -> None:
    assert 3 * steps_of(Plan(), rate, block, "burst", REAL) >= steps_needed(99.9)
    paced = steps_of(Plan(), rate, block, "paced", REAL)
    assert 3 * paced >= steps_needed(99)
    assert paced * block >= 10 * rate


def test_steps_or_seconds_decide_for_both_modes_and_every_board() -> None:
    for mode in ("burst", "paced"):
        for kind in (REAL, *BUILT_IN.values()):
            assert steps_of(Plan(steps=5), RATE, 64, mode, kind) == 5
            assert steps_of(Plan(seconds=1), RATE, 100, mode, kind) == 160
            assert steps_of(Plan(seconds=0.0001), RATE, 4096, mode, kind) == 1


def test_a_block_that_a_bundle_does_not_have_is_refused(golden_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no graph for blocks of 128"):
        cases_of(Plan(blocks=(128,)), [golden_bundle], "loopback")


def test_a_precision_keeps_its_bundles_and_one_that_none_has_is_refused(golden_bundle: Bundle) -> None:
    small = replace(golden_bundle, precision="int8")
    assert of_precisions([golden_bundle, small], ["int8"]) == [small]
    assert of_precisions([golden_bundle, small], []) == [golden_bundle, small]
    with pytest.raises(BenchError, match="none of the bundles has precision fp16: they have fp32, int8"):
        of_precisions([golden_bundle, small], ["int8", "fp16"])


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (
            Plan(boards=("loopback", "virtual-2"), modes=("burst", "paced")),
            "the clock of virtual-2 counts",
        ),
        (Plan(boards=("virtual",), models=("hpn-full",), engines=("torch",)), "--board loopback, not virtual"),
    ],
)
def test_what_can_not_be_measured_is_refused_before_it_begins(plan: Plan, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        check_plan(plan)
    check_plan(Plan(boards=("loopback", "virtual"), models=("./own",), modes=("burst",)))
    check_plan(Plan(boards=("loopback",), models=("hpn-full",), engines=("torch", "onnxruntime")))


def test_what_a_sweep_takes_is_estimated_from_the_cases_before(golden_bundle: Bundle) -> None:
    paced, burst = (Case(golden_bundle, 64, 1, 2500, mode) for mode in ("paced", "burst"))  # 10 s of audio each
    estimate = Estimate()
    assert estimate.seconds([paced]) == pytest.approx(12)
    estimate.learn(burst, 4.0, 3.0)  # one second to start, RTF 0.3
    assert estimate.seconds([burst, paced]) == pytest.approx(4 + 11)
    estimate.learn(paced, 23.0, 20.0)  # what is slower than its clock takes longer than its audio
    assert estimate.seconds([paced]) == pytest.approx(2 + 10 * 1.15)


def test_lengths_of_time_are_said_as_people_say_them() -> None:
    said = [about(seconds) for seconds in (0, 42, 89, 90, 240, 5340, 5400, 9000)]
    assert said == [
        *("1 second", "42 seconds", "89 seconds", "2 minutes", "4 minutes", "89 minutes", "1 h 30 min", "2 h 30 min")
    ]
