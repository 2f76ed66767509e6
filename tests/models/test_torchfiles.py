"""Files of torch.save, as they come: what they declare is believed only as far as their numbers go."""

from __future__ import annotations

import functools
import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tonearm.models.errors import CheckpointError
from tonearm.models.files.checkpoints import read_checkpoint
from torch import Tensor
from torch._utils import _rebuild_tensor_v2

SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
NUMBERS = object()


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def forged(numel: Any, size: Any, stride: Any, offset: Any = 0) -> bytes:
    """A zip file of torch.save with six numbers, of which its pickle says something else."""

    class Forger(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", numel) if obj is NUMBERS else None

    stream = io.BytesIO()
    arguments = NUMBERS, offset, size, stride, False, OrderedDict()
    Forger(stream, 2).dump({"weight": Call(_rebuild_tensor_v2, arguments)})
    return archived({"a/data.pkl": stream.getvalue(), "a/data/0": bytes(24), "a/version": b"3\n"})


def archived(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return stream.getvalue()


def test_the_forger_of_these_tests_forges_files_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "forged.pt").write_bytes(forged(6, (2, 3), (3, 1)))
    assert torch.equal(read_checkpoint(tmp_path / "forged.pt").state["weight"], torch.zeros(2, 3))
    assert torch.equal(torch.load(tmp_path / "forged.pt")["weight"], torch.zeros(2, 3))


LAUGHTER: Any = functools.reduce(lambda inner, _: (inner, inner), range(100), ())  # takes 2**100 steps to print


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ((2**45, (2**45,), (1,)), "declares more numbers than the 24 bytes it holds for them"),
        ((7, (7,), (1,)), "declares more numbers"),
        ((-1, (6,), (1,)), "declares more numbers"),
        ((LAUGHTER, (6,), (1,)), "declares more numbers"),
        ((6, (2**45,), (1,)), r"declares a tensor of shape \(35184372088832,\) where it holds 6 numbers"),
        ((6, (2**45,), (0,)), "declares a tensor of shape"),
        ((6, (2**45, 2**45), (0, 0)), "declares a tensor of shape"),
        ((6, (6,), (1,), 1), "declares a tensor of shape"),
        ((6, (2, 3), (4, 1)), "declares a tensor of shape"),
        ((6, (2**70,), (1,)), "declares a tensor of no possible shape"),
        ((6, (6,), (1,), -1), "declares a tensor of no possible shape"),
        ((6, (-6,), (1,)), "declares a tensor of no possible shape"),
        ((6, (6,), (-1,)), "declares a tensor of no possible shape"),
        ((6, (6,), (1, 1)), "declares a tensor of no possible shape"),
        ((6, (1,) * 100, (1,) * 100), "declares a tensor of no possible shape"),
        ((6, 6, 1), "declares a tensor of no possible shape"),
        ((6, LAUGHTER, LAUGHTER), "declares a tensor of no possible shape"),
    ],
)
def test_a_tensor_larger_than_what_the_file_holds_is_refused(tmp_path: Path, declared: Any, said: str) -> None:
    (tmp_path / "forged.pt").write_bytes(forged(*declared))
    with pytest.raises(CheckpointError, match=rf"forged\.pt {said}"):
        read_checkpoint(tmp_path / "forged.pt")


def test_a_file_whose_tensors_all_lie_upon_each_other_is_refused(tmp_path: Path) -> None:
    base = torch.zeros(10_000)
    torch.save({f"weight.{index}": base for index in range(100)}, tmp_path / "many.pt")
    with pytest.raises(CheckpointError, match=r"many\.pt declares more weights than the file can hold"):
        read_checkpoint(tmp_path / "many.pt")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bomb.pt").write_bytes(archived({"a/data.pkl": bytes(10**8)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(CheckpointError, match=r"bomb\.pt is compressed, which torch\.save never does"):
        read_checkpoint(tmp_path / "bomb.pt")


def test_parts_that_overlap_are_not_read(tmp_path: Path) -> None:
    content = archived({"a/data.pkl": b"N.", "a/data/0": bytes(1000)})
    start = content.index(b"PK\x01\x02")
    record, end = (
        content[content.index(b"PK\x01\x02", start + 4) : content.index(b"PK\x05\x06")],
        bytearray(content[-22:]),
    )
    entries = content[start:-22] + b"".join(record.replace(b"data/0", f"data/{n}".encode()) for n in range(1, 9))
    end[8:16] = struct.pack("<HHI", 10, 10, len(entries))
    (tmp_path / "bomb.pt").write_bytes(content[:start] + entries + end)
    with pytest.raises(CheckpointError, match=r"bomb\.pt .*overlap"):
        read_checkpoint(tmp_path / "bomb.pt")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "clip.npz", f0_hz=np.zeros(3))
    with pytest.raises(CheckpointError, match=r"clip\.npz is a zip archive, but none that torch\.save wrote"):
        read_checkpoint(tmp_path / "clip.npz")


def small_checkpoint(zipped: bool) -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": SMALL, "epoch": 3}, content, _use_new_zipfile_serialization=zipped)
    return content.getvalue()


@settings(deadline=None, max_examples=300)
@given(
    kind=st.sampled_from(["zip", "legacy", "safetensors"]),
    damage=st.dictionaries(st.integers(0, 2000), st.integers(0, 255), max_size=4),
    cut=st.booleans(),
)
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, damage: dict[int, int], cut: bool
) -> None:
    whole = safetensors.torch.save(SMALL) if kind == "safetensors" else small_checkpoint(kind == "zip")
    content = bytearray(whole)
    for place, value in damage.items():
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / ("damaged.safetensors" if kind == "safetensors" else "damaged.pt")
    path.write_bytes(content[: max(damage, default=0)] if cut else content)
    try:
        assert all(isinstance(value, Tensor) for value in read_checkpoint(path).state.values())
    except CheckpointError as error:
        assert path.name in str(error)


@settings(deadline=None, max_examples=300)
@given(
    content=st.binary(max_size=200), start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x08" + bytes(7) + b"{"])
)
@pytest.mark.parametrize("name", ["any.pt", "any.safetensors"])
def test_any_bytes_at_all_are_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: bytes, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(start + content)
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(path)
