"""Questions to the user: libraries ask only where the command line lets them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Ask = Callable[[str, bool], str | None]
"""A question, and whether the answer is a secret; the answer, or None where nobody can be asked."""


def _nobody(question: str, secret: bool) -> str | None:
    return None


_asked: list[tuple[Ask, dict[object, str]]] = [(_nobody, {})]


def ask(question: str, secret: bool = False) -> str | None:
    """The person's answer; None where nobody can be asked. Parts of a question may be what a server said."""
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in question)
    return _asked[-1][0](shown, secret)


def answers() -> dict[object, str]:
    """What the person has typed so far, to be kept under whatever it is about: in memory, until `answering` ends."""
    return _asked[-1][1]


@contextlib.contextmanager
def answering(person: Ask) -> Iterator[None]:
    """For as long as the block lasts, questions go to `person`, from whatever thread they come."""
    entry: tuple[Ask, dict[object, str]] = (person, {})
    _asked.append(entry)
    try:
        yield
    finally:
        _asked.remove(entry)
