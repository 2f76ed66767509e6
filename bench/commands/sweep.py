"""The command that measures models on a board, or on several at once."""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...device.boards import check_name
from .. import bundles
from ..errors import ResultsError
from ..output.console import out, say, stage
from ..parallel import at_once
from ..sweep import protocols
from ..sweep.plan import Plan, check_plan, of_precisions, read_plan
from ..terms import ENGINES, MODES, PROTOCOLS
from .arguments import Commands, add_command, add_on_several, natural, positive, seconds

if TYPE_CHECKING:
    from ...runtime.bundle import Bundle

PLAN = """plan.toml, which may have what the options say, all but --smallest-block:
  models = ["hpn-full-flute", "hpn-reduced-flute"]   # precisions
  boards = ["pi"]                                    # engines
  blocks = [64, 256, 1024]                           # threads
  modes = ["burst", "paced"]                         # repeats, steps or seconds
  cool_down = 60                                     # tune, profile, seed, output, protocol"""
NOT_SEARCHED = ("modes", "engines", "repeats", "steps", "profile")  # which the search for the smallest block decides


def add_sweep(commands: Commands) -> None:
    """`tonearm sweep`."""
    command = add_command(
        commands,
        "sweep",
        "measure models x blocks x threads on a board, or on several at once; goes on where it was stopped",
        "sweep --board virtual --models hpn-full-flute hpn-reduced-flute --blocks 64 1024 -o results\n"
        "  tonearm sweep --board pi bela --models hpn-reduced-flute -o results\n"
        "  tonearm sweep --plan plan.toml\n"
        "  tonearm sweep --plan plan.toml --board pi --repeats 1\n"
        "  tonearm sweep --board pi --models hpn-full-flute hpn-reduced-flute --smallest-block\n"
        f"  tonearm sweep --board pi --models hpn-full-flute hpn-reduced-flute --protocol ddx7\n\n{PLAN}",
    )
    command.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="a published one, with its blocks, threads and steps: the DDX7 page's latencies or the paper's harness; "
        "on loopback with PyTorch beside",
    )
    _add_what(command)
    _add_how(command)
    command.set_defaults(run=functools.partial(_sweep, command))


def _add_what(command: argparse.ArgumentParser) -> None:
    command.add_argument("--plan", type=Path, metavar="FILE", help="a grid in a file; options count more than it")
    add_on_several(command, required=False)
    command.add_argument("--models", nargs="+", metavar="MODEL|BUNDLE")
    command.add_argument("--precisions", nargs="+", metavar="P", help="bundles of these (default: all)")
    command.add_argument(
        "--blocks", type=positive, nargs="+", metavar="N", help="samples per call (default: all the bundle has)"
    )
    command.add_argument("--threads", type=positive, nargs="+", metavar="N", help="default: 1")
    command.add_argument(
        "--modes",
        nargs="+",
        choices=MODES,
        help="steps back to back, or on the audio clock (default: both; on a virtual board burst)",
    )
    command.add_argument(
        "--engine", dest="engines", nargs="+", choices=ENGINES, help="torch: PyTorch on this machine, beside it"
    )
    command.add_argument("--repeats", type=positive, metavar="N", help="of all cases (default: 3; virtual: 1)")
    length = command.add_mutually_exclusive_group()
    length.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="timed steps a case (default: 1000, paced 10 s of audio; virtual: 7 to 32)",
    )
    length.add_argument("--seconds", type=seconds, metavar="S", help="of audio a case, instead")


def _add_how(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, metavar="N", help="of the order of cases (default: 0)")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: results")
    command.add_argument(
        "--cool-down",
        type=natural,
        metavar="S",
        help="wait before a case, so long at most, until the board is as cool as at first (default: 60; 0: never)",
    )
    command.add_argument(
        "--tune",
        action="store_true",
        default=None,
        help="governors to performance, real-time priority, one core, locked memory, where the board grants it; "
        "afterwards it is as it was",
    )
    command.add_argument(
        "--profile", action="store_true", default=None, help="where the time goes, node by node, beside each case"
    )
    command.add_argument(
        "--smallest-block",
        action="store_true",
        help="search instead: the smallest block of each model that has no miss on the audio clock in 60 s "
        "and 2995 steps (--seconds)",
    )


