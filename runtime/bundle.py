"""Read a bundle: the folder that travels, with its graphs, weights, manifest and golden vectors.

Nothing in a bundle is executed or trusted: names are plain file names, types are checked, hashes compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BundleError

FORMAT = 1  # 1: first
MANIFEST = "manifest.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
STATE_TYPES = ("float32", "float64", "float16", "int64", "int32", "bool")


@dataclass(frozen=True)
class Signal:
    """An input or output: `(1, frames, width)`; `noise` says that uniform noise fills it when it is not given."""

    name: str
    width: int
    noise: bool = False


@dataclass(frozen=True)
class State:
    """A tensor that goes out of one step and into the next; its `dtype` is one of `STATE_TYPES`."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class File:
    """A file of the bundle, apart from the manifest."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Bundle:
    """A bundle's manifest, checked for shape; `check_files` compares the rest with it."""

    folder: Path
    digest: str
    name: str
    sample_rate: int
    hop: int
    latency: int
    precision: str
    tolerance: float
    weights: str
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    states: tuple[State, ...]
    graphs: dict[int, str]
    files: dict[str, File]
    golden: str
    parameters: dict[str, int]
    source: str

    def graph(self, block: int) -> Path:
        """The graph for blocks of `block` samples."""
        if block not in self.graphs:
            raise BundleError(f"{self.name} has no graph for blocks of {block} samples, only {sorted(self.graphs)}")
        return self.folder / self.graphs[block]

    def check_files(self) -> None:
        """Raise `BundleError` naming the first file that is missing, of another size, or of another hash."""
        for name, file in self.files.items():
            path = self.folder / name
            if path.is_symlink() or not path.is_file():
                raise BundleError(f"{path} is missing: export or push the bundle again")
            if path.stat().st_size != file.size or sha256(path) != file.sha256:
                raise BundleError(f"{path} is not what the manifest says (its hash differs): export or push it again")


def next_name(state: str) -> str:
    """What a state is called on its way out of the graph."""
    return f"{state}_next"


def sha256(path: Path) -> str:
    """Hash of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`; `BundleError` when there is none or its manifest makes no sense."""
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"no bundle in {folder}: {error.strerror}") from error
    try:
        manifest = json.loads(raw)
        if manifest["format"] != FORMAT:
            raise BundleError(f"{folder} has bundle format {manifest['format']!r}, this tonearm reads {FORMAT}")
        return _bundle(folder, hashlib.sha256(raw).hexdigest(), manifest)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST} is not a manifest: {error!r}") from error


def _bundle(folder: Path, digest: str, manifest: dict[str, Any]) -> Bundle:
    files = {
        _name(name): File(_text(entry["sha256"]), _count(entry["size"], least=0))
        for name, entry in manifest["files"].items()
    }
    graphs = {_count(int(block)): _listed(name, files) for block, name in manifest["graphs"].items()}
    hop = _count(manifest["hop"])
    if not graphs or any(block % hop for block in graphs):
        raise ValueError(f"graphs for blocks {sorted(graphs)} do not fit a hop of {hop}")
    return Bundle(
        folder=folder,
        digest=digest,
        name=_name(manifest["name"]),
        sample_rate=_count(manifest["sample_rate"]),
        hop=hop,
        latency=_count(manifest["latency"], least=0),
        precision=_text(manifest["precision"]),
        tolerance=_tolerance(manifest["tolerance"]),
        weights=_text(manifest["weights"]),
        inputs=tuple(_signal(entry) for entry in manifest["inputs"]),
        outputs=tuple(_signal(entry) for entry in manifest["outputs"]),
        states=tuple(_state(entry) for entry in manifest["states"]),
        graphs=graphs,
        files=files,
        golden=_listed(manifest["golden"], files),
        parameters={_text(part): _count(number, least=0) for part, number in manifest["parameters"].items()},
        source=_text(manifest["source"]),
    )


def _signal(entry: dict[str, Any]) -> Signal:
    return Signal(_text(entry["name"]), _count(entry["width"]), bool(entry.get("noise", False)))


def _state(entry: dict[str, Any]) -> State:
    if entry["dtype"] not in STATE_TYPES:
        raise ValueError(f"state of dtype {entry['dtype']!r}")
    return State(_text(entry["name"]), tuple(_count(size, least=0) for size in entry["shape"]), entry["dtype"])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _count(value: Any, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{value!r} is not a whole number from {least}")
    return value


def _tolerance(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ValueError(f"{value!r} is not a tolerance: a part of full scale")
    return float(value)


def _name(value: Any) -> str:
    if not PLAIN_NAME.fullmatch(_text(value)):
        raise ValueError(f"{value!r} is not a plain file name")
    return value


def _listed(value: Any, files: dict[str, File]) -> str:
    if value not in files:
        raise ValueError(f"{value!r} is not among the bundle's files")
    return value
