"""A results folder in which something is damaged, made readable again: what is whole stays, and what there was, too."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from ..errors import ResultsError
from .store import CASES, READABLE, check_case, checked, write_new


def repair(folder: Path) -> tuple[int, list[str], Path | None]:
    """Take the lines out that can't be read, and those of cases whose samples are damaged, missing, or no result.

    What the file of lines was before stays beside it; files of samples are left where they are.

    Returns:
        How many cases are left, what is wrong with each that was taken out, and the file that was kept, if there was
        something to repair.

    Raises:
        ResultsError: there are no results, or some that a later Tonearm has written, which only that one can judge.
    """
    path = folder / CASES
    if not path.is_file():
        raise ResultsError(f"there are no results in {folder}: {path} is missing")
    with path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # as for appending
        before = stream.read()
        lines = [(number, line) for number, line in enumerate(before.split(b"\n"), 1) if line]
        kept, wrong = _sorted_out(folder, lines)
        after = b"".join(line + b"\n" for line in kept.values())
        if not wrong:
            return len(kept), [], None
        aside = _set_aside(path, before)
        stream.seek(0)  # in place: whoever waits for the lock is to append to this very file
        stream.write(after)
        stream.truncate()
        os.fsync(stream.fileno())
    return len(kept), wrong, aside


def _sorted_out(folder: Path, lines: list[tuple[int, bytes]]) -> tuple[dict[str, bytes], list[str]]:
    """The lines to keep, by identity, and what is wrong with the others; of one identity the newest counts."""
    kept, wrong = {}, []
    newest: dict[str, tuple[int, bytes, dict[str, Any]]] = {}
    for number, line in lines:
        try:
            case = checked(json.loads(line), f"line {number}")
        except (ValueError, RecursionError) as error:
            wrong.append(f"line {number} is damaged: {error}")
        except ResultsError as error:
            if _is_newer(line):
                raise
            wrong.append(str(error))
        else:
            newest.pop(case["id"], None)
            newest[case["id"]] = number, line, case
    for identity, (number, line, case) in newest.items():
        try:
            check_case(folder, case)
            kept[identity] = line
        except ResultsError as error:
            wrong.append(f"line {number}: {error}")
    return kept, wrong


def _is_newer(line: bytes) -> bool:
    """Whether it is of a later version of Tonearm."""
    case = json.loads(line)
    return isinstance(case, dict) and isinstance(case.get("format"), int) and case["format"] > READABLE[-1]


def _set_aside(path: Path, content: bytes) -> Path:
    """Keep what was there, on disk, under a name that is not taken."""
    for number in range(1, 1000):
        aside = path.with_name(f"{path.stem}-before-repair-{number}{path.suffix}")
        with contextlib.suppress(FileExistsError):
            write_new(aside, content)
            return aside
    raise ResultsError(f"{path.parent} has a thousand files of earlier repairs: move them away")
