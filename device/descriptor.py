"""What differs between kinds of boards: those that people add, and the two that are built in."""

from __future__ import annotations

from typing import NamedTuple

TIME, INSTRUCTIONS = "time", "instructions"
LOOPBACK = "loopback"
VIRTUAL = "virtual"


class Descriptor(NamedTuple):
    """A kind of board: what it is, and how much of everything is run there unless a person asks for something else.

    The defaults are those of a board whose clock counts time: three repeats show how much runs differ, and their
    steps count together: 3 x 1000 are enough for p99.9 (2 995), and 3 x 100 for p99 (299).
    """

    about: str = ""
    """Its description in `tonearm board list`."""
    is_built_in: bool = False
    is_startable: bool = False
    """Whether `tonearm board up` can start it; several may run, `NAME`, `NAME-2`, and so on."""
    clock: str = TIME
    """What a step is measured in: `TIME`, nanoseconds, or `INSTRUCTIONS`."""
    silence: int = 30
    """Seconds of silence after which a board counts as gone; one that works reports every two seconds."""
    proof_frames: int | None = None
    """Frames of the golden clip that prove a release; None: all of them."""
    repeats: int = 3
    steps: int = 1000
    """Timed steps of a case in burst mode: at least so many, and enough to make `samples`."""
    samples: int = 0
    warmup: int = 50
    """Warm-up steps, which don't count."""
    floor: int = 20_000
    """Empty steps, which show the overhead of measuring itself."""
    profile_steps: int = 100

    @property
    def counts_instructions(self) -> bool:
        """Whether nothing there can be on time or late."""
        return self.clock == INSTRUCTIONS


REAL = Descriptor()
BUILT_IN = {
    LOOPBACK: Descriptor("this machine, over SSH", is_built_in=True),
    # An instruction count is the same in every run and repeats to 0.1% after a few steps, and emulation is slow: more
    # would only cost time. Steps of small blocks differ by 0.2%, as their controls do: of few of them the median
    # jumps by as much. A second there lasts as long as its instructions take.
    VIRTUAL: Descriptor(
        "ARM64 machine that counts instructions",
        is_built_in=True,
        is_startable=True,
        clock=INSTRUCTIONS,
        silence=300,
        proof_frames=64,
        repeats=1,
        steps=7,
        samples=2048,
        warmup=5,
        floor=200,
        profile_steps=3,
    ),
}


def descriptor(name: str) -> Descriptor:
    """The kind of the board that people call `name`."""
    for built_in, kind in BUILT_IN.items():
        if name == built_in or (kind.is_startable and name.startswith(f"{built_in}-")):
            return kind
    return REAL
