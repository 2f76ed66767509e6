"""Read a bundle: the folder that travels, with its graphs, weights, manifest and golden vectors.

Nothing in a bundle is executed or trusted: names are plain file names, types are checked, sizes bounded, hashes
compared.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import BundleError
from .names import shown, wrong_names

FORMAT = 1  # 1: first
MANIFEST = "manifest.json"
FP32 = "fp32"  # the precision that models are trained in
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
HASH = re.compile(r"[0-9a-f]{64}")
_FORMS_BEFORE = tuple(
    (re.compile(form), kind)
    for form, kind in (
        (r"untrained: ()random, seed .*", "untrained"),
        (r"trained, ()comes with Tonearm, .*", "trained"),
        (r"checkpoint (.+), sha256 [0-9a-f]{16}", "checkpoint"),
        (r"imported from (.+), sha256 [0-9a-f]{16}", "graph"),
        (r"(\S+:\S+), (?:no weights|weights sha256 [0-9a-f]{16})", "module"),
    )
)
KINDS = ("untrained", "trained", "checkpoint", "module", "graph", "other")
STATE_TYPES = ("float32", "float64", "float16", "int64", "int32", "bool")

# What a manifest may claim. A board allocates what it says, so nothing is believed that no board could hold.
MAX_MANIFEST = 1 << 20  # bytes
MAX_TEXT = 4096  # characters
MAX_NAME = 128  # characters of a file's name: with what is appended to it, it must fit any file system
PLAIN = f"letters, digits and . _ + - only, a letter or digit first, at most {MAX_NAME} characters"
MAX_ENTRIES = 1024  # inputs, outputs, states, graphs, files
MAX_SAMPLES = 1 << 22  # of a hop, a block, a latency, or a second: 87 seconds at 48 kHz
MAX_VALUES = 1 << 26  # of a tensor, and of all that a graph takes and gives: 256 MiB of float32
MAX_AXES = 16
MAX_BYTES = 1 << 31  # of all files

NONSENSE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, MemoryError)


Read = TypeVar("Read")


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
class Provenance:
    """Where weights come from.

    Attributes:
        text: for people, one line; results have it beside every figure.
        kind: one of `KINDS`: random, those that come with Tonearm, a checkpoint, a module or a graph of someone's own;
            "other" for what only the text tells.
        source: the name of that file, module or model.
        digest: sha256 of the weights or their file, "" where there are none.
    """

    text: str
    kind: str = "other"
    source: str = ""
    digest: str = ""

    @property
    def is_trained(self) -> bool:
        """Whether the weights are any but random ones."""
        return self.kind != "untrained"


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
    provenance: Provenance
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    states: tuple[State, ...]
    graphs: dict[int, str]
    files: dict[str, File]
    golden: str
    parameters: dict[str, int]
    source: str

    @property
    def weights(self) -> str:
        """Where the weights come from, in words."""
        return self.provenance.text

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
                raise BundleError(f"{path} is missing: export or deploy the bundle again")
            if path.stat().st_size != file.size or sha256(path) != file.sha256:
                raise BundleError(f"{path} is not what the manifest says (its hash differs): export or deploy it again")


def is_plain(name: str) -> bool:
    """Whether a bundle or one of its files can be called that, see `PLAIN`."""
    return bool(PLAIN_NAME.fullmatch(name)) and len(name) <= MAX_NAME


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
    raw = _manifest(folder)
    try:
        manifest = json.loads(raw)
        if manifest["format"] != FORMAT:
            raise BundleError(
                f"{folder} has bundle format {manifest['format']!r:.40}, this tonearm reads {FORMAT}: export it again"
            )
        return _bundle(folder, hashlib.sha256(raw).hexdigest(), manifest)
    except NONSENSE as error:
        raise BundleError(f"{folder / MANIFEST} is not a manifest: {_words(error)}") from error


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) if isinstance(error, ValueError) else repr(error)


def _manifest(folder: Path) -> bytes:
    path = folder / MANIFEST
    try:
        size = path.lstat().st_size
        if path.is_symlink() or not path.is_file() or size > MAX_MANIFEST:
            raise BundleError(
                f"{path} is not a manifest: it must be a regular file of at most {MAX_MANIFEST >> 20} MiB"
            )
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"no bundle in {folder}: {error.strerror}") from error


def _bundle(folder: Path, digest: str, manifest: dict[str, Any]) -> Bundle:
    def read(field: str, check: Callable[[Any], Read]) -> Read:
        try:
            return check(manifest[field])
        except NONSENSE as error:
            raise ValueError(f"{field}: {_words(error)}") from error

    files, hop = read("files", _files), read("hop", _samples)
    bundle = Bundle(
        folder=folder,
        digest=digest,
        name=read("name", _name),
        sample_rate=read("sample_rate", _samples),
        hop=hop,
        latency=read("latency", lambda value: _count(value, least=0, most=MAX_SAMPLES)),
        precision=read("precision", _text),
        tolerance=read("tolerance", _tolerance),
        provenance=_provenance(read("weights", _text), read("provenance", dict) if "provenance" in manifest else None),
        inputs=read("inputs", lambda entries: tuple(map(_signal, _few(entries)))),
        outputs=read("outputs", lambda entries: tuple(map(_signal, _few(entries)))),
        states=read("states", lambda entries: tuple(map(_state, _few(entries)))),
        graphs=read("graphs", lambda entries: _graphs(entries, hop, files)),
        files=files,
        golden=read("golden", lambda name: _listed(name, files, ".npz")),
        parameters=read("parameters", _parameters),
        source=read("source", _text),
    )
    _check_names(bundle)
    _check_sizes(bundle)
    return bundle


def _provenance(text: str, fields: dict[str, Any] | None) -> Provenance:
    if fields is None:
        return _provenance_before(text)
    kind, digest = _text(fields.get("kind", "other")), _text(fields.get("digest", ""))
    if kind not in KINDS:
        raise ValueError(f"provenance: {kind[:MAX_NAME]!r} is not one of {', '.join(KINDS)}")
    return Provenance(text, kind, _text(fields.get("source", "")), digest and _hash(digest))


def _provenance_before(text: str) -> Provenance:
    """Of manifests made before they had a `provenance`: what their text begins with, as it was written then."""
    for form, kind in _FORMS_BEFORE:
        found = form.fullmatch(text)
        if found:
            return Provenance(text, kind, found[1] or "")
    return Provenance(text)


def _files(entries: dict[str, Any]) -> dict[str, File]:
    files = {
        _name(name): File(_hash(entry["sha256"]), _count(entry["size"], least=0, most=MAX_BYTES))
        for name, entry in _few(entries).items()
    }
    if MANIFEST in files:
        raise ValueError(f"{MANIFEST} lists itself as a file")
    if sum(file.size for file in files.values()) > MAX_BYTES:
        raise ValueError(f"its files are larger than {MAX_BYTES >> 30} GiB in total")
    return files


def _parameters(entries: dict[str, Any]) -> dict[str, int]:
    return {_text(part): _count(number, least=0) for part, number in _few(entries).items()}


def _graphs(entries: dict[str, Any], hop: int, files: dict[str, File]) -> dict[int, str]:
    graphs = {_samples(int(block)): _listed(name, files, ".onnx") for block, name in _few(entries).items()}
    if not graphs or any(block % hop for block in graphs):
        raise ValueError(f"blocks of {sorted(graphs)} samples are not all multiples of the hop, {hop}")
    return graphs


def _check_names(bundle: Bundle) -> None:
    """`ValueError` where a stream has nothing to take or to give, or one of its tensors can't bear its name."""
    if not bundle.inputs or not bundle.outputs:
        raise ValueError("no inputs, or no outputs")
    states = [state.name for state in bundle.states]
    names = [signal.name for signal in (*bundle.inputs, *bundle.outputs)]
    for name, reason in wrong_names(names, [*states, *map(next_name, states)]):
        raise ValueError(f"the name {shown(name)} {reason}")


