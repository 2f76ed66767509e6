"""The published protocols: which cases they are, and their tables, from step times whose mean and spread are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tonearm.bench.errors import BenchError
from tonearm.bench.output.numbers import digits, thousands
from tonearm.bench.output.tables import Bold, Table, markdown
from tonearm.bench.report.protocol_cells import Cell
from tonearm.bench.report.protocol_tables import PUBLISHED, gain, tables
from tonearm.bench.sweep.protocols import blocks, grid
from tonearm.bench.terms import DDX7, INSTRUCTIONS, PAPER, TIME
from tonearm.models.catalogue import resolve
from tonearm.runtime.bundle import Bundle

# As published: latency in ms, then mean and std of the real-time factor.
FM = ((256, 0.079, 0.005), (128, 0.158, 0.011), (64, 0.343, 0.039), (32, 0.637, 0.042), (16, 1.31, 0.169))
FM += ((8, 2.51, 0.161), (4, 5.01, 0.215))
HPN = ((256, 0.231, 0.0124), (128, 0.466, 0.0229), (64, 1.04, 0.192), (32, 1.88, 0.111), (16, 3.71, 0.188))
HPN += ((8, 7.39, 0.32), (4, 15.2, 1.19))
PAGE = """\
|        256 |     0.231 (0.0124) |     0.079 (0.005) |
|        128 | **0.466 (0.0229)** |     0.158 (0.011) |
|         64 |       1.04 (0.192) |     0.343 (0.039) |
|         32 |       1.88 (0.111) | **0.637 (0.042)** |
|         16 |       3.71 (0.188) |      1.31 (0.169) |
|          8 |        7.39 (0.32) |      2.51 (0.161) |
|          4 |        15.2 (1.19) |      5.01 (0.215) |"""


def steps(mean: float, std: float, n: int = 100) -> np.ndarray:
    """So many step times of that mean and spread, ns."""
    away = std * math.sqrt((n - 1) / n)
    return np.rint(mean + away * np.where(np.arange(n) % 2, 1, -1)).astype(np.int64)


def cell(model: str, block: int, *runs: np.ndarray, **more: Any) -> Cell:
    """One of a model of one board."""
    board = {"board": "pi", "cpu": "Cortex-A72", "kernel": "6.1.0", "clock": TIME, "cores": 4, "version": "1.31.1"}
    what = {"protocol": DDX7, "engine": "onnxruntime", "parameters": 4_314_408, "sample_rate": 16000, "threads": 1}
    given = {**board, **what, "weights": "random", "peak_kb": 51200, "model": model, "block": block, "runs": runs}
    return Cell(**{**given, **more})


def published(model: str, table: tuple[tuple[int, float, float], ...], scale: float = 1, **more: Any) -> list[Cell]:
    """The cells of a column, in an order that is not theirs; `scale` slows it down."""
    found = []
    for latency, mean, std in table[::-1]:
        unit = 1e6 * latency
        found.append(cell(model, 16 * latency, scale * steps(mean * unit, std * unit), **more))
    return found


def body(table: Table) -> str:
    """The rows in Markdown."""
    return "\n".join(line for line in markdown(table).splitlines() if line.strip("| ")[:1].isdigit())


def test_the_pages_figures_make_the_pages_table() -> None:
    made = tables([*published("ddx7", FM, parameters=415_764), *published("hpn", HPN)])
    assert made[0].headings == ["latency ms", "hpn (4.31M)", "ddx7 (416k)"]
    assert body(made[0]) == PAGE
    assert [row[2] for row in made[0].rows] == [fm for _, fm, _ in PUBLISHED]
    assert [isinstance(row[2], Bold) for row in made[0].rows] == [isinstance(fm, Bold) for _, fm, _ in PUBLISHED]
    assert [row[1] for row in made[0].rows] == [hpn for *_, hpn in PUBLISHED]
    assert "100 renders" in made[0].notes[0]


def test_what_is_published_stands_apart_and_is_cited() -> None:
    made = tables(published("hpn", HPN))
    assert len(made) == 2
    assert (
        made[1].title
        == "For reference, published and not measured here: DDX7 page (Caspe et al., 2022), PyTorch, laptop i7-6700HQ"
    )
    assert made[1].rows == [list(map(str, row)) for row in PUBLISHED]


def test_nothing_is_bold_where_nothing_is_in_real_time_and_it_says_so() -> None:
    made = tables([*published("slow", HPN, 5), *published("fast", FM)])[0]
    assert not any(isinstance(row[2], Bold) for row in made.rows)
    assert sum(isinstance(row[1], Bold) for row in made.rows) == 1
    assert "slow is not in real time at any of these latencies." in made.notes
    assert not any(note.startswith("fast is") for note in made.notes)


def test_the_smallest_latency_in_real_time_is_bold_though_a_larger_one_is_not() -> None:
    made = tables([cell("m", 4096, steps(300e6, 1e6)), cell("m", 1024, steps(32e6, 1e6)), cell("m", 64, steps(5e6, 0))])
    assert [row[1] for row in made[0].rows] == ["1.17 (0.00391)", "0.5 (0.0156)", "1.25 (0)"]
    assert [isinstance(row[1], Bold) for row in made[0].rows] == [False, True, False]


def test_bold_is_seen_on_a_terminal_and_written_where_it_is_not() -> None:
    table = tables(published("hpn", HPN))[0]
    piped, terminal = Console(width=100, record=True), Console(width=100, record=True, force_terminal=True)
    with piped.capture() as plain:
        piped.print(table)
    with terminal.capture() as styled:
        terminal.print(table)
    assert "**0.466 (0.0229)**" in plain.get()
    assert "\x1b[1m0.466 (0.0229)\x1b[0m" in styled.get()
    assert "**" not in styled.get()


def test_pytorch_beside_has_a_table_and_the_gain_with_its_interval() -> None:
    slow = published("hpn", HPN, 4, engine="torch", version="2.13.0")
    made = tables([*published("hpn", HPN), *slow])
    assert made[1].headings == ["latency ms", "hpn (4.31M)", "gain"]
    assert "eager PyTorch 2.13.0" in made[1].title
    assert made[1].rows[0][1] == Bold("0.924 (0.0496)") and isinstance(made[1].rows[0][1], Bold)
    assert {row[2].split(" ")[0] for row in made[1].rows} == {"4x"}
    assert "hpn" not in "".join(map("".join, made[2].rows))


def test_the_gain_is_the_ratio_of_medians_and_its_interval_encloses_it() -> None:
    random = np.random.default_rng(0)
    ours, theirs = (random.normal(mean, 0.1 * mean, 400).astype(np.int64) for mean in (1e6, 3e6))
    text = gain(cell("m", 64, ours), cell("m", 64, theirs))
    value, low, high = (float(part.strip("x[],")) for part in text.split())
    assert value == pytest.approx(float(np.median(theirs) / np.median(ours)), rel=0.01)
    assert low < value < high


def test_a_virtual_board_has_counts_and_no_real_time() -> None:
    counted = [cell("hpn", 64, steps(1.058e6, 1e3), clock=INSTRUCTIONS)]
    (made,) = tables(counted)
    assert "M instructions a render" in made.title
    assert made.rows == [["4", "1.06 (0.001)"]]
    assert "no real-time factor" in made.notes[0]
    (paper,) = tables([replace_protocol(counted[0])])
    assert paper.headings == ["threads", "buffer samples", "M instructions", "peak MiB"]
    assert paper.rows == [["1", "64", "1.06 (0.001)", "50.0"]]


def replace_protocol(one: Cell) -> Cell:
    """The same under the paper's."""
    return one._replace(protocol=PAPER)


