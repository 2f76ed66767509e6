"""The agent: the program that Tonearm sends to the board with every request. Standard library only, Python 3.9.

One request, one process, one answer. Standard input holds one line of JSON and then the bytes of the files it
lists; standard output answers with a line `TONEARM-1 {...}` and then the bytes of the files that line lists.
Before the answer, lines `TONEARM-1-PROGRESS done total` may come; without numbers they say that the board works on it.
While a host holds the board, its requests come through the process that does (`turn` has the format).
Everything lives under one folder, and everything appears there whole or not at all: written as `.part`,
checked, renamed.

```
~/.tonearm/objects/<sha256>                    files as pushed
           runtimes/<hash>/                    numpy and ONNX Runtime, unpacked wheels; <hash>.failed.json: does not run
           runtimes/system-<versions>/         links to those of the system, where no wheel fits
           runners/<hash>/tonearm/runtime/     Tonearm's runner
           releases/<name>/<digest>/           bundles (links to objects); <digest>.parity.json once proven
           current -> releases/<name>/<digest>
           history                             what was current before
           turn                                who uses the board now
           jobs/                               one folder for each running task
           tuned.json                          settings as they were before we changed them
```
"""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

from .examine import examine, temperatures
from .facts import facts
from .files import missing, put, tree, verify
from .protocol import RefusalError, answer, keep_saying_that_it_works
from .releases import proof, prune, releases, rollback, switch
from .remove import remove, usage
from .runtimes import survey
from .tasks import run, runtime, system_runtime
from .tune import tune
from .turn import hold, take_turn

READING = (facts, examine, temperatures, releases, usage)  # these change nothing, and wait for nobody
CHANGING = (missing, verify, survey, tree, runtime, system_runtime, proof, switch, rollback, prune, tune, remove)


def main() -> None:
    """Read one request, fulfil it, answer."""
    fulfil_one(sys.stdin.buffer)


def fulfil_one(stream: BinaryIO) -> None:
    """The request that comes next; of those that come while the board is held, each has a process of its own."""
    request = json.loads(stream.readline())
    root, name = Path(request["root"]).expanduser(), request["command"]
    if name != "run":  # that one may measure, and is given a deadline
        keep_saying_that_it_works()
    try:
        fulfil(root, name, request, stream)
    except RefusalError as refusal:
        answer({"error": str(refusal), "kind": refusal.kind}, [])
    except OSError as error:
        kind = "space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "system"
        answer({"error": f"{error.strerror}: {error.filename or root}", "kind": kind}, [])


def fulfil(root: Path, name: str, request: dict[str, Any], stream: BinaryIO) -> None:
    """Do what is asked; what changes something needs the turn."""
    reading = {command.__name__: command for command in READING}
    if name in reading:
        answer(reading[name](root, request), [])
        return
    root.mkdir(parents=True, exist_ok=True)
    if name == "hold":
        hold(root, request, fulfil_one)
        return
    take_turn(root)
    if name == "run":
        run(root, request, stream)
    elif name == "put":
        answer(put(root, request, stream), [])
    else:
        answer({command.__name__: command for command in CHANGING}[name](root, request), [])
