"""One finding of the doctor about a board."""

from __future__ import annotations

from dataclasses import dataclass

PROBLEM = "problem"  # it will spoil a measurement or a deploy
REMARK = "remark"  # it need not


@dataclass(frozen=True)
class Finding:
    """What was found, why it matters, and the command to type on the board (or in words, where no command helps)."""

    severity: str
    what: str
    why: str
    fix: str
