"""Results as people read them: a table in the terminal, CSV, one HTML file."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import pandas
from rich.console import Group
from rich.text import Text

from .columns import INSTRUCTIONS, TIME
from .console import plain_table
from .page import write_page
from .pooling import boards
from .stats import steps_needed

NOTES = {
    INSTRUCTIONS: (
        "virtual: this clock counts instructions. M = million instructions a step, MIPS = million a second of audio; "
        "a regression metric that repeats, not the speed of any real board"
    ),
    TIME: "burst: steps back to back. RTF = p50 / length of the block (ms); misses: steps longer than that",
}


def columns(results: pandas.DataFrame, clock: str) -> dict[str, str]:
    """What the table shows of a board's results: heading with unit -> column; nothing that is the same in all rows."""
    unit = "M" if clock == INSTRUCTIONS else "ms"
    cost = {"MIPS": "mips"} if clock == INSTRUCTIONS else {"RTF": "rtf", "misses": "misses"}
    return {
        "model": "model",
        **({"weights": "weights"} if len(weights_lines(results)) > len(set(results["model"])) else {}),
        "block": "block",
        **({"thr.": "threads"} if set(results["threads"]) != {1} else {}),
        "ms": "budget",
        f"p50 {unit}": "p50",
        **({f"p99 {unit}": "p99"} if not all(map(math.isnan, results["p99"])) else {}),
        f"max {unit}": "max",
        **cost,
        f"first {unit}": "first",
        "peak MB": "peak_kb",
    }


def cell(column: str, row: dict[str, Any]) -> str:
    """One value as text; a percentile that the sample can't support says so."""
    value = row[column]
    if column in ("p50", "p99", "rtf", "mips") and math.isnan(value):
        return f"n < {steps_needed(99 if column == 'p99' else 50)}"
    if column in ("p50", "p99", "max", "first"):
        return f"{value / 1e6:.3f}"
    if column == "peak_kb":
        return f"{value / 1024:.1f}"
    if column == "misses":
        return str(int(value) or f"0, < {_bound(min(1, 3 / row['n']))}")
    if column == "budget":
        return f"{value / 1e6:g}"
    if column == "mips":
        return f"{value:.0f}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _bound(rate: float) -> str:
    """In percent; one too small for a tenth of a percent is not rounded to nothing."""
    return f"{rate:.1%}" if rate >= 1e-3 else f"{math.ceil(1e6 * rate) / 1e4:g}%"


def rows(results: pandas.DataFrame, clock: str) -> list[list[str]]:
    """The table's cells as text."""
    records: list[dict[str, Any]] = results.to_dict("records")  # type: ignore[assignment]
    return [[cell(column, row) for column in columns(results, clock).values()] for row in records]


def terminal_tables(results: pandas.DataFrame) -> list[Group]:
    """A titled table for each board, with what is to be known about it below."""
    tables = []
    for name, clock, part in boards(results):
        first = part.iloc[0]
        title = f"{name}: {first['cpu']}, Linux {first['kernel']}, ONNX Runtime {first['onnxruntime']}"
        table = plain_table(list(columns(part, clock)), rows(part, clock), ("model", "weights"))
        about = [NOTES[clock], steps_line(part), *weights_lines(part)]
        tables.append(Group(Text(title), table, Text("\n".join(about))))
    return tables


def steps_line(results: pandas.DataFrame) -> str:
    """How many steps the figures stand on."""
    counts = sorted(results["n"].unique())
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{span} steps a case after the warm-up (p99 needs {steps_needed(99)} for 95 % confidence)"


def weights_lines(results: pandas.DataFrame) -> list[str]:
    """Where the weights of each model come from."""
    pairs = results[["model", "weights"]].drop_duplicates().itertuples(index=False)
    return [f"{model}: {weights}" for model, weights in pairs]


def write_html(results: pandas.DataFrame, path: Path, sounds: dict[str, Path] | None = None) -> None:
    """One self-contained file: tables, a plot of cost against block, and `sounds` (title -> .wav) to listen to."""
    sections = [
        {
            "name": name,
            "cpu": part["cpu"].iloc[0],
            "kernel": part["kernel"].iloc[0],
            "onnxruntime": part["onnxruntime"].iloc[0],
            "note": NOTES[clock],
            "lines": [steps_line(part), *weights_lines(part)],
            "headings": list(columns(part, clock)),
            "rows": rows(part, clock),
            "plot": cost_plot(part, clock),
        }
        for name, clock, part in boards(results)
    ]
    audio = {title: base64.b64encode(file.read_bytes()).decode() for title, file in (sounds or {}).items()}
    write_page("report.html.j2", path, boards=sections, sounds=audio)


def cost_plot(results: pandas.DataFrame, clock: str) -> str:
    """An SVG of the cost of a second of audio against the block, one line per model and thread count.

    Nothing when no case has steps enough for a figure.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot, ticker

    column, label = ("mips", "MIPS (virtual)") if clock == INSTRUCTIONS else ("rtf", "RTF (p50)")
    results = results.dropna(subset=[column])
    if results.empty:
        return ""
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for (model, threads), part in results.groupby(["model", "threads"]):  # type: ignore[misc]
        axes.plot(part["block"], part[column], marker="o", label=f"{model}, {threads} thread(s)")
    if clock != INSTRUCTIONS:
        axes.axhline(1, linestyle="--", color="0.5", label="real time")
    axes.set(xscale="log", yscale="log", xlabel="block (samples)", ylabel=label)
    axes.set_xticks(sorted(results["block"].unique()), [str(b) for b in sorted(results["block"].unique())])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    pyplot.close(figure)
    return stream.getvalue()[stream.getvalue().index("<svg") :]
