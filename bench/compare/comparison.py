"""Teacher and students side by side: what they weigh, what they cost on boards, how near they come to recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas
import torch

from ...models.catalogue import find, resolve
from ...models.families.family import Family
from ...models.footprint import footprint
from ...models.sound.features import Samples
from ...models.sound.quality import Heard, hear, paired_difference, quality, spectral_distances
from ...models.training.dataset import Phrase, parallel
from ...models.training.instruments import INSTRUMENTS
from ...models.training.train import sound
from ...runtime.bundle import Provenance
from ...runtime.progress import Progress
from ...runtime.sound import first_odd
from ..errors import BenchError

TO_TARGET = ["mss", "lsd_db", "pitch_cents", "pitch_p90_cents", "loudness_db", "loudness_p90_db", "voiced_share"]
TO_TEACHER = ["teacher_mss", "teacher_lsd_db"]
PAIRED = ["mss", "lsd_db", "pitch_cents", "loudness_db", *TO_TEACHER]


@dataclass(frozen=True)
class Entry:
    """A model to compare: `label` is what it is called here, `name` its name in the catalogue and in results.

    `origin` is `untrained`, `trained` or `checkpoint FILE`; `weights` says it with a hash.
    """

    label: str
    name: str
    provenance: Provenance
    module: Family


@dataclass(frozen=True)
class Comparison:
    """Models, the teacher first, and what each made of the phrases.

    Attributes:
        entries: the models.
        phrases: the test phrases; none where only costs are compared.
        sounds: by label, each phrase as that model plays it.
        scores: one row per model and phrase: `model` (its label), `phrase`, the numbers of
            `models.sound.quality.Quality` by their names, given against the recording, and `teacher_mss` and
            `teacher_lsd_db`, against the teacher's rendering (NaN for the teacher).
    """

    entries: Sequence[Entry]
    phrases: Sequence[Phrase]
    sounds: dict[str, list[Samples]]
    scores: pandas.DataFrame

    @property
    def reference(self) -> str:
        """Whom students are compared with: the first of them, or the teacher if there is one student only."""
        return self.entries[1 if len(self.entries) > 2 else 0].label

    def rivals(self) -> list[str]:
        """The students that are compared with the reference."""
        return [entry.label for entry in self.entries[1:] if entry.label != self.reference]


def read_entries(named: Sequence[str], note: Callable[[str], None]) -> list[Entry]:
    """The models of those names, or `NAME=FILE` for a name with a checkpoint; `note` hears what a file held besides.

    Raises:
        BenchError: when one is named twice.
        ModelError: for a name or a checkpoint that is none.
    """
    entries = []
    for text in named:
        name, _, file = text.partition("=")
        checkpoint = Path(file) if file else None
        label = f"{name}={checkpoint.name}" if checkpoint else name
        if label in [entry.label for entry in entries]:
            raise BenchError(f"{label} is named twice")
        resolved = resolve(name, checkpoint)
        entries.append(Entry(label, name, resolved.provenance, resolved.load(note)))
    return entries


def instrument_of(names: Iterable[str]) -> str | None:
    """The instrument that the models' names say, None where they say none; `BenchError` where they say several."""
    found = {_instrument(find(name.partition("=")[0]).name) for name in names} - {None}
    if len(found) > 1:
        raise BenchError(f"models of {' and '.join(sorted(map(str, found)))} can't be compared: name one instrument's")
    return found.pop() if found else None


def _instrument(name: str) -> str | None:
    """`flute` of `hpn-reduced-flute+cd` and `ddx7-full-flute4`; None of `hpn-reduced` and `ddx7-full-1stack2`."""
    last = name.split("+")[0].split("-")[-1]
    return next((instrument for instrument in INSTRUMENTS if last.rstrip("0123456789") == instrument), None)


def silent(entries: Sequence[Entry]) -> Comparison:
    """Models of which nobody has heard anything, to compare what they cost."""
    return Comparison(entries, [], {}, pandas.DataFrame(columns=pandas.Index(["model", *TO_TARGET, *TO_TEACHER])))


