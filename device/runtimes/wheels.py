"""Which wheels fit a board: their tags, and the versions of ONNX Runtime and numpy that are known to be good."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

MACHINES = ("aarch64", "x86_64")
"""The index has wheels of ONNX Runtime for glibc on these; none for 32 bits, none for musl."""

TRIES = 4  # versions that a board is given to try
OLDEST_GLIBC = 17  # 2.17: manylinux2014


@dataclass(frozen=True)
class Pin:
    """A version of ONNX Runtime and one of numpy that run models together."""

    onnxruntime: str
    numpy: str
    pythons: range
    """The minor versions of Python 3 that both have wheels for."""

    def __str__(self) -> str:
        return f"onnxruntime {self.onnxruntime} with numpy {self.numpy}"

    @property
    def packages(self) -> tuple[str, str]:
        """As the index is asked for them."""
        return f"onnxruntime=={self.onnxruntime}", f"numpy=={self.numpy}"

    @property
    def wheels(self) -> list[str]:
        """As a folder of unpacked wheels names them."""
        return sorted(package.replace("==", "-") for package in self.packages)


# Pinned, so that two boards, and the same board next year, run the same code; the newest first. On x86_64 each of them
# equals the golden vectors. 1.21.0 dies of an illegal instruction on a Raspberry Pi 4 and is none of them.
PINS = (
    Pin("1.31.1", "2.4.6", range(11, 15)),
    Pin("1.27.0", "2.3.5", range(11, 15)),
    Pin("1.24.4", "2.3.5", range(11, 15)),
    Pin("1.23.2", "2.2.6", range(10, 14)),
    Pin("1.22.1", "2.2.6", range(10, 14)),
    Pin("1.20.1", "2.2.6", range(10, 14)),
    Pin("1.19.2", "2.0.2", range(9, 13)),
    Pin("1.18.1", "1.26.4", range(9, 13)),
)


@dataclass(frozen=True)
class Platform:
    """What a board's Python can load."""

    machine: str
    python: tuple[int, int]
    glibc_minor: int
    """Of glibc 2."""
    threads: str = ""
    """"t" for a free-threaded Python."""

    def __str__(self) -> str:
        return f"{self.machine}, Python {self.python[0]}.{self.python[1]}{self.threads}, glibc 2.{self.glibc_minor}"

    @property
    def abi(self) -> str:
        """As in the tags of a wheel."""
        return f"cp{self.python[0]}{self.python[1]}{self.threads}"

    @property
    def platforms(self) -> list[str]:
        """The platform tags, best first."""
        minors = range(self.glibc_minor, OLDEST_GLIBC - 1, -1)
        names = [*(f"manylinux_2_{minor}" for minor in minors), "manylinux2014", "linux"]
        return [f"{name}_{self.machine}" for name in names]

    @cached_property
    def tags(self) -> dict[Tag, int]:
        """Every tag that it can load, with its rank: 0 is the best."""
        own = cpython_tags(self.python, [self.abi], self.platforms)
        any_python = compatible_tags(self.python, f"cp{self.python[0]}{self.python[1]}", self.platforms)
        return {tag: rank for rank, tag in reversed([*enumerate([*own, *any_python])])}

    def rank(self, wheel: Path, package: str) -> int | None:
        """How well a wheel of `package` (`name==version`) fits, 0 is best; None for all that is no such wheel."""
        name, _, version = package.partition("==")
        try:
            found, at, _, tags = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            return None
        if found != canonicalize_name(name) or at != Version(version):
            return None
        return self.best(tags)

    def best(self, tags: frozenset[Tag] | set[Tag]) -> int | None:
        """The rank of the best of these tags; None if it can load none of them."""
        return min((self.tags[tag] for tag in tags if tag in self.tags), default=None)


def pins_for(platform: Platform, pins: Sequence[Pin] = PINS) -> list[Pin]:
    """The versions that a board tries, in that order."""
    return [pin for pin in pins if platform.python[0] == 3 and platform.python[1] in pin.pythons][:TRIES]


def runtime_name(wheels: Sequence[Path]) -> str:
    """The runtime's folder below a board's root: named after the wheels' content."""
    digests = sorted(file_digest(wheel) for wheel in wheels)
    return f"runtimes/{hashlib.sha256(' '.join(digests).encode()).hexdigest()[:16]}"


def file_digest(path: Path) -> str:
    """A file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
