"""Check a bundle's graph before ONNX Runtime sees it: where its weights lie, how large it gets, what it calls.

ONNX Runtime before 1.24 follows the location of external data out of the folder, and every version allocates what a
graph declares.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .bundle import MAX_VALUES, Bundle, next_name
from .errors import BundleError
from .wire import Message, Reader

MAX_BYTES = 64 << 20  # of a graph; its weights lie beside it
MAX_NODES = 1 << 20  # once all functions are written out
EXTERNAL = 1
STRING = 8
# By the number of the type in ONNX: its name (numpy's, where states may have it), and bits a value.
TYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
BITS |= {17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}
DOMAINS = ("", "ai.onnx.ml", "com.microsoft")  # whose operators a graph may call, beside its own functions
ENTRIES = {"location", "offset", "length", "checksum"}  # of a tensor's external data

Ends = dict[str, Any]  # name -> (shape, type)
Key = tuple[str, str, str]  # domain, name and overload of a function


class Graph:
    """A bundle's graph for blocks of `block` samples, read as data.

    Raises:
        BundleError: naming the file, when it is no graph; when it points outside of the bundle's files or their
            length; when it declares more values than its data or `MAX_VALUES`, or writes out to too many nodes.
    """

    def __init__(self, bundle: Bundle, block: int) -> None:
        self.bundle, self.frames, self.path = bundle, block // bundle.hop, bundle.graph(block)
        try:
            reader = Reader(_content(self.path))
            self.model, self.found = reader.model(), reader.found
            self._check()
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{self.path} can't be trusted: {error}") from error

    def _check(self) -> None:
        if not self.model.one("graph"):
            raise ValueError("it is empty, or not an ONNX file")
        if self.model.all("training_info"):
            raise ValueError("it holds training information, which boards don't accept")
        for tensor in self.found["Tensor"]:
            _check_tensor(tensor, self.bundle)
        for shape in self.found["Shape"]:
            _values(size.one("dim_value", 1) for size in shape.all("dim"))
        for sparse in self.found["Sparse"]:
            _values(sparse.all("dims"))
        _check_expansion(self.model)

    def check_ends(self) -> None:
        """`BundleError` unless inputs, outputs and states are the manifest's, by name, shape and type."""
        graph = self.model.one("graph")
        weights = {tensor.one("name", "") for tensor in graph.all("initializer")}
        inputs = [value for value in graph.all("input") if value.one("name") not in weights]
        for wanted, values in zip(ends(self.bundle, self.frames), (inputs, graph.all("output"))):
            found = {value.one("name", ""): _declared(value) for value in values}
            wrong = differences(wanted, found)
            if wrong or len(found) != len(values):
                raise BundleError(f"{self.path} and the manifest differ: {wrong or 'a name comes twice'}")

    def check_operators(self) -> None:
        """`BundleError` where it calls what ONNX Runtime, as it is installed here, does not know."""
        known = known_operators()
        functions = {_key(function) for function in self.model.all("functions")}
        try:
            for scope in (self.model, *self.model.all("functions")):
                opsets = _opsets(scope, known)
                for node in _nodes(scope.one("graph") or scope):
                    if _key(node, "op_type") not in functions:
                        _check_operator(node, opsets, known)
        except ValueError as error:
            raise BundleError(f"{self.path} can't be trusted: {error}") from error


def ends(bundle: Bundle, frames: int) -> tuple[Ends, Ends]:
    """What a graph for `frames` frames takes and gives, by name: `(shape, type)`."""
    before: Ends = {signal.name: ((1, frames, signal.width), "float32") for signal in bundle.inputs}
    after: Ends = {signal.name: ((1, frames, signal.width), "float32") for signal in bundle.outputs}
    for state in bundle.states:
        before[state.name] = after[next_name(state.name)] = (state.shape, state.dtype)
    return before, after


def differences(wanted: Ends, found: Ends) -> str:
    """Where what the manifest wants and what a graph has differ, in words; nothing when they are the same."""
    wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    return "; ".join(f"{name:.80}: graph {found.get(name)}, manifest {wanted.get(name)}" for name in wrong[:8])