def compare(entries: Sequence[Entry], phrases: Sequence[Phrase], progress: Progress) -> Comparison:
    """Let every model play every phrase, and analyse what comes out: two seconds each on a processor core.

    `BenchError` names the model and the phrase where what comes out is not finite numbers.
    """
    sounds = _play(entries, phrases, progress)
    every = [[phrase.audio for phrase in phrases], *sounds.values()]
    heard = _hear([audio for one in every for audio in one], progress)
    split = [heard[start : start + len(phrases)] for start in range(0, len(heard), len(phrases))]
    teacher = sounds[entries[0].label]
    rows = []
    for entry, its in zip(entries, split[1:], strict=True):
        for i, phrase in enumerate(phrases):
            given = sounds[entry.label][i]
            to_target = quality(phrase.audio, given, split[0][i], its[i])
            to_teacher = spectral_distances(teacher[i], given) if entry is not entries[0] else (np.nan, np.nan)
            more = dict(zip(TO_TEACHER, to_teacher, strict=True))
            rows.append({"model": entry.label, "phrase": phrase.name, **asdict(to_target), **more})
    return Comparison(entries, phrases, sounds, pandas.DataFrame(rows))


def _play(entries: Sequence[Entry], phrases: Sequence[Phrase], progress: Progress) -> dict[str, list[Samples]]:
    sounds: dict[str, list[Samples]] = {entry.label: [] for entry in entries}
    for entry in entries:
        for phrase in phrases:
            progress(f"{entry.label} plays {phrase.name}", sum(map(len, sounds.values())), len(entries) * len(phrases))
            with torch.no_grad():
                sounds[entry.label].append(_finite(sound(entry.module, phrase).numpy(), entry, phrase))
    return sounds


def _finite(audio: Samples, entry: Entry, phrase: Phrase) -> Samples:
    odd = first_odd(audio)
    if odd is not None:
        raise BenchError(
            f"{entry.label} plays {phrase.name} with a number that is not finite ({audio[odd]:g}) at sample {odd}: "
            "it can't be compared; leave it out, or mend its weights"
        )
    return audio


def _hear(every: list[Samples], progress: Progress) -> list[Heard]:
    """Analyse sounds, on all processors."""
    found = []
    for one in parallel(hear, every):
        found.append(one)
        progress("follow pitch and loudness", len(found), len(every))
    return found


def table(comparison: Comparison, costs: pandas.DataFrame | None = None) -> pandas.DataFrame:
    """One row per model; with costs, one per model, board and mode.

    Columns: `model`, `weights`, `decoder`, `synth`, `reverb` (parameters), `decoder_mmacs`, `synth_mmacs`,
    `reverb_mmacs` (million multiply-accumulates a second of audio), the numbers of `Comparison.scores` as means over
    the phrases, each with its standard deviation as `..._sd`, `phrases` (how many), and `costs.COLUMNS`.
    """
    rows = []
    for entry in comparison.entries:
        weighed = footprint(entry.module)
        measured = {measure: scores(comparison, entry.label, measure) for measure in TO_TARGET + TO_TEACHER}
        rows.append(
            {
                "model": entry.label,
                "weights": entry.provenance.text,
                **weighed.parameters,
                **{f"{part}_mmacs": macs / 1e6 for part, macs in weighed.macs.items()},
                **_means(measured),
                "phrases": len(comparison.phrases),
            }
        )
    found = pandas.DataFrame(rows)
    return found if costs is None else found.merge(costs, how="left", on="model")


def _means(measured: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean and standard deviation of each measure, over the phrases that it has a value for."""
    found = {}
    for measure, values in measured.items():
        values = values[np.isfinite(values)]
        found[measure] = float(values.mean()) if values.size else np.nan
        found[f"{measure}_sd"] = float(values.std(ddof=1)) if values.size > 1 else np.nan
    return found


def differences(comparison: Comparison) -> pandas.DataFrame:
    """Students against the reference on the same phrases.

    Returns:
        One row per student and measure: `model`, `measure` (a column of the scores), `difference` (mean of student
        minus reference: below 0 is nearer), `low` and `high` (95% interval, NaN from too few phrases), `phrases`.
    """
    reference, rows = comparison.reference, []
    for label in comparison.rivals():
        for measure in PAIRED:
            one, other = (scores(comparison, who, measure) for who in (label, reference))
            found = paired_difference(one, other)
            row = {"difference": found.mean, "low": found.low, "high": found.high, "phrases": found.phrases}
            rows.append({"model": label, "measure": measure, **row})
    return pandas.DataFrame(rows)


def scores(comparison: Comparison, label: str, measure: str) -> np.ndarray:
    """A measure of a model, `(phrases,)`."""
    found = comparison.scores
    return np.array([value for model, value in zip(found["model"], found[measure], strict=True) if model == label])
