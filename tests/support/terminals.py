"""A command on a terminal of its own: what it shows, and what a person types when asked."""

from __future__ import annotations

import os
import pty
import select
import time

from commands import program

SECONDS = 60


def on_terminal(*arguments: object, answers: tuple[tuple[str, str], ...] = ()) -> tuple[int, str]:
    """Run `tonearm` on a new terminal, and type each answer once its question is there.

    Returns the exit status and all that the terminal showed.
    """
    return typed(program(*arguments), [(question, f"{answer}\n") for question, answer in answers])


def typed(command: list[str], keys: list[tuple[str, str]]) -> tuple[int, str]:
    """Run any command on a new terminal, and press keys, each time once the text before them is shown.

    Returns the exit status and all that the terminal showed.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.execvp(command[0], command)  # noqa: S606
    shown, waiting, deadline = "", list(keys), time.monotonic() + SECONDS
    seen = 0
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that the other end is closed
            break
        shown += chunk.decode(errors="replace")
        if waiting and waiting[0][0] in shown[seen:]:
            seen = len(shown)
            time.sleep(0.3)  # whatever wants to draw over the question may do so
            os.write(terminal, waiting.pop(0)[1].encode())
    os.close(terminal)
    assert not waiting, f"never asked {waiting[0][0]!r}: {shown}"
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.replace("\r\n", "\n")
