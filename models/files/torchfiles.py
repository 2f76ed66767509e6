"""Files of `torch.save`, zip and legacy, read without torch's reader: only tensors come out, nothing is run.

A tensor is declared in a pickle: where its numbers lie, its size, its strides. `Stored` is that declaration as it
comes; it is checked against the numbers that are really there before anything is allocated.
"""

from __future__ import annotations

import io
import math
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .kinds import AGAIN, ZIP, refuse_other_zips
from .unpickle import Inert, unpickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_SIZE = 2**48  # keeps what is computed with sizes within 64 bits
MAX_DIMENSIONS = 8
DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
}
# Bytes a number takes, of types that no weight has: in a legacy file, what comes next is found only with them.
OTHER_WIDTHS = {
    "torch.BoolStorage": 1,
    "torch.ComplexFloatStorage": 8,
    "torch.ComplexDoubleStorage": 16,
    "torch.QInt8Storage": 1,
    "torch.QUInt8Storage": 1,
    "torch.QInt32Storage": 4,
    "torch.QUInt4x2Storage": 1,
    "torch.QUInt2x4Storage": 1,
}


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers that lie in the file under `key`; `numel` is what the file says of them."""

    dtype: torch.dtype
    key: str
    numel: Any


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor as the file declares it, unchecked."""

    storage: Storage
    offset: Any
    size: Any
    stride: Any


Numbers = Callable[[Storage], Tensor]


def read_torch_file(content: bytes) -> tuple[Any, Numbers]:
    """What `torch.save` wrote, with `Stored` for tensors and `Inert` for all other objects; and their numbers.

    Raises:
        CheckpointError: with what the file is instead, to be put after its name.
        Exception: of any kind, where the file is damaged.
    """
    return _read_zip(content) if content.startswith(ZIP) else _read_legacy(content)


def a_kind(saved: Any) -> str:
    """What was saved, in words, where it is no dict."""
    kinds = {Inert: "an object", Stored: "one tensor", list: "a list", tuple: "a tuple"}
    return kinds.get(type(saved), f"a value ({type(saved).__name__})")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *others: Any) -> Stored | Inert:
    """`others` are requires_grad, hooks and, in newer files, marks such as "negated", which no weight has."""
    known = isinstance(storage, Storage) and not any(others[2:])
    return Stored(storage, offset, size, stride) if known else Inert("a tensor of another kind")


def _parameter(data: Any, *others: Any) -> Any:
    return data


def _ordered_dict(*items: Any) -> dict[str, Any] | Inert:
    return Inert("collections.OrderedDict") if items else {}


CALLS = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": lambda *_: {},
}


def _storage(identity: Any) -> Storage | Inert:
    """A persistent id: ("storage", type, key, device, numel), and in legacy files a view, which newer ones lack."""
    match identity:
        case ("storage", Inert(kind), str(key), _, numel) | ("storage", Inert(kind), str(key), _, numel, None):
            return Storage(DTYPES[kind], key, numel) if kind in DTYPES else Inert(kind)
    return Inert()


def _read_zip(content: bytes) -> tuple[Any, Numbers]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    entries = {entry.filename: entry for entry in archive.infolist()}
    roots = [name.removesuffix("data.pkl") for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1 or f"{roots[0]}constants.pkl" in entries:
        refuse_other_zips(entries)
        raise CheckpointError("is a zip archive, but none that torch.save wrote")
    [root] = roots
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise CheckpointError("is compressed, which torch.save never does: unpack it and save the weights again")
    if sum(entry.file_size for entry in entries.values()) > len(content):
        raise CheckpointError("declares more than it holds: its parts overlap")
    if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != sys.byteorder.encode():
        raise CheckpointError(f"was not written on a {sys.byteorder}-endian machine: save the weights again on one")
    pickled = unpickle(io.BytesIO(archive.read(f"{root}data.pkl")), CALLS, _storage)
    return pickled, _numbers(lambda key: archive.read(f"{root}data/{key}"))


def _read_legacy(content: bytes) -> tuple[Any, Numbers]:
    """Five pickles: a magic number, the version, the machine, what was saved, keys; then the numbers of each key."""
    stream = io.BytesIO(content)
    widths: dict[str, int] = {}

    def storage(identity: Any) -> Storage | Inert:
        found = _storage(identity)
        match identity, found:
            case _, Storage(dtype, key):
                widths[key] = dtype.itemsize
            case ("storage", Inert(kind), str(key), *_), _ if kind in OTHER_WIDTHS:
                widths[key] = OTHER_WIDTHS[kind]
        return found

    if unpickle(stream, CALLS, storage) != LEGACY_MAGIC:
        raise CheckpointError("is a pickle that torch.save did not write: use torch.save(model.state_dict(), path)")
    _version, _machine, pickled, keys = (unpickle(stream, CALLS, storage) for _ in range(4))
    parts = {}
    for key in filter(lambda key: isinstance(key, str), keys):
        count = stream.read(8)
        length = int.from_bytes(count, "little") * widths[key]
        parts[key] = stream.read(length)
        if len(count) < 8 or len(parts[key]) < length:
            raise CheckpointError(f"is cut short: {AGAIN}")
    return pickled, _numbers(parts.__getitem__)


def _numbers(read: Callable[[str], bytes]) -> Numbers:
    """Flat tensors of the numbers that `read` gives for a key."""

    @cache
    def content(key: str) -> bytearray:
        return bytearray(read(key))

    def numbers(storage: Storage) -> Tensor:
        held = content(storage.key)
        if not _is_size(storage.numel) or storage.numel * storage.dtype.itemsize > len(held):
            raise CheckpointError(f"declares more numbers than the {len(held)} bytes it holds for them")
        if storage.numel == 0:
            return torch.empty(0, dtype=storage.dtype)
        return torch.frombuffer(held, dtype=storage.dtype, count=storage.numel)

    return numbers


def restore(stored: Stored, numbers: Numbers) -> Tensor:
    """The tensor, a view of its storage; `CheckpointError` where the numbers of the file are fewer than declared."""
    flat, size, stride, offset = numbers(stored.storage), stored.size, stored.stride, stored.offset
    shaped = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MAX_DIMENSIONS
    if not shaped or not all(map(_is_size, (offset, *size, *stride))):
        raise CheckpointError("declares a tensor of no possible shape")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if math.prod(size) > flat.numel() or (math.prod(size) > 0 and last >= flat.numel()):
        raise CheckpointError(f"declares a tensor of shape {size} where it holds {flat.numel()} numbers")
    return flat.as_strided(size, stride, offset)


def shape_of(value: Tensor | Stored) -> tuple[int, ...] | None:
    """The shape of a tensor, read or declared; None where it declares one that no tensor has."""
    size = value.size if isinstance(value, Stored) else tuple(value.shape)
    return size if isinstance(size, tuple) and len(size) <= MAX_DIMENSIONS and all(map(_is_size, size)) else None


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_SIZE
