"""What runs on the board on our behalf: standard library only, Python 3.9, sent over SSH with every request.

One request, one process, one answer. Standard input holds one line of JSON and then the bytes of the files it
lists; standard output answers with a line `TONEARM-1 {...}` and then the bytes of the files that line lists.
Before the answer, lines `TONEARM-1-PROGRESS done total` may come.
Everything lives under one folder, and everything appears there whole or not at all: written as `.part`,
checked, renamed.

```
~/.tonearm/objects/<sha256>                    files as pushed
           runtimes/<hash>/                    numpy and ONNX Runtime, unpacked wheels
           runners/<hash>/tonearm/runtime/     our own runner
           releases/<name>/<digest>/           bundles (links to objects); <digest>.parity.json once proven
           current -> releases/<name>/<digest>
           jobs/                               one folder for each running task
```
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
from pathlib import Path

from .agent_facts import facts
from .agent_files import missing, put, tree, verify
from .agent_protocol import RefusalError, answer
from .agent_releases import proof, switch
from .agent_tasks import run, runtime


def take_turn(root: Path) -> None:
    """Wait until no other command works here: two at once would spoil what one of them measures.

    The lock is on the folder and goes with the process: none is left behind.
    """
    fcntl.flock(os.open(root, os.O_RDONLY), fcntl.LOCK_EX)


def main() -> None:
    """Read one request, fulfil it, answer."""
    stream = sys.stdin.buffer
    request = json.loads(stream.readline())
    root = Path(request["root"]).expanduser()
    commands = {
        "facts": facts,
        "missing": missing,
        "verify": verify,
        "tree": tree,
        "runtime": runtime,
        "proof": proof,
        "switch": switch,
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        if request["command"] != "facts":
            take_turn(root)
        if request["command"] == "run":
            run(root, request, stream)
            return
        if request["command"] == "put":
            answer(put(root, request, stream), [])
            return
        answer(commands[request["command"]](root, request), [])
    except RefusalError as refusal:
        answer({"error": str(refusal), "kind": refusal.kind}, [])
    except OSError as error:
        kind = "space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "system"
        answer({"error": f"{error.strerror}: {error.filename or root}", "kind": kind}, [])