def test_the_papers_table_has_buffers_by_threads_and_pytorch_beside() -> None:
    ours = [cell("hpn", n, steps(1e4 * n, 1e4), threads=t, protocol=PAPER, cores=2) for t in (2, 1) for n in (128, 64)]
    theirs = [cell("hpn", 64, steps(1.28e6, 0), protocol=PAPER, engine="torch", version="2.13.0", peak_kb=204_800)]
    (made,) = tables([*ours, *theirs])
    assert made.headings[:5] == ["threads", "buffer samples", "ms", "RTF", "peak MiB"]
    assert made.headings[5:] == ["PyTorch ms", "PyTorch RTF", "PyTorch peak MiB", "gain"]
    assert [row[:2] for row in made.rows] == [["1", "64"], ["1", "128"], ["2", "64"], ["2", "128"]]
    assert made.rows[0][2:8] == ["0.64 (0.01)", "0.16", "50.0", "1.28 (0)", "0.32", "200.0"]
    assert made.rows[0][8].startswith("2x [")
    assert made.rows[1][5:] == ["", "", "", ""]
    assert "pi has 2 cores, so 4 threads are left out." in made.notes
    assert any("not bytes of weights" in note for note in made.notes)


def test_boards_protocols_and_versions_are_never_in_one_table() -> None:
    same = published("hpn", HPN)
    others = [[one._replace(**changed) for one in same] for changed in ({"kernel": "6.6.0"}, {"version": "1.30.0"})]
    papers = [replace_protocol(one) for one in same]
    assert len([t for t in tables([*same, *others[0], *others[1], *papers]) if "published" not in t.title]) == 4


