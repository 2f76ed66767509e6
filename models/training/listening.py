"""The phrases that models are judged by: recordings that none of the packaged ones has learned from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ..errors import DataError
from .dataset import Phrase, read_phrases

FOLDER = Path(str(resources.files("tonearm.models"))) / "listening"


def instruments() -> list[str]:
    """The instruments that there are test phrases of."""
    return sorted({file.parent.name for file in FOLDER.glob("*/*.flac")})


def test_phrases(instrument: str) -> list[Phrase]:
    """The packaged test phrases of an instrument, analysed, by name.

    Raises:
        DataError: when there are none of it; the message names the instruments that there are.
        RecordingError: without librosa.
    """
    if instrument not in instruments():
        there = ", ".join(instruments())
        raise DataError(
            f"there are no test phrases of {instrument!r}, only of {there}: for others give --data and a folder"
        )
    return read_phrases(sorted((FOLDER / instrument).glob("*.flac")))
