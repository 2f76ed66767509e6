"""The command line. Libraries raise; this file prints what ends a command: one line, and what to try next.

Commands are imported when they run: `--help`, usage errors and completion need none of what they import. All imports
stand inside the functions, so that Ctrl-C is answered in one line while Python imports, too.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing takes as long to import as all that goes before the first answer to Ctrl-C
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; without `arguments`, the one that this process was started for.

    Returns:
        The exit status: 0, 1 for an error, 2 for wrong usage; 130, 143 or 129 when ended by SIGINT, SIGTERM or SIGHUP.
    """
    try:
        if arguments is not None:
            return _status(arguments)
        from .interrupts import watched

        with watched():
            return _status(None)
    except KeyboardInterrupt:
        from .interrupts import INTERRUPTED

        print(INTERRUPTED, file=sys.stderr)
        return 130


def _status(arguments: Sequence[str] | None) -> int:
    from ..runtime.errors import TonearmError
    from .interrupts import is_seen

    try:
        _check_streams()
        _run(_options(arguments))
        sys.stdout.flush()  # where it is full, that is an error like any other
    except BrokenPipeError as error:
        return _closed(error)
    except (TonearmError, OSError) as error:
        if not is_seen():
            _tell(error)
        return 1
    return 0


def _check_streams() -> None:
    """`OSError` where results would go nowhere; what a stream's encoding lacks is printed as a question mark."""
    import io

    for descriptor, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            os.open(os.devnull, os.O_RDWR)  # takes its place: the next file or connection must not
            if descriptor == 2:
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        raise OSError("standard output is closed, so nothing could be printed; send it somewhere (> FILE)")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for. A shell that asks for completions gets them here, and wrong usage ends here."""
    from .parser import parser
    from .parser.shell import complete_if_asked

    commands = parser()
    complete_if_asked(commands)
    return commands.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
    """Call the function that the parser names for the command."""
    import importlib

    from ..device.prompts import answering
    from .output.console import ask

    module, _, function = options.run.partition(":")
    with answering(ask):
        getattr(importlib.import_module(f".commands.{module}", __package__), function)(options)


def _say(text: str) -> None:
    """Print a line for the person, whatever it holds, on standard error."""
    from .output.console import one_line, say

    say(one_line(text))


def _tell(error: Exception) -> None:
    """Say what went wrong in one line; before it one for each finding, if it is the linter's."""
    findings: list[str] = getattr(error, "findings", [])
    for finding in findings:
        _say(finding)
    _say(f"tonearm: {getattr(error, 'summary', error) if findings else _reason(error)}")


def _reason(error: Exception) -> str:
    """What an error says; of a file, first which one, as boards have files, too."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)} on this machine: {error.strerror}"
    return f"on this machine: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)


def _closed(error: BrokenPipeError) -> int:
    """Be quiet when whoever reads our output has had enough (`| head`); say it when it was another pipe."""
    import select

    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        _say(f"tonearm: {error}")
    return 1