@functools.cache
def known_operators() -> dict[tuple[str, str], dict[int, bool]]:
    """By domain and name, the versions of the opset at which an operator changed, and whether it was gone then."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    known: dict[tuple[str, str], dict[int, bool]] = {}
    for schema in get_all_operator_schema():
        if schema.domain in DOMAINS:
            known.setdefault((schema.domain, schema.name), {})[schema.since_version] = schema.deprecated
    return known


def _content(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is not a regular file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MiB")
    return path.read_bytes()


def _values(sizes: Iterable[int]) -> int:
    """The values of a shape; `ValueError` where they are too many, or an axis is longer than all may be."""
    sizes = list(sizes)
    if any(size < 0 for size in sizes):
        raise ValueError(f"it declares a tensor of shape {sizes}")
    if math.prod(max(size, 1) for size in sizes) > MAX_VALUES:
        raise ValueError(f"it declares a tensor of shape {sizes}: more than {MAX_VALUES} values")
    return math.prod(sizes)


def _check_tensor(tensor: Message, bundle: Bundle) -> None:
    """`ValueError` unless a tensor's data is there, all of it, in the graph or in a file of the bundle."""
    name, kind = tensor.one("name", "")[:80], tensor.one("data_type", 0)
    count = _values(tensor.all("dims"))
    if kind == STRING and not tensor.all("external_data") and count == len(tensor.all("strings")):
        return
    if kind not in BITS:
        raise ValueError(f"tensor {name!r} has type {kind}, which is not supported, or a wrong number of strings")
    size = -(-count * BITS[kind] // 8)
    if tensor.all("external_data") or tensor.one("data_location", 0):
        _check_external(tensor, name, size, bundle)
    elif tensor.all("typed"):
        if count > 4 * sum(tensor.all("typed")):  # at most four values to a byte
            raise ValueError(f"tensor {name!r} declares {count} values but does not hold them")
    elif tensor.one("raw_data", 0) != size:
        raise ValueError(f"tensor {name!r} declares {size} bytes but holds {tensor.one('raw_data', 0)}")


def _check_external(tensor: Message, name: str, size: int, bundle: Bundle) -> None:
    entries = [(entry.one("key", ""), entry.one("value", "")) for entry in tensor.all("external_data")]
    facts = dict(entries)
    if tensor.one("data_location") != EXTERNAL or len(facts) != len(entries) or not facts.keys() <= ENTRIES:
        raise ValueError(f"tensor {name!r} does not say unambiguously where its data is")
    location = facts.get("location", "")
    if location not in bundle.files:
        raise ValueError(f"tensor {name!r} has its data in {location!r}, which is not among the bundle's files")
    offset, length = _number(facts.get("offset", "0")), _number(facts.get("length", str(size)))
    path = bundle.folder / location
    there = 0 if path.is_symlink() or not path.is_file() else path.stat().st_size
    if length != size or offset + length > there:
        raise ValueError(
            f"tensor {name!r} needs {size} bytes, but reads {length} from offset {offset} of {location} ({there} bytes)"
        )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"{text[:40]!r} is not an offset or a length")
    return int(text)


def _declared(value: Message) -> Any:
    """Shape and type of an input or output, as `ends` has them; the name of an axis where it has no size."""
    tensor = value.one("type", Message()).one("tensor_type", Message())
    kind = tensor.one("elem_type", 0)
    if not tensor.all("shape"):
        return None, TYPES.get(kind, kind)
    shape = tensor.one("shape").all("dim")
    return tuple(size.one("dim_value") for size in shape), TYPES.get(kind, kind)


def _nodes(part: Message) -> Iterator[Message]:
    """The nodes of a graph or function, and of the graphs in it."""
    for node in part.all("node"):
        yield node
        for attribute in node.all("attribute"):
            for inner in (*attribute.all("g"), *attribute.all("graphs")):
                yield from _nodes(inner)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _key(message: Message, name: str = "name") -> Key:
    return _domain(message.one("domain", "")), message.one(name, ""), message.one("overload", "")


def _check_expansion(model: Message) -> None:
    """`ValueError` where functions call themselves, or each other so often that a small file becomes a huge graph."""
    bodies = {_key(function): list(_nodes(function)) for function in model.all("functions")}
    if len(bodies) != len(model.all("functions")):
        raise ValueError("two of its functions have the same name")
    sizes: dict[Key, int] = {}

    def size(key: Key, above: tuple[Key, ...]) -> int:
        if key in above:
            raise ValueError(f"its function {key[1]!r} calls itself")
        if key in bodies and key not in sizes:
            sizes[key] = 1 + sum(size(_key(node, "op_type"), (*above, key)) for node in bodies[key])
        return sizes.get(key, 1)

    if sum(size(_key(node, "op_type"), ()) for node in _nodes(model.one("graph"))) > MAX_NODES:
        raise ValueError(f"it grows to more than {MAX_NODES} nodes with its functions expanded")


def _opsets(scope: Message, known: dict[tuple[str, str], dict[int, bool]]) -> dict[str, int]:
    """The version of each domain that a model or function declares."""
    imports = [(_domain(entry.one("domain", "")), entry.one("version", 0)) for entry in scope.all("opset_import")]
    if len(dict(imports)) != len(imports):
        raise ValueError("it declares two versions of one domain")
    for domain, version in imports:
        newest = max((max(since) for (of, _), since in known.items() if of == domain), default=version)
        if not 0 < version <= newest:
            raise ValueError(f"it declares opset {version} of {domain or 'ai.onnx'!r}, known are 1 to {newest}")
    return dict(imports)


def _check_operator(node: Message, opsets: dict[str, int], known: dict[tuple[str, str], dict[int, bool]]) -> None:
    domain, name, _ = _key(node, "op_type")
    version = opsets.get(domain, 0)
    since = [number for number in known.get((domain, name), {}) if number <= version]
    if not since or known[domain, name][max(since)]:
        full = f"{domain}.{name}".strip(".")
        raise ValueError(f"it calls {full[:80]!r}, which is not an operator of opset {version} of its domain")
