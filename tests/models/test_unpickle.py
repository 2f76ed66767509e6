"""A checkpoint's pickle is data: no trap in it snaps, wherever it lies, and none makes the reader hang or allocate."""

from __future__ import annotations

import builtins
import collections
import contextlib
import copyreg
import functools
import io
import os
import pickle
import pickletools
import struct
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tonearm.models.errors import CheckpointError
from tonearm.models.files.checkpoints import read_checkpoint
from tonearm.models.files.unpickle import MAX_STEPS, STEPS, Inert, unpickle

SNARES = "tonearm_snares"
PLACE = "the trap goes here"
EXTENSION = 240
STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


class New:
    def __new__(cls, made: str = "", **keywords: str) -> New:
        Path(made or keywords["made"]).touch()
        return super().__new__(cls)


class State:
    def __setstate__(self, made: str) -> None:
        Path(made).touch()


class Slotted:
    made = property(lambda self: None, lambda self, made: Path(made).touch())


class Rows(list[str]):
    def append(self, made: str) -> None:
        Path(made).touch()

    def extend(self, rows: Any) -> None:
        Path(next(iter(rows))).touch()


class Entries(collections.OrderedDict[str, str]):
    def __setitem__(self, key: str, made: str) -> None:
        Path(made).touch()


class Members:
    def add(self, made: str) -> None:
        Path(made).touch()


