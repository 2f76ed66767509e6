"""Why steps were slow: what they coincided with."""

from __future__ import annotations

from ...output.page import Part
from ..board import Board
from ..slow_steps import table as causes_table
from ..slow_steps import together, worst

MEANT = (
    "late wake-up: paced; the step started later than 99 % of steps, or was short enough and yet missed for its start",
    "after a slow step: paced; it missed, and the step before had ended after its tick",
    "preempted: interrupted by another task; waited: slept, as for a lock or a disk; both more often than the median",
    "cpu, memory, io pressure: tasks waited 1 % of the time more than usual around it",
    "frequency drop: 5 % or more below the run's median; throttled: the Raspberry Pi limited its clock",
    "nothing known: none of what was recorded coincided more often than by chance",
)


def slow(board: Board) -> Part | None:
    """What slow steps coincided with; nothing delays a count of instructions."""
    if not board.slow:
        return None
    total = together("all", board.slow)
    unknown = f" Not recorded everywhere: {', '.join(sorted(total.unknown))}." if total.unknown else ""
    return Part(
        "Why steps were slow",
        "Slow is above p99 of its case, or too late. Of each cause: how many slow steps it coincided with, more often "
        "than by chance, and what these took beyond the median. A step counts for each of its causes."
        f"{unknown}",
        notes=MEANT,
        tables=[causes_table(board.slow, total), *([worst(board.results, board.cases)] if total.slow else [])],
    )
