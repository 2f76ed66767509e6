"""Arguments that commands share, each said once."""

from __future__ import annotations

import argparse
import math
from typing import Any

Commands = argparse._SubParsersAction


def add_command(commands: Commands, name: str, about: str, example: str) -> argparse.ArgumentParser:
    """A command of that name; its help has the example."""
    return commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=f"example:\n  tonearm {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_what(command: argparse.ArgumentParser) -> None:
    """What to take to which board."""
    add_bundle(command)
    add_on(command)


def add_bundle(command: argparse.ArgumentParser) -> None:
    """What to take."""
    command.add_argument("what", metavar="MODEL|BUNDLE", help="a model's name, or a folder made by tonearm export")


def add_on(command: argparse.ArgumentParser) -> None:
    """On which board."""
    command.add_argument("--board", required=True, metavar="NAME", help="loopback, virtual, or a board of yours")


class _EachOnce(argparse.Action):
    """Several values, after one option or several; the same one twice is wrong usage."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        named = [*(getattr(namespace, self.dest) or []), *values]
        twice = next((value for value in named if named.count(value) > 1), None)
        if twice is not None:
            raise argparse.ArgumentError(self, f"{twice} is named twice")
        setattr(namespace, self.dest, named)


def add_on_several(command: argparse.ArgumentParser, required: bool = True) -> None:
    """On which boards, at once."""
    command.add_argument(
        "--board",
        required=required,
        nargs="+",
        action=_EachOnce,
        metavar="NAME",
        help="loopback, virtual, or boards of yours; several are worked on at once",
    )


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE`, as argparse reads it."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def size(text: str) -> tuple[str, int]:
    """`NAME=SIZE`, a size from 1, as argparse reads it."""
    name, value = pair(text)
    return name, positive(value)


def natural(text: str) -> int:
    """A whole number from 0, as argparse reads it."""
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1, as argparse reads it."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def seconds(text: str) -> float:
    """A length of time above 0, as argparse reads it."""
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no length of time")
    return float(text)
