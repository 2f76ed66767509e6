"""Results on disk: what is finished is kept, whatever happens next.

```
results/cases.jsonl        one line per finished case: the runner's record, the case, the board
        steps/<id>.npz     its arrays, as runtime.measure and runtime.case describe them
```
Statistics are derived when the results are read, so that better ones can be had from old runs. Reading never writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import secrets
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from ...device.text import printable
from ..errors import ResultsError, UnkeptError
from ..output.numbers import count
from .columns import case_row
from .frames import Results
from .merging import joined
from .pooling import Run
from .samples import read_samples

FORMAT = 2  # 2: paced steps, their circumstances; 1: first, bursts
READABLE = (1, 2)
CASES = "cases.jsonl"
SAMPLES = "steps"
LARGEST_LINE = 4_000_000  # bytes of JSON: a profile of a thousand nodes has a tenth of it
LONGEST_TEXT = 300  # characters of one text in it
IDENTITY = re.compile(r"[\w-]{1,64}")  # it is a file's name


def append(folder: Path, identity: str, entry: dict[str, Any], samples: bytes) -> None:
    """Keep a finished case: samples first, then its line, both on disk when this returns.

    Args:
        folder: of the results; made if need be.
        identity: of the case; an older one of the same identity is replaced.
        entry: its line, as `bench.sweep.cases` makes it.
        samples: an .npz of its arrays.

    Raises:
        ResultsError: what the board sent is no result; nothing is kept of it.
        UnkeptError: the folder can't be written to; what was in it is as it was.
    """
    case = checked({"format": FORMAT, "id": identity, **entry}, "a new case")
    case_row(case, read_samples(io.BytesIO(samples), f"case {identity}"))
    line = (json.dumps(case) + "\n").encode()
    if len(line) > LARGEST_LINE:
        raise ResultsError(f"case {identity}: its record has {len(line)} bytes, at most {LARGEST_LINE} are kept")
    part = folder / SAMPLES / f"{identity}-{secrets.token_hex(4)}.npz.part"  # others may measure the same case now
    with _kept(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        write_new(part, samples)
    with _kept(folder / CASES), (folder / CASES).open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # several boards are measured at once, or by several commands
        _finish_last_line(folder / CASES)
        part.replace(steps_file(folder, identity))  # of two who measure it, a line goes with its own samples
        _sync(folder / SAMPLES)
        _add(stream.fileno(), line)
        _sync(folder)


@contextlib.contextmanager
def _kept(path: Path) -> Iterator[None]:
    """`UnkeptError` names the file that the block can't write."""
    try:
        yield
    except OSError as error:
        raise UnkeptError(
            f"{error.filename or path} on this machine can't be written: {error.strerror or error}; cases that are "
            "finished are kept: once that is mended, run the same command again to go on"
        ) from error


def write_new(path: Path, content: bytes) -> None:
    """A new file, on disk when this returns; what there is no room for takes none. `FileExistsError` if it is there."""
    with path.open("xb") as stream:
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            path.unlink()
            raise


def _add(cases: int, line: bytes) -> None:
    """Write a line at the end of an open file, whole or not at all."""
    before, left = os.fstat(cases).st_size, line
    try:
        while left:
            left = left[os.write(cases, left) :]
        os.fsync(cases)
    except OSError:
        os.ftruncate(cases, before)
        raise


def _sync(folder: Path) -> None:
    """The names in a folder are on disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def steps_file(folder: Path, identity: str) -> Path:
    """Where a case's arrays are."""
    return folder / SAMPLES / f"{identity}.npz"


def _finish_last_line(path: Path) -> None:
    """Take off a line that a crash cut short, so that the next one starts on its own."""
    if _ends_with_a_line(path):
        return
    written = path.read_bytes()
    start = written.rfind(b"\n") + 1
    if start == len(written):
        return
    try:
        json.loads(written[start:])
    except ValueError:
        os.truncate(path, start)
        return
    with path.open("ab") as stream:
        stream.write(b"\n")