@pytest.fixture(autouse=True)
def snares(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The classes above can be imported by what a pickle names, and subprocess.getoutput has an extension code."""
    module = types.ModuleType(SNARES)
    for snare in (New, State, Slotted, Rows, Entries, Members):
        setattr(module, snare.__name__, snare)
    monkeypatch.setitem(sys.modules, SNARES, module)
    copyreg.add_extension("subprocess", "getoutput", EXTENSION)
    yield
    copyreg.remove_extension("subprocess", "getoutput", EXTENSION)


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def text(value: str) -> bytes:
    """Instruction: a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def dumped(value: Any, protocol: int = 2) -> bytes:
    """The instructions that make a value, to be put into another pickle: without an end, and without a memo."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()[:-1]


def snare(name: str) -> bytes:
    return f"c{SNARES}\n{name}\n".encode()


def touch(made: Path) -> str:
    return f"touch {made}"


def torch_bomb(made: Path) -> bytes:
    content = io.BytesIO()
    torch.save({"weight": Call(os.system, touch(made))}, content)
    return content.getvalue()


def saved_bomb(made: Path) -> Path:
    path = made.parent / "bomb.pt"
    path.write_bytes(torch_bomb(made))
    return path


def hub(made: Path) -> str:
    (made.parent / "hubconf.py").write_text(f"from pathlib import Path\nPath({str(made)!r}).touch()\n")
    return str(made.parent)


def open_source(made: Path) -> str:
    return f"open({str(made)!r}, 'w').close()"


TRAPS: dict[str, Callable[[Path], bytes]] = {
    **{f"REDUCE, protocol {p}": lambda m, p=p: dumped(Call(os.system, touch(m)), p) for p in range(6)},
    **{f"getattr, protocol {p}": lambda m, p=p: dumped(Call(getattr(Path, "touch"), m), p) for p in range(6)},  # noqa: B009
    "GLOBAL": lambda m: b"cos\nsystem\n(" + text(touch(m)) + b"tR",
    "GLOBAL of a dotted name": lambda m: b"\x80\x04ctorch\nserialization.os.system\n(" + text(touch(m)) + b"tR",
    "STACK_GLOBAL": lambda m: b"\x80\x04" + text("os") + text("system") + b"\x93(" + text(touch(m)) + b"tR",
    "STACK_GLOBAL of a dotted name": lambda m: (
        b"\x80\x04" + text("torch") + text("serialization.os.system") + b"\x93(" + text(touch(m)) + b"tR"
    ),
    "INST": lambda m: b"(" + text(touch(m)) + b"ios\nsystem\n",
    "OBJ": lambda m: b"(cos\nsystem\n" + text(touch(m)) + b"o",
    "EXT1": lambda m: b"\x82" + bytes([EXTENSION]) + b"(" + text(touch(m)) + b"tR",
    "EXT2": lambda m: b"\x83" + struct.pack("<H", EXTENSION) + b"(" + text(touch(m)) + b"tR",
    "NEWOBJ": lambda m: snare("New") + b"(" + text(str(m)) + b"t\x81",
    "NEWOBJ_EX": lambda m: b"\x80\x04" + snare("New") + b")}" + text("made") + text(str(m)) + b"s\x92",
    "BUILD": lambda m: snare("State") + b")\x81" + text(str(m)) + b"b",
    "BUILD of a property": lambda m: snare("Slotted") + b")\x81N}" + text("made") + text(str(m)) + b"s\x86b",
    "APPEND": lambda m: snare("Rows") + b")\x81" + text(str(m)) + b"a",
    "APPENDS": lambda m: snare("Rows") + b")\x81(" + text(str(m)) + b"e",
    "ADDITEMS": lambda m: b"\x80\x04" + snare("Members") + b")\x81(" + text(str(m)) + b"\x90",
    "SETITEM": lambda m: snare("Entries") + b")R" + text("weight") + text(str(m)) + b"s",
    "SETITEMS": lambda m: snare("Entries") + b")R(" + text("weight") + text(str(m)) + b"u",
    "a key": lambda m: b"}" + dumped(Call(os.system, touch(m))) + b"Ns",
    "a persistent id": lambda m: dumped(Call(os.system, touch(m))) + b"Q",
    "eval": lambda m: dumped(Call(builtins.eval, open_source(m))),
    "exec": lambda m: dumped(Call(builtins.exec, open_source(m))),
    "a function of a function": lambda m: dumped(Call(functools.partial(os.system, touch(m)))),
    "attributes of modules": lambda m: (
        dumped(Call(getattr, Call(__import__, "os"), "system")) + b"(" + text(touch(m)) + b"tR"
    ),
    "torch.save": lambda m: dumped(Call(torch.save, 0, str(m))),
    "torch.load": lambda m: dumped(Call(functools.partial(torch.load, str(saved_bomb(m)), weights_only=False))),
    "torch.hub": lambda m: dumped(Call(functools.partial(torch.hub.load, hub(m), "none", source="local"))),
    "a storage": lambda m: dumped(Call(torch.storage._load_from_bytes, torch_bomb(m)), 4),
    "a tensor": lambda m: (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + dumped(Call(os.system, touch(m))) + b"K\x00K\x01\x85K\x01\x85\x89}tR"
    ),
    "a class made anew": lambda m: (
        dumped(Call(copyreg._reconstructor, State, object, None)).replace(State.__module__.encode(), SNARES.encode())  # type: ignore[attr-defined]
        + text(str(m))
        + b"b"
    ),
}


def saved(content: Any, zipped: bool, trap: bytes) -> bytes:
    """A file of torch.save with the trap where `content` says."""
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    if not zipped:
        assert stream.getvalue().count(text(PLACE)) == 1
        return stream.getvalue().replace(text(PLACE), trap)
    with zipfile.ZipFile(stream) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert parts["archive/data.pkl"].count(text(PLACE)) == 1
    return archived(parts | {"archive/data.pkl": parts["archive/data.pkl"].replace(text(PLACE), trap)})


def archived(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", TRAPS)
def test_the_trap_does_snap_when_torch_loads_it(tmp_path: Path, name: str, zipped: bool) -> None:
    content = saved({"state_dict": STATE, "hyper_parameters": PLACE}, zipped, TRAPS[name](tmp_path / "made"))
    with contextlib.suppress(Exception):
        torch.load(io.BytesIO(content), weights_only=False)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_beside_the_weights_is_ignored_and_never_run(tmp_path: Path, name: str, zipped: bool) -> None:
    made, path = tmp_path / "made", tmp_path / "run.ckpt"
    for entries in (PLACE, [{"deep": (1, [PLACE])}]):
        content = {"state_dict": STATE, "epoch": 3, "hyper_parameters": entries}
        path.write_bytes(saved(content, zipped, TRAPS[name](made)))
        found = read_checkpoint(path)
        assert all(torch.equal(found.state[key], STATE[key]) for key in STATE)
        assert found.notes == ("ignored beside the weights: epoch, hyper_parameters; nothing in there was run",)
    assert not made.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_among_the_weights_is_refused_and_never_run(tmp_path: Path, name: str, zipped: bool) -> None:
    made, path = tmp_path / "made", tmp_path / "trap.pt"
    weights = STATE | {"trap": PLACE}
    for content in (weights, {"state_dict": weights}):
        path.write_bytes(saved(content, zipped, TRAPS[name](made)))
        with pytest.raises(CheckpointError, match=r"trap\.pt holds more than named tensors: trap; save"):
            read_checkpoint(path)
    assert not made.exists()


@pytest.mark.parametrize("name", TRAPS)
def test_a_file_that_is_a_trap_is_refused_and_never_run(tmp_path: Path, name: str) -> None:
    made, path = tmp_path / "made", tmp_path / "trap.pt"
    trap = TRAPS[name](made)
    for content in (trap + b".", saved(PLACE, True, trap), saved(PLACE, False, trap)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"trap\.pt"):
            read_checkpoint(path)
    assert not made.exists()


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_under_the_name_of_weights_is_refused_and_never_run(tmp_path: Path, name: str) -> None:
    path = tmp_path / "trap.safetensors"
    path.write_bytes(TRAPS[name](tmp_path / "made") + b".")
    with pytest.raises(CheckpointError, match=r"trap\.safetensors"):
        read_checkpoint(path)
    assert not (tmp_path / "made").exists()


def test_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "program.pt"))
    with pytest.raises(CheckpointError, match=r"program\.pt is a TorchScript program: save the weights alone"):
        read_checkpoint(tmp_path / "program.pt")


def read_alone(pickled: bytes) -> Any:
    """What comes out of a pickle where no name stands for anything."""
    return unpickle(io.BytesIO(pickled), {}, lambda identity: Inert("persistent"))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


@settings(deadline=None)
@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_data_comes_out_as_it_went_in(value: Any, protocol: int) -> None:
    assert read_alone(pickle.dumps(value, protocol)) == value


def test_a_value_used_twice_comes_out_twice() -> None:
    shared = [1, 2]
    assert read_alone(pickle.dumps({"a": shared, "b": (shared, shared)})) == {"a": [1, 2], "b": ([1, 2], [1, 2])}


def test_every_instruction_is_known_but_those_for_buffers_outside_of_the_pickle() -> None:
    assert {opcode.name for opcode in pickletools.opcodes} - set(STEPS) == {"NEXT_BUFFER", "READONLY_BUFFER"}


def test_what_a_name_would_make_is_inert_and_keeps_its_name() -> None:
    assert read_alone(pickle.dumps(os.system)) == Inert("posix.system")
    assert read_alone(pickle.dumps(Call(os.system, "true"))) == Inert("posix.system")
    assert read_alone(pickle.dumps({1, 2})) == Inert()


LAUGHTER = b")" + b"2\x86" * 100  # a tuple of twice the same, a hundred levels deep


@pytest.mark.parametrize(
    ("pickled", "read"),
    [
        (b"}" + LAUGHTER + b"Ns", {}),  # a key that takes 2**100 steps to hash
        (LAUGHTER + LAUGHTER + b"\x93", Inert()),  # a name as long
        (LAUGHTER + b"Q", Inert("persistent")),
        (b"Nr\xff\xff\xff\xff", None),  # an ordinary unpickler makes room for 2**32 entries here
    ],
)
def test_a_small_pickle_takes_neither_long_nor_much_memory(pickled: bytes, read: Any) -> None:
    assert read_alone(pickled + b".") == read


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",  # 2**63 bytes
        b"\x8b\xff\xff\xff\x7f",  # a number of 2 GB
        b"(" * 1000,
        b"N" + b"0" * 1000,
        b"h\x00",  # nothing was remembered
        b"I" + b"9" * 10_000 + b"\n",
    ],
)
def test_a_broken_pickle_is_refused(pickled: bytes) -> None:
    with pytest.raises((ValueError, IndexError, KeyError)):
        read_alone(pickled + b".")


def test_a_pickle_of_too_many_instructions_is_not_read_to_its_end() -> None:
    with pytest.raises(ValueError, match=f"more than {MAX_STEPS} instructions"):
        read_alone(b"N0" * MAX_STEPS + b"N.")


OPCODES = st.sampled_from([opcode.code.encode("latin1") for opcode in pickletools.opcodes])
SCRAPS = st.sampled_from(
    [text("weight"), b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"K\x02"]
)


@settings(deadline=None, max_examples=500)
@given(instructions=st.lists(OPCODES | SCRAPS | st.binary(max_size=4), max_size=40))
def test_any_instructions_at_all_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, instructions: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(archived({"a/data.pkl": b"".join(instructions) + b".", "a/data/0": bytes(8)}))
    with pytest.raises(CheckpointError, match=r"any\.pt"):
        read_checkpoint(path)