@given(st.floats(1e-9, 1e9))
def test_numbers_have_three_digits_and_no_exponent(value: float) -> None:
    text = digits(value)
    assert float(text) == pytest.approx(value, rel=0.0051)
    assert "e" not in text
    assert len(text.replace(".", "").strip("0")) <= 3


@pytest.mark.parametrize(("parameters", "text"), [(4_314_408, "4.31M"), (23_512, "23.5k"), (400_000, "400k")])
def test_parameters_are_counted_as_the_page_does(parameters: int, text: str) -> None:
    assert thousands(parameters) == text


def test_the_grids_are_the_published_ones(golden_bundle: Bundle) -> None:
    page = grid(DDX7, "pi", [golden_bundle], 4)
    assert page["blocks"] == (64, 128, 256, 512, 1024, 2048, 4096)
    assert (page["threads"], page["steps"], page["engines"]) == ((1,), 100, ("onnxruntime",))
    paper = grid(PAPER, "pi", [golden_bundle], 4)
    assert paper["blocks"] == tuple(64 << k for k in range(10))
    assert (paper["threads"], paper["steps"]) == ((1, 2, 4), 100)


def test_threads_that_a_board_has_no_cores_for_are_left_out_and_told(
    golden_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grid(PAPER, "pi", [golden_bundle], 2)["threads"] == (1, 2)
    assert "pi has 2 cores: 4 threads are left out" in capsys.readouterr().err


def test_a_virtual_board_is_asked_for_few_calls(golden_bundle: Bundle) -> None:
    assert grid(DDX7, "virtual", [golden_bundle], 1)["steps"] < 100


def test_pytorch_is_beside_where_the_models_can_be_made_again(
    golden_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = replace(golden_bundle, provenance=resolve("hpn-reduced").provenance)
    assert grid(DDX7, "loopback", [ours], 2)["engines"] == ("onnxruntime", "torch")
    assert grid(DDX7, "loopback", [ours, golden_bundle], 2)["engines"] == ("onnxruntime",)
    assert "not measured in PyTorch: hpn-reduced (golden, fp32)" in capsys.readouterr().err


def test_other_sample_rates_have_other_blocks_or_none(golden_bundle: Bundle) -> None:
    assert blocks(DDX7, 48_000) == tuple(192 << k for k in range(7))
    with pytest.raises(BenchError, match="at 44100 Hz"):
        blocks(DDX7, 44_100)
    with pytest.raises(BenchError, match="16000, 48000 Hz"):
        grid(DDX7, "pi", [golden_bundle, replace(golden_bundle, sample_rate=48_000)], 1)


def test_two_weights_of_one_model_have_a_column_each() -> None:
    made = tables([*published("hpn", HPN), *published("hpn", FM, weights="trained")])[0]
    assert made.headings[1:] == ["hpn, random (4.31M)", "hpn, trained (4.31M)"]
    assert made.rows[0][1:] == ["0.231 (0.0124)", "0.079 (0.005)"]
