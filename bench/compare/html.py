"""A comparison as one HTML page: its tables, and some phrases to look at and to listen to, target and models."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from ...models.constants import SAMPLE_RATE
from ...models.sound.features import Samples
from ...models.sound.spectral import magnitudes
from ..output.page import Figure, write_page
from ..output.plots import GREY
from .comparison import Comparison
from .text import Told

SHOWN = 3  # phrases
SIZE = 1024  # of a spectrogram's window, 64 ms
FULL_SCALE = SIZE**0.5 / 4  # the magnitude of a sine of full scale: half the sum of a Hann window, normalised
FLOOR_DB, TOP_DB = -100.0, 0.0
COLOURS = 25  # 4 dB each: a picture of all colours takes more than twice the bytes


def write_html(comparison: Comparison, told: Told, plots: Sequence[Figure], path: Path) -> None:
    """One self-contained file: what the terminal shows, plots, the first phrases with players and spectrograms."""
    write_page(
        "compare.html.j2",
        path,
        teacher=comparison.entries[0].label,
        reference=comparison.reference,
        told=told,
        plots=plots,
        floor_db=f"{FLOOR_DB:.0f}",
        top_db=f"{TOP_DB:.0f}",
        phrases=[
            {"name": phrase.name, "sounds": _sounds(comparison, index)}
            for index, phrase in enumerate(comparison.phrases[:SHOWN])
        ],
    )


def _sounds(comparison: Comparison, index: int) -> list[dict[str, Any]]:
    """The recording of a phrase and what each model makes of it."""
    phrase = comparison.phrases[index]
    found = [_sound("recording", phrase.audio, "the target", phrase.name)]
    for entry in comparison.entries:
        scores = comparison.scores.query("model == @entry.label and phrase == @phrase.name").iloc[0]
        note = f"MSS {scores['mss']:.2f}, LSD {scores['lsd_db']:.1f} dB"
        found.append(_sound(entry.label, comparison.sounds[entry.label][index], note, phrase.name))
    return found


def _sound(title: str, audio: Samples, note: str, phrase: str) -> dict[str, Any]:
    played, gain = wav(audio)
    seconds = len(audio) / SAMPLE_RATE
    return {
        "title": title,
        "note": note
        + (f"; peaks above full scale, so played {-20 * np.log10(gain):.1f} dB softer" if gain < 1 else ""),
        "picture": base64.b64encode(spectrogram(audio)).decode(),
        "wav": base64.b64encode(played).decode(),
        "alt": f"Spectrogram of {phrase}, {title}: {seconds:g} s, 0 to {SAMPLE_RATE / 2000:g} kHz. {note}.",
    }


def wav(audio: Samples) -> tuple[bytes, float]:
    """A 16-bit WAV of a sound `(samples,)`, and the gain (1 or less) that keeps its peak within full scale."""
    gain = float(min(1.0, 1.0 / max(np.max(np.abs(audio)), 1e-9)))
    stream = io.BytesIO()
    soundfile.write(stream, audio * gain, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return stream.getvalue(), gain


def spectrogram(audio: Samples) -> bytes:
    """A PNG of a sound `(samples,)`: log magnitude, 0 dB for a sine of full scale, the same colours for every sound."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colours = colormaps["magma"].resampled(COLOURS)
    spectrum = magnitudes(torch.from_numpy(audio)[None], SIZE)[0].numpy()
    levels = 20 * np.log10(np.maximum(spectrum / FULL_SCALE, 1e-9))
    figure = Figure(figsize=(4.8, 2.3), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    extent = (0, len(audio) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000)
    image = axes.imshow(
        levels,
        vmin=FLOOR_DB,
        vmax=TOP_DB,
        extent=extent,
        origin="lower",
        aspect="auto",
        cmap=colours,
        interpolation_stage="data",
    )
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label("dB", color=GREY)
    axes.set_xlabel("time (s)", color=GREY)
    axes.set_ylabel("frequency (kHz)", color=GREY)
    for each in (axes, bar.ax):
        each.tick_params(colors=GREY, labelsize=8)
        for edge in each.spines.values():
            edge.set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", transparent=True, metadata={"Software": None})
    return stream.getvalue()
