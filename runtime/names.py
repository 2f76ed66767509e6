"""Names that inputs, outputs and states may bear: those that an .npz can hold, and a line of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MAX_TENSOR_NAME = 1000  # characters
LONG = f"is not a line of at most {MAX_TENSOR_NAME} characters that can be shown"
TAKEN = ("file", "allow_pickle")  # by the arguments of numpy.savez


def unusable(name: str) -> str:
    """Why no input, output or state can be called that, in words; nothing where it can.

    Golden vectors, controls and sound are .npz files, which have a member NAME.npy for each. A name that looks like a
    path out of a folder is refused there, as nobody should unpack it.
    """
    if _is_long(name):
        return LONG
    if name in TAKEN:
        return f"is what NumPy calls an argument of numpy.savez, so that no .npz can hold it ({', '.join(TAKEN)})"
    parts = name.split("/")
    if any(not part.strip(".") for part in parts):
        return "is empty, or looks like a path out of a folder: no part between slashes may be empty or dots alone"
    return ""


def shown(name: str) -> str:
    """A name in a message: as it is where that is a short line, else escaped and cut."""
    return name if name.isprintable() and 0 < len(name) <= 60 else ascii(name[:60]) + "..." * (len(name) > 60)


def _is_long(name: str) -> bool:
    return not name.isprintable() or len(name) > MAX_TENSOR_NAME


def wrong_names(names: Iterable[str], inner: Iterable[str] = ()) -> list[tuple[str, str]]:
    """The names that can't be borne, each with the reason; one that is borne twice is among them.

    Those of `inner` are in no .npz: a name that is a line of text is enough.
    """
    names, inner = list(names), list(inner)
    counts = Counter([*names, *inner])
    found = [(name, unusable(name)) for name in dict.fromkeys(names)]
    found += [(name, LONG) for name in dict.fromkeys(inner) if _is_long(name)]
    found += [(name, f"is the name of {count} tensors") for name, count in counts.items() if count > 1]
    return [(name, reason) for name, reason in found if reason]
