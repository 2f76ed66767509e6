"""Commands about models, which need no board."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...models.catalogue import TRAINED, resolve
from ...models.footprint import PARTS, Footprint, read_footprints
from ...models.training.cards import last_validation, read_card
from ..output.console import out
from ..output.tables import Table

MODELS_NOTES = """full: the teacher; reduced: the student; parameters, MMAC/s: of decoder+synth+reverb
MMAC/s: million multiply-accumulates a second of audio, in blocks of 64 samples (sines and table look-ups are not
counted)
past: what the decoder looks back on, its own frame included; "all" for a recurrent one
latency: 0 with --causal; state: what goes from one step to the next
without --checkpoint these models are {weights};
the models below come with trained weights"""
TRAINED_NOTES = """these models come with trained weights; the names above are their architectures
how: from recordings alone (plain), or also from a teacher, by its audio or its controls; minutes: of training
MSS: multi-scale spectral distance on validation phrases, and its share of the MSS that training began with
(tonearm compare measures them side by side)"""


def models(options: argparse.Namespace) -> None:
    """List the models by name."""
    headings = ("model", "parameters", "MMAC/s", "past\nframes", "latency\nsamples", "state\nkB")
    rows = [_weighed(name, weighed) for name, weighed in read_footprints().items()]
    out.print(Table("", headings, rows, texts=("model",)))
    out.print(MODELS_NOTES.format(weights=resolve("hpn-full").provenance.text), soft_wrap=True)
    out.print(_trained_table())
    out.print(TRAINED_NOTES, soft_wrap=True)


def _trained_table() -> Table:
    """The models that come with weights, from their cards."""
    headings = ("trained", "how", "steps", "minutes", "MSS", "MSS of\nuntrained", "file\nkB")
    rows = []
    for name, model in TRAINED.items():
        file = model.checkpoint or Path()
        card = read_card(file.with_suffix(".json"))
        how = f"{card.method} of {card.teacher}" if card.teacher else card.method
        last = last_validation(card)
        figures = (f"{card.minutes:.0f}", f"{last:.2f}", f"{last / card.untrained:.0%}")
        rows.append((name, how, str(card.steps), *figures, f"{file.stat().st_size / 1000:.0f}"))
    return Table("", headings, rows, texts=("trained", "how"))


def _weighed(name: str, weighed: Footprint) -> tuple[str, ...]:
    parameters = "+".join(str(weighed.parameters[part]) for part in PARTS)
    macs = "+".join(_mega(weighed.macs[part]) for part in PARTS)
    past = "all" if weighed.receptive_field is None else str(weighed.receptive_field)
    return name, parameters, macs, past, str(weighed.latency), f"{weighed.state_bytes / 1000:.0f}"


def _mega(value: float) -> str:
    """Millions with three digits (`output.numbers` needs NumPy, which takes longer than all of this command)."""
    return f"{value / 1e6:.3g}" if value < 1e9 else f"{value / 1e6:.0f}"
