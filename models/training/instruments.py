"""The sampled instruments that made-up phrases are played on, and how long a phrase is."""

from __future__ import annotations

from dataclasses import dataclass

PHRASE_SECONDS = 8.0


@dataclass(frozen=True)
class Instrument:
    """A General MIDI program, the notes it plays, how far it is turned up, and whether a tone can be shaped.

    Its loudest phrase almost reaches full scale: what is played softly must stay well above the -80 dB where loudness
    ends.
    """

    program: int
    lowest: int
    highest: int
    gain: float
    sustained: bool = True


# Programs from 0. The highest notes stay below the 2000 Hz to which pitch is followed.
INSTRUMENTS = {
    "flute": Instrument(73, 60, 91, 2.8),
    "trumpet": Instrument(56, 55, 84, 1.6),
    "violin": Instrument(40, 55, 91, 3.0),
    "piano": Instrument(0, 45, 88, 4.0, sustained=False),
}
