"""`tonearm board info` and `tonearm board doctor`: what a board is, and what will spoil a measurement on it."""

from __future__ import annotations

import argparse
import json
import textwrap

from ...device.boards import board
from ...device.doctor import doctor, python_too_old, unchecked
from ...device.doctor.finding import PROBLEM, Finding
from ...device.doctor.tuning import Tuned, tune
from ...device.errors import AgentError
from ...device.facts import examine
from ...device.kinds import kind
from ...device.ssh.connection import Connection
from ...device.turn import turn
from ...runtime.progress import Progress
from ..errors import BenchError
from ..output.console import out, say, stage
from .board_info import WIDTH, describe_board


def info(options: argparse.Namespace) -> None:
    """Print what a board is and has."""
    with stage(f"look at {options.name}") as progress, board(options.name, progress) as connection:
        facts = examine(connection)
    out.print(json.dumps(facts, indent=2) if options.json else describe_board(facts), soft_wrap=True)


def examine_board(options: argparse.Namespace) -> None:
    """Print what will spoil a measurement; `BenchError` where something will."""
    if options.restore:
        _restore(options.name)
        return
    with stage(f"examine {options.name}") as progress, board(options.name, progress) as connection:
        try:
            tuned = _tune(connection, progress) if options.tune else None
            facts = examine(connection)
        except AgentError as error:
            if error.kind != "python":
                raise
            _tell([python_too_old(error)], ["everything else"], options.name)
            return
    if tuned:
        _tell_tuned(tuned)
        out.print("" if tuned.settings else "nothing to tune: the board reports no governor")
    out.print(f"{options.name}: {kind(facts) or 'unknown kind of board'}", soft_wrap=True)
    findings = doctor(facts)
    _tell(findings, unchecked(facts), options.name)


def _tune(connection: Connection, progress: Progress, restore: bool = False) -> Tuned:
    """While nobody measures there."""
    with turn(connection, "tune", progress):
        return tune(connection, restore)


def _restore(name: str) -> None:
    with stage(f"restore {name}") as progress, board(name, progress) as connection:
        tuned = _tune(connection, progress, restore=True)
    _tell_tuned(tuned)
    if not tuned.settings:
        out.print("nothing to restore: a restart undoes what --tune changes" if tuned.stale else "not tuned")
    if any(setting.refusal for setting in tuned.settings):
        raise BenchError(f"{name}: some settings could not be restored; see above")


def _tell_tuned(tuned: Tuned) -> None:
    """One line for each setting; where one was refused, the findings have the command to type."""
    for setting in tuned.settings:
        if setting.refusal:
            line = f"refused: {setting.path} is {setting.now} ({setting.refusal})"
        elif setting.before == setting.now:
            line = f"unchanged: {setting.path} is {setting.now}"
        else:
            line = f"granted: {setting.path} is {setting.now}, was {setting.before}"
        out.print(line, soft_wrap=True)


def _tell(findings: list[Finding], not_checked: list[str], name: str) -> None:
    """All findings, then what was not checked; `BenchError` if one of them is a problem."""
    for finding in findings:
        out.print(_lines(finding), soft_wrap=True)
    if not_checked:
        out.print(_wrap("not checked: ", f"{', '.join(not_checked)} (the board does not say)"), soft_wrap=True)
    problems = sum(finding.severity == PROBLEM for finding in findings)
    if problems:
        few = "1 problem" if problems == 1 else f"{problems} problems"
        raise BenchError(f"{name}: {few} will spoil a measurement or a deploy; the fixes are listed above")
    say("nothing found that will spoil a measurement or a deploy")


def _lines(finding: Finding) -> str:
    """What and why, wrapped; the fix in one line, so that it can be copied."""
    lines = [_wrap(f"{finding.severity}: ", finding.what), _wrap("  why: ", finding.why)]
    return "\n".join([*lines, *([f"  fix: {finding.fix}"] if finding.fix else [])])


def _wrap(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