def _check_sizes(bundle: Bundle) -> None:
    """`ValueError` where the largest block takes and gives more than `MAX_VALUES` values, or a state has as many."""
    frames = max(bundle.graphs) // bundle.hop
    values = frames * sum(signal.width for signal in (*bundle.inputs, *bundle.outputs))
    values += sum(math.prod(max(size, 1) for size in state.shape) for state in bundle.states)
    if values > MAX_VALUES:
        raise ValueError(f"inputs, outputs and states have {values} values; at most {MAX_VALUES} are allowed")


def _signal(entry: dict[str, Any]) -> Signal:
    return Signal(_text(entry["name"]), _count(entry["width"]), bool(entry.get("noise", False)))


def _state(entry: dict[str, Any]) -> State:
    if entry["dtype"] not in STATE_TYPES:
        raise ValueError(f"state of dtype {str(entry['dtype'])[:MAX_NAME]!r}")
    shape = tuple(_count(size, least=0, most=MAX_VALUES) for size in _few(entry["shape"], MAX_AXES))
    return State(_text(entry["name"]), shape, entry["dtype"])


def _few(values: Any, most: int = MAX_ENTRIES) -> Any:
    if len(values) > most:
        raise ValueError(f"{len(values)} entries; at most {most} are allowed")
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:MAX_NAME]!r} is not text")
    if len(value) > MAX_TEXT or not value.isprintable():
        raise ValueError(f"{value[:40]!r} is not a line of at most {MAX_TEXT} characters")
    return value


def _hash(value: Any) -> str:
    if not HASH.fullmatch(_text(value)):
        raise ValueError(f"{value[:MAX_NAME]!r} is not a sha256")
    return value


def _count(value: Any, least: int = 1, most: int = 1 << 62) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{str(value)[:MAX_NAME]!r} is not a whole number from {least} to {most}")
    return value


def _samples(value: Any) -> int:
    return _count(value, most=MAX_SAMPLES)


def _tolerance(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ValueError(f"{str(value)[:MAX_NAME]!r} is not a tolerance: a part of full scale")
    return float(value)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not is_plain(value):
        raise ValueError(f"{str(value)[:MAX_NAME]!r} is not a plain file name")
    return value


def _listed(value: Any, files: dict[str, File], suffix: str) -> str:
    if value not in files:
        raise ValueError(f"{str(value)[:MAX_NAME]!r} is not among the bundle's files")
    if not value.endswith(suffix):  # ONNX Runtime and numpy take other formats by other names
        raise ValueError(f"{value!r} is not a file of type {suffix}")
    return value
