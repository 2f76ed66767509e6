"""How long a sweep takes: said before it begins, and told better with every case."""

from __future__ import annotations

from collections.abc import Iterable

from ..terms import PACED
from .cases import Case

START = 2.0  # seconds for a process and a session, until some are known
RTF = 0.3  # of a model that nobody has measured


class Estimate:
    """What is known of how long cases take."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._rtf: dict[tuple[str, str], list[float]] = {}

    def learn(self, case: Case, seconds: float, computing: float) -> None:
        """A case took `seconds`, of which its steps were `computing`."""
        audio = case.steps * case.period
        self._starts.append(max(0.0, seconds - (max(audio, computing) if case.mode == PACED else computing)))
        self._rtf.setdefault((case.bundle.digest, case.engine), []).append(computing / audio)

    def seconds(self, cases: Iterable[Case]) -> float:
        """How long these take."""
        return sum(map(self._seconds, cases))

    def _seconds(self, case: Case) -> float:
        known = self._rtf.get((case.bundle.digest, case.engine)) or [rtf for some in self._rtf.values() for rtf in some]
        rtf = _mean(known, RTF)
        return _mean(self._starts, START) + case.steps * case.period * (max(1.0, rtf) if case.mode == PACED else rtf)


def _mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default
