"""Why steps were slow: what they coincided with."""

from __future__ import annotations

from ...output.page import Part
from ..board import Board
from ..slow_steps import table as causes_table
from ..slow_steps import together, worst

MEANT = (
    "late wake-up: paced; the step started later than 99% of steps, or would have been in time but for its late start",
    "after a slow step: paced; it missed, and the step before had ended after its tick",
    "preempted: interrupted by another task; waited: slept, as for a lock or a disk; both more often than the median",
    "cpu, memory, io pressure: tasks waited 1% of the time more than usual around it",
    "frequency drop: 5% or more below the run's median; throttled: the Raspberry Pi limited its clock",
    "nothing known: nothing that was recorded coincided with the step more often than by chance",
)


def slow(board: Board) -> Part | None:
    """What slow steps coincided with; nothing delays a count of instructions."""
    if not board.slow:
        return None
    total = together("all", board.slow)
    unknown = f" Not recorded everywhere: {', '.join(sorted(total.unknown))}." if total.unknown else ""
    return Part(
        "Why steps were slow",
        "A step is slow if it took longer than p99 of its case, or came too late. For each cause: how many slow steps "
        "it coincided with, more often than by chance, and how much longer than the median these took in all. A step "
        "with several causes counts for each."
        f"{unknown}",
        notes=MEANT,
        tables=[causes_table(board.slow, total), *([worst(board.results, board.cases)] if total.slow else [])],
    )
