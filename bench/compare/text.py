"""A comparison as people read it: two tables as text, and sentences that say what the numbers say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from ...models.sound.quality import AUDIBLE_DB, FEWEST_PHRASES, Difference, paired_difference
from ...runtime.bundle import Provenance
from ..output.numbers import count, number
from ..output.tables import Table
from .comparison import PAIRED, TO_TARGET, TO_TEACHER, Comparison, differences, scores
from .cost_text import cost_notes, cost_sentences, cost_tables

Row = dict[str, Any]

SAID = ("mss", "lsd_db", "pitch_cents", "loudness_db")
WEIGHT = {
    "decoder": "decoder parameters",
    "synth": "synth parameters",
    "reverb": "reverb parameters",
    "decoder_mmacs": "decoder MMAC/s",
    "synth_mmacs": "synth MMAC/s",
    "reverb_mmacs": "reverb MMAC/s",
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
NOTE = "x: times the teacher's; MMAC/s: million multiply-accumulates a second of audio"
HEARD = (
    "MSS, LSD (log-spectral distance) and errors: against the recordings unless it says otherwise, 0 is the same; mean "
    "± standard deviation over {phrases}, each of which counts once",
    "pitch and loudness: the median error over the frames of a phrase where the recording has a pitch and is above "
    f"{AUDIBLE_DB:.0f} dB; pitch is compared only where the model has one, too (share of frames with a pitch)",
    "no Fréchet distance: no maintained package ships the weights of an embedding",
)
PAIRED_NOTE = (
    "student minus {reference} on the same phrases, mean and 95% interval (bootstrap, each by itself): "
    "below 0 is nearer"
)


@dataclass(frozen=True)
class Told:
    """All that is said of a comparison: what the models are, what they cost on each board, how they sound."""

    findings: list[str]
    tables: list[Table]
    notes: list[str]
    paired: Table | None
    """Differences in sound; None where nothing was played."""
    paired_note: str


def tell(comparison: Comparison, table: pandas.DataFrame) -> Told:
    """Say it.

    Args:
        comparison: whose numbers they are.
        table: as from `compare.table`.
    """
    labels = [entry.label for entry in comparison.entries]
    changes = _records(differences(comparison)) if comparison.phrases else []
    costs = _records(table.dropna(subset=["board"])) if "board" in table else []
    notes = [*cost_notes(labels, costs), *_notes(comparison)] if "board" in table else _notes(comparison)
    return Told(
        findings=[*_cost_findings(comparison, costs), *_findings(comparison, changes)],
        tables=_tables(comparison, _records(table.drop_duplicates("model")), costs),
        notes=[NOTE, *notes],
        paired=_beside("difference", comparison.rivals(), _difference_rows(changes)) if changes else None,
        paired_note=PAIRED_NOTE.format(reference=comparison.reference),
    )


def _records(frame: pandas.DataFrame) -> list[Row]:
    return frame.to_dict("records")  # type: ignore[return-value]


def heading(measure: str) -> str:
    """A measure with its unit."""
    name, unit = MEASURES[measure]
    return f"{name} ({unit})" if unit else name


def _tables(comparison: Comparison, models: list[Row], costs: list[Row]) -> list[Table]:
    """A line per figure, first its name with the unit, then each model's, the teacher's first."""
    labels = [entry.label for entry in comparison.entries]
    weights = [["weights", *(_kind(entry.provenance) for entry in comparison.entries)]]
    size = [[title, *_beside_teacher([row[column] for row in models])] for column, title in WEIGHT.items()]
    sound = [[heading(m), *(_spread(row, m) for row in models)] for m in TO_TARGET + TO_TEACHER]
    tables = [_beside("model", labels, weights + size), *cost_tables(labels, costs)]
    return [*tables, _beside("sound", labels, sound)] if comparison.phrases else tables


def _beside(what: str, labels: Sequence[str], rows: list[list[str]]) -> Table:
    """A line per figure, a column per model."""
    return Table("", [what, *labels], rows, texts=(what,))


def _kind(weights: Provenance) -> str:
    """`trained`, `untrained` or `checkpoint mine.pt`."""
    return f"checkpoint {weights.source}" if weights.kind == "checkpoint" else weights.kind


def _beside_teacher(values: Sequence[float]) -> list[str]:
    """Each value, and how many times the first it is."""
    first = values[0]
    shares = [f" ({number(value / first)} x)" if value > 0 and first > 0 else "" for value in values]
    return [number(first), *(number(value) + share for value, share in zip(values[1:], shares[1:], strict=True))]


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


def _cost_findings(comparison: Comparison, costs: list[Row]) -> list[str]:
    """Sentences about cost; the first of each student goes on with how it sounds beside the teacher."""
    teacher, *students = comparison.entries
    said = cost_sentences(teacher.label, costs)
    for entry in students:
        if entry.label in said and entry.provenance.is_trained and teacher.provenance.is_trained:
            said[entry.label][0] += _farther(
                paired_difference(*(scores(comparison, e.label, "mss") for e in (entry, teacher)))
            )
    return [line for entry in students for line in said.get(entry.label, [])]


def _farther(found: Difference) -> str:
    """`; it is 0.56 farther from the recordings in MSS (0.40 to 0.71)`; nothing where an interval can't be told."""
    low, high = found.low, found.high
    if math.isnan(low):
        return ""
    if low <= 0 <= high:
        return f"; their MSS shows no difference ({low:+.2f} to {high:+.2f})"
    side, (low, high) = ("farther from", (low, high)) if low > 0 else ("nearer to", (-high, -low))
    return f"; it is {abs(found.mean):.2f} {side} the recordings in MSS ({low:.2f} to {high:.2f})"


def _findings(comparison: Comparison, found: list[Row]) -> list[str]:
    """What the differences say, a sentence for each student, and what is untrained."""
    if not found:
        return []
    names = [entry.label for entry in comparison.entries if not entry.provenance.is_trained]
    warning = [f"untrained, so their sound means nothing: {', '.join(names)}"] if names else []
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
        too_few = f"an interval needs {FEWEST_PHRASES} phrases, there {'is' if phrases == 1 else 'are'} only {phrases}"
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


def _notes(comparison: Comparison) -> list[str]:
    """What is to be known about how the models sound, and about their weights."""
    heard = HEARD if comparison.phrases else ()
    said = [note.format(phrases=count(len(comparison.phrases), "test phrase")) for note in heard]
    return said + [f"{entry.label}: {entry.provenance.text}" for entry in comparison.entries]
