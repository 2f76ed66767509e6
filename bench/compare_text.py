"""A comparison as people read it: two tables as text, and sentences that say what the numbers say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from ..models.quality import AUDIBLE_DB, FEWEST_PHRASES
from .compare import PAIRED, TO_TARGET, TO_TEACHER, Comparison
from .console import count
from .results import INSTRUCTIONS

Row = dict[str, Any]

SAID = ("mss", "lsd_db", "pitch_cents", "loudness_db")
WEIGHT = {
    "decoder": "decoder parameters",
    "synth": "synth parameters",
    "reverb": "reverb parameters",
    "decoder_mmacs": "decoder MMAC/s",
}
MEASURES = {
    "mss": ("MSS", ""),
    "lsd_db": ("LSD", "dB"),
    "pitch_cents": ("pitch error", "cents"),
    "pitch_p90_cents": ("pitch error, 90th percentile", "cents"),
    "loudness_db": ("loudness error", "dB"),
    "loudness_p90_db": ("loudness error, 90th percentile", "dB"),
    "voiced_share": ("share of frames with a pitch", ""),
    "teacher_mss": ("MSS to the teacher", ""),
    "teacher_lsd_db": ("LSD to the teacher", "dB"),
}
NOTES = (
    "x: times the teacher's; MMAC/s: million multiply-accumulates a second of audio",
    "MSS, LSD (log-spectral distance) and errors: against the recordings unless it says otherwise, 0 is the same; mean "
    "± standard deviation over {phrases}, each of which counts once",
    "pitch and loudness: the median error of a phrase's frames, of those where the recording has a pitch and is above "
    f"{AUDIBLE_DB:.0f} dB; the share of these in which the model has a pitch too, and only there its pitch is compared",
    "no Fréchet distance: no well-kept package carries an embedding's weights",
)
COUNTED = "on a virtual board, M instructions a block: a count that repeats, not the speed of any real board"
PAIRED_NOTE = (
    "student minus {reference} on the same phrases, mean and 95 % interval (bootstrap, each by itself): "
    "below 0 is nearer"
)


@dataclass(frozen=True)
class Text:
    """A table: its headings, and its rows of as many cells."""

    headings: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Told:
    """All that is said of a comparison;"""

    main: Text
    notes: list[str]
    paired: Text
    paired_note: str
    findings: list[str]


def tell(comparison: Comparison, table: pandas.DataFrame, found: pandas.DataFrame) -> Told:
    """Say it.

    Args:
        comparison: whose numbers they are.
        table: as from `compare.table`.
        found: as from `compare.differences`.
    """
    labels = [entry.label for entry in comparison.entries]
    changes = _records(found)
    costs = _records(table.dropna(subset=["board"])) if "board" in table else []
    return Told(
        main=Text(["", *labels], _rows(_records(table.drop_duplicates("model")), costs)),
        notes=_notes(comparison, costs, has_costs="board" in table),
        paired=Text(["", *comparison.rivals()], _difference_rows(changes)),
        paired_note=PAIRED_NOTE.format(reference=comparison.reference),
        findings=_findings(comparison, changes),
    )


def _records(frame: pandas.DataFrame) -> list[Row]:
    return frame.to_dict("records")  # type: ignore[return-value]


def heading(measure: str) -> str:
    """A measure with its unit."""
    name, unit = MEASURES[measure]
    return f"{name} ({unit})" if unit else name


def _rows(models: list[Row], costs: list[Row]) -> list[list[str]]:
    """The main table: a line per figure, first its name with the unit, then each model's, the teacher's first."""
    shown = [["weights", *(row["weights"].split(":")[0].split(",")[0] for row in models)]]
    shown += [[title, *_beside_teacher([row[column] for row in models])] for column, title in WEIGHT.items()]
    for board in dict.fromkeys(row["board"] for row in costs):
        shown += _costs([row["model"] for row in models], [row for row in costs if row["board"] == board])
    return shown + [[heading(m), *(_spread(row, m) for row in models)] for m in TO_TARGET + TO_TEACHER]


def _beside_teacher(values: Sequence[float], scale: float = 1) -> list[str]:
    """Each value, and how many times the first it is."""
    first = values[0]
    shares = [f" ({value / first:.3g} x)" if value > 0 and first > 0 else "" for value in values]
    texts = ["-" if math.isnan(value) else _number(value / scale) for value in values]
    return [texts[0], *map("".join, zip(texts[1:], shares[1:], strict=True))]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def _costs(labels: list[str], rows: list[Row]) -> list[list[str]]:
    """A board's lines: the cost of a block, and memory."""
    first, by_label = rows[0], {row["model"]: row for row in rows}
    threads = f", {first['threads']:.0f} threads" if first["threads"] > 1 else ""
    counted = first["clock"] == INSTRUCTIONS
    unit, column, scale = ("M instructions", "p50", 1e6) if counted else ("RTF", "rtf", 1)
    where = f"{first['board']}, blocks of {first['block']:.0f}{threads}"
    steps = [by_label[label][column] if label in by_label else math.nan for label in labels]
    memory = [f"{by_label[label]['peak_kb'] / 1024:.1f}" if label in by_label else "-" for label in labels]
    return [
        [f"p50 on {where} ({unit})", *_beside_teacher(steps, scale)],
        [f"peak memory on {where} (MB)", *memory],
    ]


