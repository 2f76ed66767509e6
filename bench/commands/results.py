"""The command that makes a damaged folder of results readable again."""

from __future__ import annotations

import argparse

from ..output.console import one_line, out, say
from ..output.numbers import count
from ..results import repair as mending


def repair(options: argparse.Namespace) -> None:
    """Take out what is damaged, and say what that was."""
    kept, wrong, aside = mending.repair(options.folder)
    for line in wrong:
        say(one_line(line))
    if aside:
        say(f"what there was before is in {aside}; the same sweep measures anew what was taken out")
    out.print(f"{count(kept, 'case')} in {options.folder}, {len(wrong)} taken out", soft_wrap=True)