def _sweep(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    plan = _plan(command, options)
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


def _plan(command: argparse.ArgumentParser, options: argparse.Namespace) -> Plan:
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
        _check_alone(command, "--smallest-block", (*NOT_SEARCHED, "protocol"), given, written)
    if plan.protocol:
        _check_alone(command, f"--protocol {plan.protocol}", protocols.FIELDS, given, written)
        plan = replace(plan, blocks=protocols.blocks(plan.protocol))
    missing = [option for option, value in (("--board", plan.boards), ("--models", plan.models)) if not value]
    if missing:
        command.error(f"the following arguments are required: {', '.join(missing)} (or a --plan that has them)")
    return plan


def _check_alone(
    command: argparse.ArgumentParser, who: str, fields: Sequence[str], given: dict[str, Any], written: dict[str, Any]
) -> None:
    """A usage error where the options or the plan's file say what `who` decides."""
    for said, where in ((given, ""), (written, ": take that out of the plan's file")):
        unwanted = [field for field in fields if field in said]
        if unwanted:
            command.error(f"{who} decides itself about {', '.join(unwanted)}{where}")


def _bundles(plan: Plan) -> list[Bundle]:
    ready = []
    for what in plan.models:
        with stage(f"bundle {what}") as report:
            ready.append(bundles.ensure_bundle(what, report, plan.blocks)[0])
    return ready


def _all_blocks(plan: Plan) -> tuple[Plan, list[Bundle]]:
    """A search goes through the default blocks of models by name, not through what happens to be exported."""
    ready = []
    for what in plan.models:
        with stage(f"bundle {what}") as report:
            ready.append(bundles.ensure_default(what, report))
    ours = all(by_name for _, by_name in ready)
    return replace(plan, blocks=bundles.BLOCKS if ours else ()), [bundle for bundle, _ in ready]


def _measure(plan: Plan, ready: Sequence[Bundle]) -> None:
    from ..report.terminal import terminal_tables
    from ..results import store
    from ..sweep import run

    swept, failed = at_once(
        plan.boards,
        lambda name: f"sweep on {name}",
        lambda name, report, reach: run.sweep(
            name, ready, protocols.on_board(plan, name, ready, report, reach), report, reach
        ),
    )
    for name, tally in swept.items():
        board = f"{name}: " if len(plan.boards) > 1 else ""
        say(f"{board}{tally.measured} cases measured, {tally.kept} were there already in {plan.output}")
    if any(tally.measured or tally.kept for tally in swept.values()):
        found = store.load(plan.output)
        if older := sum(found.cases["superseded"].tolist()):
            say(f"{older} older cases in {plan.output} no longer count: Tonearm, the bundle or the request has changed")
        for table in terminal_tables(found):
            out.print(table)
    run.check_cases(swept, failed)


def _search(plan: Plan, ready: Sequence[Bundle]) -> None:
    from ..sweep import run, search

    searched, failed = at_once(
        plan.boards,
        lambda name: f"search for the smallest block on {name}",
        lambda name, report, reach: search.search(name, ready, plan, report, reach),
    )
    for name, done in searched.items():
        say(f"{name}: {done.measured} runs measured, {done.kept} were there already in {plan.output}")
        if done.found:
            out.print(search.table(name, done.found), *search.remarks(done.found), sep="\n", soft_wrap=True)
    run.check_cases({name: done.swept() for name, done in searched.items()}, failed)


def _tell_how_to_go_on(folder: Path) -> None:
    from ..results.store import read_cases

    with contextlib.suppress(ResultsError):
        count = len(read_cases(folder))
        say(f"{count} finished cases are in {folder} (tonearm report {folder}): the same command again goes on")
