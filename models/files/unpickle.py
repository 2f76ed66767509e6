"""A pickle read as data: nothing it names is imported, nothing it asks for is called.

Python's own unpickler looks names up and calls what it finds; this one can't. It knows texts, numbers, lists,
tuples and dicts with texts as keys. A name becomes an `Inert`, and so does whatever would be made with it,
except for the few names in `calls`, which stand for functions of our own. Every instruction takes constant
time, apart from the bytes it brings along, so that a small file can't keep us busy.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

MAX_STEPS = 2_000_000
MAX_NAME = 256
MAX_ARGUMENTS = 8  # of one of `calls`

Calls = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Inert:
    """A name in the file, `module.name`, or anything that would be made with it. There is nothing behind it."""

    name: str = ""


def unpickle(stream: IO[bytes], calls: Calls, persistent: Callable[[Any], Any]) -> Any:
    """One pickle from `stream`, which is left at its end.

    Args:
        stream: bytes in memory, so that a length beyond the end is not allocated.
        calls: what stands for the functions that a pickle names, by that name; they get unchecked arguments.
        persistent: what stands for a persistent id, which is unchecked.

    Raises:
        Exception: of any kind, when this is no pickle, or one of more than `MAX_STEPS` instructions.
    """
    machine = _Machine(calls, persistent)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count > MAX_STEPS:
            raise ValueError(f"a pickle of more than {MAX_STEPS} instructions")
        STEPS[opcode.name](machine, argument)
    return machine.pop()


class _Machine:
    """The stack that a pickle's instructions work on, what lay below each mark, and the memo."""

    def __init__(self, calls: Calls, persistent: Callable[[Any], Any]) -> None:
        self.calls, self.persistent = calls, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def popped(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.stack.pop() for _ in range(count)]))

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def drop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def set_items(self, items: list[Any] | tuple[Any, ...]) -> None:
        # Only texts are hashed: a small file can hold a tuple whose hash takes years.
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, str))

    def name(self, module: Any, name: Any) -> None:
        known = isinstance(module, str) and isinstance(name, str) and len(module) + len(name) < MAX_NAME
        self.push(Inert(f"{module}.{name}" if known else ""))

    def call(self, function: Any, arguments: Any) -> None:
        inert = function if isinstance(function, Inert) else Inert()
        if inert.name in self.calls and isinstance(arguments, tuple) and len(arguments) <= MAX_ARGUMENTS:
            self.push(self.calls[inert.name](*arguments))
        else:
            self.push(inert)

    def make_dict(self) -> None:
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def build(self) -> None:
        self.pop()  # the state that an object would take over

    def replace(self, count: int) -> None:
        """What `count` values would make is not made."""
        self.popped(count)
        self.push(Inert())

    def replace_marked(self) -> None:
        self.since_mark()
        self.push(Inert())


Step = Callable[[_Machine, Any], object]


def _each(names: str, step: Step) -> dict[str, Step]:
    return dict.fromkeys(names.split(), step)


# Every instruction there is, as named by `pickletools`; those for buffers outside of the pickle are missing on purpose.
STEPS: dict[str, Step] = {
    **_each("PROTO FRAME STOP", lambda m, a: None),
    **_each("INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT", lambda m, a: m.push(a)),
    **_each("STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8", lambda m, a: m.push(a)),
    **_each("UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BYTEARRAY8", lambda m, a: m.push(a)),
    **_each("NONE", lambda m, a: m.push(None)),
    **_each("NEWTRUE", lambda m, a: m.push(True)),
    **_each("NEWFALSE", lambda m, a: m.push(False)),
    **_each("EMPTY_LIST", lambda m, a: m.push([])),
    **_each("EMPTY_TUPLE", lambda m, a: m.push(())),
    **_each("EMPTY_DICT", lambda m, a: m.push({})),
    **_each("MARK", lambda m, a: m.mark()),
    **_each("POP", lambda m, a: m.drop()),
    **_each("POP_MARK ADDITEMS", lambda m, a: m.since_mark()),
    **_each("DUP", lambda m, a: m.push(m.stack[-1])),
    **_each("PUT BINPUT LONG_BINPUT", lambda m, a: m.remember(a)),
    **_each("MEMOIZE", lambda m, a: m.remember(len(m.memo))),
    **_each("GET BINGET LONG_BINGET", lambda m, a: m.push(m.memo[a])),
    **_each("LIST", lambda m, a: m.push(m.since_mark())),
    **_each("TUPLE", lambda m, a: m.push(tuple(m.since_mark()))),
    **_each("DICT", lambda m, a: m.make_dict()),
    **_each("TUPLE1", lambda m, a: m.push(m.popped(1))),
    **_each("TUPLE2", lambda m, a: m.push(m.popped(2))),
    **_each("TUPLE3", lambda m, a: m.push(m.popped(3))),
    **_each("APPEND", lambda m, a: m.append([m.pop()])),
    **_each("APPENDS", lambda m, a: m.append(m.since_mark())),
    **_each("SETITEM", lambda m, a: m.set_items(m.popped(2))),
    **_each("SETITEMS", lambda m, a: m.set_items(m.since_mark())),
    **_each("GLOBAL", lambda m, a: m.name(*a.split(" ", 1))),
    **_each("STACK_GLOBAL", lambda m, a: m.name(*m.popped(2))),
    **_each("REDUCE", lambda m, a: m.call(*m.popped(2))),
    **_each("BUILD", lambda m, a: m.build()),
    **_each("BINPERSID", lambda m, a: m.push(m.persistent(m.pop()))),
    **_each("EMPTY_SET EXT1 EXT2 EXT4 PERSID", lambda m, a: m.push(Inert())),
    **_each("NEWOBJ", lambda m, a: m.replace(2)),
    **_each("NEWOBJ_EX", lambda m, a: m.replace(3)),
    **_each("FROZENSET INST OBJ", lambda m, a: m.replace_marked()),
}
