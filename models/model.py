"""An entry of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Model:
    """A name and what it stands for.

    `width` is the decoder's, `patch` is DDX7's, `checkpoint` the trained weights it comes with.
    """

    name: str
    family: str
    width: int
    patch: str = ""
    checkpoint: Path | None = None

    @property
    def architecture(self) -> tuple[str, int, str]:
        """Family, width and patch, which weights have to fit."""
        return self.family, self.width, self.patch
