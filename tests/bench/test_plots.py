"""Plots: what they thin out and keep, and the SVG that goes into a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tonearm.bench.output.plots import COLOURS, GREY, INK, PAPER, POINTS, log_axis, panel, svg
from tonearm.bench.report.parts.memory import steps_up
from tonearm.bench.report.parts.spread import longer_than
from tonearm.bench.report.parts.watched import extremes

TIMES = st.tuples(st.integers(1, 3000), st.integers(1, 10**12), st.integers(0, 99)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(1, drawn[1], drawn[0], endpoint=True)
)


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("colour", [*COLOURS, GREY])
@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_a_colour_stands_out_on_a_light_and_on_a_dark_page(colour: str, page: str) -> None:
    light, dark = sorted([luminance(colour), luminance(page)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


@given(TIMES)
def test_a_thinned_out_curve_keeps_the_longest_and_the_shortest_and_stays_true(times: np.ndarray) -> None:
    values, share = longer_than(times)
    assert values[0] == times.max() and values[-1] == times.min()
    assert share[0] == 1 / times.size and share[-1] == 1
    assert len(values) <= POINTS
    assert np.all(np.diff(values) <= 0)
    assert all(
        np.count_nonzero(times >= value) >= round(part * times.size) for value, part in zip(values, share, strict=True)
    )


@given(TIMES)
def test_a_thinned_out_course_keeps_its_extremes_in_order_of_time(values: np.ndarray) -> None:
    seconds, kept = extremes(np.arange(values.size, dtype=float), values)
    assert (kept.min(), kept.max()) == (values.min(), values.max())
    assert np.all(np.diff(seconds) > 0)
    assert len(kept) <= POINTS


def test_a_stage_that_was_not_recorded_goes_to_the_next_and_one_that_gave_memory_back_added_none() -> None:
    row = dict.fromkeys(("python_kb", "numpy_kb", "buffers_kb"), float("nan"))
    row |= {"onnxruntime_kb": 20480.0, "session_kb": 40960.0, "private_kb": 30720.0}
    assert steps_up(row) == [("onnxruntime_kb", 20), ("session_kb", 20), ("private_kb", 0)]


def picture(label: str = "a plot") -> str:
    with panel() as (figure, axes):
        axes.plot([1, 2], [3, 4], color=COLOURS[0])
        axes.barh(3, 1, color=GREY, edgecolor=PAPER)
        log_axis(axes.xaxis, 0.03, 3)
        axes.set_ylabel("what < is & shown")
        return svg(figure, label)


def test_a_plot_is_well_formed_in_the_pages_font_and_colours() -> None:
    text = picture('a "quoted" <label> & \\1')
    root = ElementTree.fromstring(text)  # noqa: S314 (our own)
    assert root.get("aria-label") == 'a "quoted" <label> & \\1'
    assert INK not in text and PAPER not in text
    assert "currentColor" in text and "Canvas" in text
    assert "DejaVu" not in text and "#000000" not in text
    shown = {"".join(element.itertext()).strip() for element in root.iter() if element.tag.endswith("text")}
    assert {"0.05", "0.1", "2", "what < is & shown"} <= shown


def test_dollars_in_a_name_are_no_formula() -> None:
    with panel() as (figure, axes):
        axes.text(0, 0, r"hpn-$\frac{$")
        assert r"hpn-$\frac{$" in svg(figure, "a plot")


def test_a_plot_is_the_same_every_time_and_has_all_that_it_refers_to() -> None:
    text = picture()
    assert text == picture()
    assert set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", text)) <= set(re.findall(r' id="([^"]*)"', text))