def _spread(row: Row, column: str) -> str:
    """A mean, with its standard deviation if there is more than one phrase."""
    mean, deviation = row[column], row[f"{column}_sd"]
    if math.isnan(mean):
        return "-"
    return f"{mean:.2f}" if math.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def _difference_rows(found: list[Row]) -> list[list[str]]:
    """The second table: a line per measure, a column per student."""
    return [[heading(m), *(_interval(row) for row in found if row["measure"] == m)] for m in PAIRED]


def _interval(row: Row) -> str:
    if math.isnan(row["difference"]):
        return "-"
    mean = f"{row['difference']:+.2f}"
    return mean if math.isnan(row["low"]) else f"{mean} ({row['low']:+.2f} to {row['high']:+.2f})"


def _findings(comparison: Comparison, found: list[Row]) -> list[str]:
    """What the differences say, a sentence for each student, and what is untrained."""
    names = [entry.label for entry in comparison.entries if not entry.is_trained]
    warning = [f"untrained, so that how they sound says nothing: {', '.join(names)}"] if names else []
    return [
        *(
            sentence(label, comparison.reference, [r for r in found if r["model"] == label and r["measure"] in SAID])
            for label in comparison.rivals()
        ),
        *warning,
    ]


def sentence(model: str, reference: str, found: list[Row]) -> str:
    """What the differences of a model say, whatever it is; a difference counts whose interval leaves 0 out.

    Args:
        model: its label.
        reference: the label of the model that it is compared with.
        found: the rows of `compare.differences` to speak of.
    """
    phrases = max(row["phrases"] for row in found)
    known = [row for row in found if not math.isnan(row["low"])]
    if not known:
        means = ", ".join(_change(row) for row in found if not math.isnan(row["difference"]))
        too_few = f"an interval takes {FEWEST_PHRASES} phrases, here {'is' if phrases == 1 else 'are'} {phrases}"
        return f"{model} beside {reference}: {means} on average, but {too_few}"
    sides = {
        "nearer to": [row for row in known if row["high"] < 0],
        "farther from": [row for row in known if row["low"] > 0],
    }
    said = [
        f"{model} is {side} the recordings than {reference}: {', '.join(map(_change, rows))}"
        for side, rows in sides.items()
        if rows
    ]
    if said:
        return "; ".join(said)
    bounds = ", ".join(f"{heading(row['measure'])} {row['low']:+.2f} to {row['high']:+.2f}" for row in known)
    return f"{model} and {reference}: no difference beyond what {phrases} phrases can tell ({bounds})"


def _change(row: Row) -> str:
    """`MSS 0.21 lower (0.12 to 0.30)`."""
    name, unit = MEASURES[row["measure"]]
    is_lower = row["difference"] < 0
    low, high = (-row["high"], -row["low"]) if is_lower else (row["low"], row["high"])
    size = f"{name} {abs(row['difference']):.2f} {unit}".rstrip()
    return f"{size} {'lower' if is_lower else 'higher'}" + ("" if math.isnan(low) else f" ({low:.2f} to {high:.2f})")


def _notes(comparison: Comparison, costs: list[Row], *, has_costs: bool) -> list[str]:
    """What is to be known about the main table."""
    said = [note.format(phrases=count(len(comparison.phrases), "test phrase")) for note in NOTES]
    if any(row["clock"] == INSTRUCTIONS for row in costs):
        said.append(COUNTED)
    without = [entry.label for entry in comparison.entries if entry.label not in [row["model"] for row in costs]]
    if has_costs and without:
        said.append(f"no cost of {', '.join(without)}: measure all models at one block with tonearm sweep")
    return said + [f"{entry.label}: {entry.weights}" for entry in comparison.entries]
