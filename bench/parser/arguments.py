"""Arguments that commands share, each said once."""

from __future__ import annotations

import argparse
import contextlib
import glob
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Commands = argparse._SubParsersAction
BOARD = "loopback, virtual, or a board of yours"


def add_commands(parser: argparse.ArgumentParser, metavar: str) -> Commands:
    """Where commands are added, one of which has to be named."""
    return parser.add_subparsers(metavar=metavar, required=True)


def add_command(commands: Commands, name: str, about: str, example: str, run: str = "") -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: where.
        name: as it is typed.
        about: one line for the list of commands.
        example: what to type after `tonearm`; several lines begin with `  tonearm` from the second on.
        run: `module:function` of `bench.commands`, imported when the command runs.
    """
    command = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=f"example:\n  tonearm {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def complete(action: argparse.Action, values: Callable[[], Iterable[str]]) -> None:
    """Let shells complete an argument with names that are looked up when somebody presses Tab.

    argcomplete calls `completer` of an argument; files and folders are completed by the shell where there is none.
    """
    setattr(action, "completer", lambda **_: list(values()))  # noqa: B010  argparse's type has no such attribute


def complete_bundles(action: argparse.Action) -> None:
    """Let shells complete an argument with models and folders of bundles."""
    setattr(action, "completer", lambda prefix, **_: [*model_names(), *bundle_folders(prefix)])  # noqa: B010


def add_model(command: argparse.ArgumentParser, *names: str, metavar: str = "MODEL", **options: Any) -> None:
    """A model by name; `options` are argparse's."""
    options.setdefault("help", "a model's name (see: tonearm models)")
    complete(command.add_argument(*names, metavar=metavar, **options), model_names)


def add_bundle(command: argparse.ArgumentParser) -> None:
    """What to put on a board."""
    text = "a model's name (see: tonearm models), or a folder made by tonearm export"
    complete_bundles(command.add_argument("what", metavar="MODEL|BUNDLE", help=text))


def add_board_name(command: argparse.ArgumentParser) -> None:
    """The board that a command is about."""
    action = command.add_argument("name", metavar="NAME", help=BOARD)
    complete(action, board_names)


def add_on(command: argparse.ArgumentParser) -> None:
    """On which board."""
    action = command.add_argument("--board", required=True, metavar="NAME", help=BOARD)
    complete(action, board_names)


def model_names() -> list[str]:
    """The names of the catalogue."""
    from ...models.catalogue import NAMES

    return list(NAMES)


def bundle_folders(start: str) -> list[str]:
    """The bundles that `tonearm export` made here; once a slash is typed, all folders whose paths begin like that."""
    if "/" in start:
        return sorted(glob.glob(f"{glob.escape(start)}*/"))  # noqa: PTH207  a Path would drop "./"
    return sorted(str(file.parent) for file in Path("bundles").glob("*/manifest.json"))


def board_names() -> list[str]:
    """The built-in boards and those of boards.toml; none of its own where that file makes no sense."""
    from ...device.boardsfile import read_boards
    from ...device.descriptor import BUILT_IN
    from ...device.errors import DeviceError

    with contextlib.suppress(DeviceError, OSError):
        return [*BUILT_IN, *read_boards()]
    return [*BUILT_IN]


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
    action = command.add_argument(
        "--board",
        required=required,
        nargs="+",
        action=_EachOnce,
        metavar="NAME",
        help="loopback, virtual, or boards of yours; several are worked on at once",
    )
    complete(action, board_names)


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
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return float(text)
