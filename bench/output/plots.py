"""Small plots for a page: inline SVG in the page's own font and text colour, light or dark, that needs no script."""

from __future__ import annotations

import contextlib
import html
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .numbers import digits

# At least 3:1 on white and on the dark page alike, and alternating in hue.
COLOURS = (
    *("#2f7fd6", "#d9690d", "#1f9a5f", "#a45fd0", "#dc4a58"),
    *("#1793a3", "#a07a10", "#d0539f", "#5f8a1c", "#8f6b4a"),
)
GREY = "#767676"  # can be read on white and on black
# Matplotlib knows no colour that depends on the reader: these two become the page's.
INK, PAPER = "#010101", "#fefefe"
PAGE_COLOURS = {INK: "currentColor", PAPER: "Canvas"}
POINTS = 200  # of a curve: more can't be seen
WIDTH, HEIGHT = 4.7, 3.1  # inches of 72 units: as wide as a phone, where letters keep their size
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tonearm",  # the same figures make the same file
    "font.size": 11,
    "text.parse_math": False,  # a $ in a name is a $
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}


@contextlib.contextmanager
def panel(height: float = HEIGHT) -> Iterator[tuple[Any, Any]]:
    """A figure of one plot, `height` inches high, and its axes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.add_subplot()


def svg(figure: Any, label: str) -> str:
    """A figure as an SVG to put into a page; `label` says what it shows to who can't see it."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r"<defs>\s*</defs>", "", text).replace("xlink:href", "href")
    text = re.sub(r"<svg .*?viewBox=\"([^\"]*)\".*?>", rf'<svg viewBox="\1" role="img" {_label(label)}>', text, count=1)
    return _smaller(_in_page_colours(text))


def _label(label: str) -> str:
    return f'aria-label="{html.escape(label)}"'.replace("\\", r"\\")


def _in_page_colours(text: str) -> str:
    for ours, page in PAGE_COLOURS.items():
        text = text.replace(ours, page)
    return re.sub(r"font-family: [^;\"]*;?", "", text)


def _smaller(text: str) -> str:
    """A tenth of a unit is a tenth of a pixel; names that nothing refers to say nothing."""
    text = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), text)
    used = set(re.findall(r"#([\w.]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda name: name[0] if name[1] in used else "", text)
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><")
    return re.sub(r" (?=[MLz\"])", "", text)


def log_axis(axis: Any, low: float, high: float) -> None:
    """A logarithmic axis from `low` to `high` with a label at 1, 2, 5, 10 ..., or at round values if they are close."""
    from matplotlib import ticker

    if high <= low * 1.01:
        low, high = low * 0.98, high * 1.02
    margin = (high / low) ** 0.04
    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (low / margin, high * margin)})
    steps = [one * 10.0**power for power in _powers(low, high) for one in ((1, 2, 5) if high / low < 300 else (1,))]
    ticks = [tick for tick in steps if low / margin <= tick <= high * margin]
    if len(ticks) < 3:
        ticks = [tick for tick in ticker.MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    axis.set_ticks(ticks, [digits(tick, 6) for tick in ticks])
    axis.set_ticks([], minor=True)


def _powers(low: float, high: float) -> range:
    return range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)


def block_axis(axes: Any, blocks: Sequence[int]) -> None:
    """A logarithmic axis of blocks, labelled as far as there is room."""
    blocks = sorted(set(blocks))
    every = math.ceil(len(blocks) / 7)
    labels = [str(block) if (len(blocks) - 1 - index) % every == 0 else "" for index, block in enumerate(blocks)]
    axes.set(xscale="log", xlabel="block (samples)", xlim=(blocks[0] / 1.15, blocks[-1] * 1.15))
    axes.set_xticks(blocks, labels)
    axes.set_xticks([], minor=True)


def note(axes: Any, x: float, y: float, text: str, beside: tuple[float, float] = (3, 3), **look: Any) -> None:
    """A word inside a plot, small, beside a place in its own units."""
    axes.annotate(text, (x, y), xytext=beside, textcoords="offset points", fontsize=10, **look)


def stacked_bars(
    cases: Sequence[tuple[str, Sequence[tuple[float, str]]]], unit: str, label: str, marks: Sequence[float] = ()
) -> str:
    """Lying stacked bars of (length, colour), the name of each above it, and a mark on each."""
    with panel(0.6 + 0.55 * len(cases)) as (figure, axes):
        for row, (name, parts) in enumerate(cases):
            left = np.cumsum([0.0, *(length for length, _ in parts)])
            for start, (length, colour) in zip(left, parts, strict=False):
                axes.barh(row, length, 0.42, start, color=colour, edgecolor=PAPER, linewidth=0.8)
            axes.text(0, row - 0.3, name, fontsize=10, verticalalignment="bottom")
            if marks:
                axes.vlines(marks[row], row - 0.3, row + 0.3, color=INK, linewidth=2)
        axes.set(ylim=(len(cases) - 0.6, -0.75), yticks=[], xlabel=unit)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(left=0)
        return svg(figure, label)
