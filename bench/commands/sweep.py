"""The command that measures models on a board, or on several at once."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...device.boards import check_name
from .. import bundles
from ..errors import ResultsError
from ..output.console import out, say, stage
from ..output.numbers import count
from ..parallel import at_once
from ..report.terminal import terminal_tables
from ..results.store import load, read_cases
from ..sweep import protocols, run, search
from ..sweep.plan import Plan, check_plan, of_precisions, read_plan
from ..terms import BLOCKS

if TYPE_CHECKING:
    from ...runtime.bundle import Bundle

NOT_SEARCHED = ("modes", "engines", "repeats", "steps", "profile")  # which the search for the smallest block decides


def sweep(options: argparse.Namespace) -> None:
    """Measure, or search for the smallest block, and print what came of it."""
    plan = _plan(options)
    for name in plan.boards:
        check_name(name)
    check_plan(plan)
    if options.smallest_block and not plan.blocks:
        plan, ready = _all_blocks(plan)
    else:
        ready = _bundles(plan)
    try:
        (_search if options.smallest_block else _measure)(plan, of_precisions(ready, plan.precisions))
    except KeyboardInterrupt:
        _tell_how_to_go_on(plan.output)
        raise


def _plan(options: argparse.Namespace) -> Plan:
    """The file's, with what the options say instead."""
    names = {**{name: name for name in Plan.__dataclass_fields__}, "boards": "board"}
    said = {field: getattr(options, name) for field, name in names.items()}
    given: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value for field, value in said.items() if value is not None
    }
    written = read_plan(options.plan) if options.plan else {}
    if "steps" in given or "seconds" in given:
        written = {field: value for field, value in written.items() if field not in ("steps", "seconds")}
    plan = Plan(**{**written, **given})
    if options.smallest_block:
        _check_alone(options.usage, "--smallest-block", (*NOT_SEARCHED, "protocol"), given, written)
    if plan.protocol:
        _check_alone(options.usage, f"--protocol {plan.protocol}", protocols.FIELDS, given, written)
        plan = replace(plan, blocks=protocols.blocks(plan.protocol))
    missing = [option for option, value in (("--board", plan.boards), ("--models", plan.models)) if not value]
    if missing:
        options.usage(f"the following arguments are required: {', '.join(missing)} (or a --plan that has them)")
    return plan


def _check_alone(
    usage: Callable[[str], object], who: str, fields: Sequence[str], given: dict[str, Any], written: dict[str, Any]
) -> None:
    """A usage error where the options or the plan's file say what `who` decides."""
    for said, where in ((given, ""), (written, ": take that out of the plan's file")):
        unwanted = [field for field in fields if field in said]
        if unwanted:
            usage(f"{who} sets {', '.join(unwanted)} itself{where}")


def _bundles(plan: Plan) -> list[Bundle]:
    ready = []
    for what in plan.models:
        with stage(f"bundle {what}") as progress:
            ready.append(bundles.ensure_bundle(what, progress, plan.blocks)[0])
    return ready


def _all_blocks(plan: Plan) -> tuple[Plan, list[Bundle]]:
    """A search goes through the default blocks of models by name, not through what happens to be exported."""
    ready = []
    for what in plan.models:
        with stage(f"bundle {what}") as progress:
            ready.append(bundles.ensure_default(what, progress))
    ours = all(by_name for _, by_name in ready)
    return replace(plan, blocks=BLOCKS if ours else ()), [bundle for bundle, _ in ready]


def _measure(plan: Plan, ready: Sequence[Bundle]) -> None:
    swept, failed = at_once(
        plan.boards,
        lambda name: f"sweep on {name}",
        lambda name, progress, reach: run.sweep(
            name, ready, protocols.on_board(plan, name, ready, progress, reach), progress, reach
        ),
    )
    for name, tally in swept.items():
        board = f"{name}: " if len(plan.boards) > 1 else ""
        say(f"{board}{count(tally.measured, 'case')} measured, {tally.kept} already in {plan.output}")
    if any(tally.measured or tally.kept for tally in swept.values()):
        found = load(plan.output)
        if older := sum(found.cases["superseded"].tolist()):
            say(f"{older} older cases in {plan.output} are out of date: Tonearm, the bundle or the request has changed")
        for table in terminal_tables(found):
            out.print(table)
    run.check_cases(swept, failed)


def _search(plan: Plan, ready: Sequence[Bundle]) -> None:
    searched, failed = at_once(
        plan.boards,
        lambda name: f"search for the smallest block on {name}",
        lambda name, progress, reach: search.search(name, ready, plan, progress, reach),
    )
    for name, done in searched.items():
        say(f"{name}: {count(done.measured, 'run')} measured, {done.kept} already in {plan.output}")
        if done.found:
            out.print(search.table(name, done.found), *search.remarks(done.found), sep="\n", soft_wrap=True)
    run.check_cases({name: done.swept() for name, done in searched.items()}, failed)


def _tell_how_to_go_on(folder: Path) -> None:
    with contextlib.suppress(ResultsError):
        kept = len(read_cases(folder))
        what = f"{kept} finished cases are in {folder} (tonearm report {folder})" if kept else "no case is finished yet"
        say(f"{what}: the same command again goes on")
