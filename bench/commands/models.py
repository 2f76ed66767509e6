"""Commands about models, which need no board."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...models.catalogue import TRAINED, resolve
from ...models.footprint import Footprint, read_footprints
from ...models.training.cards import last_validation, read_card
from ..output.console import out
from ..output.tables import Table

MODELS_NOTES = """full: the teacher; reduced: the student; decoder, synth, reverb: parameters
MMAC/s: million multiply-accumulates a second of audio, decoder+synth+reverb, in blocks of 64 samples (sines and table
look-ups are not counted)
past: frames that the decoder looks back on, its own included; "all" for a recurrent one
latency: samples (0 with --causal); kB: the state that goes from one step to the next
without --checkpoint these models are {weights};
the models below come with trained weights"""
TRAINED_NOTES = """these models come with trained weights; the names above are their architectures
how: from recordings alone (plain), or also from a teacher, by its audio or its controls; minutes: of training
MSS: multi-scale spectral distance on validation phrases; of untrained: its share of the MSS that training began with
(tonearm compare measures them side by side)"""


def models(options: argparse.Namespace) -> None:
    """List the models by name."""
    headings = ("model", "decoder", "synth", "reverb", "MMAC/s", "past", "latency", "kB")
    rows = [_weighed(name, weighed) for name, weighed in read_footprints().items()]
    out.print(Table("", headings, rows, texts=("model",)))
    out.print(MODELS_NOTES.format(weights=resolve("hpn-full").provenance.text), soft_wrap=True)
    out.print(_trained_table())
    out.print(TRAINED_NOTES, soft_wrap=True)


def _trained_table() -> Table:
    """The models that come with weights, from their cards."""
    headings = ("trained", "how", "steps", "minutes", "MSS", "of untrained", "kB on disk")
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
    parameters = [str(weighed.parameters[part]) for part in ("decoder", "synth", "reverb")]
    macs = "+".join(f"{count / 1e6:.3g}" if count < 1e9 else f"{count / 1e6:.0f}" for count in weighed.macs.values())
    past = "all" if weighed.receptive_field is None else str(weighed.receptive_field)
    return name, *parameters, macs, past, str(weighed.latency), f"{weighed.state_bytes / 1000:.0f}"