def _ends_with_a_line(path: Path) -> bool:
    """Whether all lines are whole, for which not all have to be read each time."""
    with path.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def finished(folder: Path, known: Set[str] = frozenset(), wanted: Set[str] | None = None) -> set[str]:
    """The identities of the cases that need not be measured again: their line and their samples can be read.

    `known` are those that this process has found so, or appended, and that are not looked into again. Of others, only
    those `wanted` are looked into, by default all.
    """
    cases = [case for case in read_cases(folder) if wanted is None or case["id"] in wanted]
    return {case["id"] for case in cases if case["id"] in known or _is_whole(folder, case)}


def check_kept(folder: Path, measured: Set[str]) -> None:
    """`UnkeptError` where some of the cases that were measured into a folder are not in it any more."""
    missing = len(measured - {case["id"] for case in read_cases(folder)})
    if missing:
        raise UnkeptError(
            f"{missing} of {count(len(measured), 'case')} measured are no longer in {folder} on this machine: it was "
            "deleted or replaced meanwhile; run the same command again to measure them anew"
        )


def check_case(folder: Path, case: dict[str, Any]) -> None:
    """`ResultsError` where a case's samples are damaged or missing, or it is no result."""
    path = steps_file(folder, case["id"])
    case_row(case, read_samples(path, str(path)))


def _is_whole(folder: Path, case: dict[str, Any]) -> bool:
    with contextlib.suppress(ResultsError):
        check_case(folder, case)
        return True
    return False


def read_cases(folder: Path) -> list[dict[str, Any]]:
    """The finished cases, the newest of each; a line cut short by a crash is dropped."""
    path = folder / CASES
    if not path.is_file():
        return []
    cases: dict[str, dict[str, Any]] = {}
    lines = path.read_bytes().rstrip(b"\n").split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            case = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise ResultsError(
                f"{path}, line {number} is damaged: {error}; tonearm results repair {folder} keeps the others"
            ) from error
        case = checked(case, f"{path}, line {number}")
        cases.pop(case["id"], None)  # the newest comes last
        cases[case["id"]] = case
    return list(cases.values())


def checked(case: Any, where: str) -> dict[str, Any]:
    """The case, with every text in it printable: a board wrote most of them."""
    found = case.get("format") if isinstance(case, dict) else None
    if found not in READABLE:
        raise ResultsError(f"{where}: format {found!r:.40}, this tonearm reads {READABLE[0]} to {READABLE[-1]}")
    name = case.get("id")
    if not isinstance(name, str) or not IDENTITY.fullmatch(name):
        raise ResultsError(f"{where}: {name!r:.40} is no case's identity")
    try:
        return _printable(case)
    except RecursionError as error:
        raise ResultsError(f"{where}: nested too deeply") from error


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_bounded(key): _printable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(one) for one in value]
    return _bounded(value) if isinstance(value, str) else value


def _bounded(text: str) -> str:
    """Printable, and cut where it is too long, which it then says."""
    if len(text) <= LONGEST_TEXT:
        return printable(text)
    return f"{printable(text[: LONGEST_TEXT // 2])} ... ({len(text)} characters, cut)"


def load(folder: Path | str, *more: Path | str, different: bool = False) -> Results:
    """What was measured into one or several folders.

    Several count as one: what was measured twice under one identity is two repeats, unless it is a copy.

    Args:
        folder: as made by `tonearm sweep`.
        more: further ones.
        different: put together even what is of one board's name, but not of one board and its software.

    Raises:
        ResultsError: no results there, or not ours to read; or a board is another one in another folder.
    """
    read: dict[Path, list[Run]] = {}
    for one in map(Path, (folder, *more)):
        read[one] = [Run(case, steps_file(one, case["id"])) for case in read_cases(one)]
        if not read[one]:
            what = f"no results in {one}" if one.is_dir() else f"there is no folder {one}"
            raise ResultsError(f"{what}: measure first, with tonearm sweep -o {one}")
    return Results(joined(read, different) if len(read) > 1 else read.popitem()[1])
