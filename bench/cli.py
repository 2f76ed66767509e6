"""The command line. Libraries raise; only this file prints errors: one line, and what to try next."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from ..device import boards as board_names
from ..device import virtual
from ..device.errors import DeviceError
from ..device.facts import printable, read_facts
from ..models.catalogue import MODELS
from ..models.errors import ModelError
from ..runtime.errors import RunnerError
from . import bundles, controls
from .console import out, say, stage
from .deploy import deploy, describe
from .errors import BenchError

EXAMPLES = """examples:
  tonearm export hpn-reduced                                     make a bundle: bundles/hpn-reduced
  tonearm deploy hpn-reduced --board virtual                     put it on a board and prove it there
  tonearm render hpn-reduced --board virtual --input phrase.csv -o phrase.wav
  tonearm sweep --board virtual --models hpn-full hpn-reduced -o results
  tonearm report results --csv results.csv --html report.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 for an error, 2 for wrong usage, 130 when interrupted."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        say("interrupted: what was finished is kept; a board's current release is the old or the new one, whole")
        return 130
    except BrokenPipeError as error:
        return _closed(error)
    except _known_errors() as error:
        say(f"tonearm: {printable(' '.join(str(error).split()))}")
        return 1
    return 0


def _closed(error: BrokenPipeError) -> int:
    """Quiet when whoever reads our output has had enough (`| head`); a line when it was another pipe."""
    try:
        sys.stdout.flush()
        say(f"tonearm: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _known_errors() -> tuple[type[Exception], ...]:
    """The trees of all folders; export's only if it was used, for importing it takes torch's seconds."""
    errors: tuple[type[Exception], ...] = (BenchError, DeviceError, ModelError, RunnerError, OSError)
    used = sys.modules.get("tonearm.export.errors")
    return (*errors, used.ExportError) if used else errors


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="tonearm",
        description="Put a neural-audio model on an ARM board, prove that it streams there as trained, measure it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"tonearm {metadata.version('tonearm')}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_models(commands)
    _add_export(commands)
    _add_deploy(commands)
    _add_render(commands)
    _add_sweep(commands)
    _add_report(commands)
    _add_board(commands)
    _add_demo(commands)
    return top


def _command(commands: argparse._SubParsersAction, name: str, about: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=f"example:\n  tonearm {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_models(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "models", "list the models there are", "models")
    command.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> None:
    from rich.table import Table

    table = Table("model", "role", "hidden", "weights")
    for model in MODELS.values():
        table.add_row(model.name, model.role, str(model.hidden), bundles.describe_weights(None))
    out.print(table)


def _add_export(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "export", "make a bundle of a model, verified against PyTorch", "export hpn-reduced")
    command.add_argument("model", help="a model's name (see: tonearm models)")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: bundles/MODEL")
    command.add_argument(
        "--block",
        type=int,
        nargs="+",
        default=bundles.BLOCKS,
        metavar="N",
        help=f"samples per call, one graph each (default: {' '.join(map(str, bundles.BLOCKS))})",
    )
    command.add_argument("--checkpoint", type=Path, metavar="FILE", help="trained weights: a state_dict (.pt)")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    folder = options.output or bundles.FOLDER / options.model
    with stage(f"export {options.model}") as report:
        bundle, line = bundles.export_model(options.model, folder, options.block, report, options.checkpoint)
    say(line)
    out.print(bundle.folder, soft_wrap=True)


def _add_deploy(commands: argparse._SubParsersAction) -> None:
    command = _command(
        commands,
        "deploy",
        "put a model on a board, prove it there, make it current",
        "deploy hpn-reduced --board pi",
    )
    _add_what(command)
    command.set_defaults(run=_deploy)


def _add_what(command: argparse.ArgumentParser) -> None:
    command.add_argument("what", metavar="MODEL|BUNDLE", help="a model's name, or a folder made by tonearm export")
    _add_on(command)


def _add_on(command: argparse.ArgumentParser) -> None:
    command.add_argument("--board", required=True, metavar="NAME", help="loopback, virtual, or a board of yours")


def _deploy(options: argparse.Namespace) -> None:
    with stage(f"deploy {options.what} to {options.board}") as report:
        bundle, line = bundles.ensure_bundle(options.what, report)
        deployed = deploy(options.board, bundle, report)
    say(line)
    out.print(describe(options.board, bundle, deployed), soft_wrap=True)


def _add_render(commands: argparse._SubParsersAction) -> None:
    command = _command(
        commands,
        "render",
        "stream a clip on a board and bring the sound back",
        "render hpn-reduced --board virtual --input phrase.csv -o phrase.wav",
    )
    _add_what(command)
    command.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FILE",
        help="controls, 250 frames a second: arrays of an .npz or columns of a .csv named f0_hz (Hz), loudness_db (dB) "
        "and, optionally, noise",
    )
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a .wav, or an .npz")
    command.add_argument("--block", type=_positive, metavar="N", help="samples a call (default: the bundle's largest)")
    command.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> None:
    from .render import render_on

    controls.check_target(options.output)
    with stage(f"render {options.what} on {options.board}") as report:
        bundle, line = bundles.ensure_bundle(options.what, report)
        signals = controls.read_controls(options.input, bundle)
        outputs = render_on(options.board, bundle, signals, report, options.block)
    say(line)
    out.print(controls.write_sound(options.output, outputs, bundle.sample_rate), soft_wrap=True)


def _positive(text: str) -> int:
    """A whole number from 1, as argparse reads it."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def _add_sweep(commands: argparse._SubParsersAction) -> None:
    command = _command(
        commands,
        "sweep",
        "measure models x blocks x threads on a board; goes on where it was stopped",
        "sweep --board virtual --models hpn-full hpn-reduced --blocks 64 1024 -o results",
    )
    _add_on(command)
    command.add_argument("--models", nargs="+", required=True, metavar="MODEL|BUNDLE")
    command.add_argument(
        "--blocks", type=_positive, nargs="+", metavar="N", help="samples per call (default: all the bundle has)"
    )
    command.add_argument("--threads", type=_positive, nargs="+", default=[1], metavar="N", help="default: 1")
    command.add_argument("--steps", type=_positive, metavar="N", help="timed steps a case (default: 1000; virtual: 7)")
    command.add_argument("-o", "--output", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    command.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    from . import results, sweep
    from .report import terminal_tables

    ready = []
    for what in options.models:
        with stage(f"bundle {what}") as report:
            ready.append(bundles.ensure_bundle(what, report, options.blocks)[0])
    with stage(f"sweep on {options.board}") as report:
        measured, kept = sweep.sweep(
            options.board, ready, options.blocks, options.threads, options.output, report, options.steps
        )
    say(f"{measured} cases measured, {kept} were there already in {options.output}")
    for table in terminal_tables(results.load(options.output)):
        out.print(table)


def _add_report(commands: argparse._SubParsersAction) -> None:
    command = _command(
        commands,
        "report",
        "show results as a table, CSV or HTML",
        "report results --csv results.csv --html report.html",
    )
    command.add_argument("results", type=Path, metavar="RESULTS", help="a folder made by tonearm sweep")
    command.add_argument("--csv", type=Path, metavar="FILE", help="all columns, one row per case")
    command.add_argument("--html", type=Path, metavar="FILE", help="one self-contained page")
    command.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from . import report, results

    table = results.load(options.results)
    for part in report.terminal_tables(table):
        out.print(part)
    if options.csv:
        table.to_csv(options.csv, index=False)
        say(f"wrote {options.csv}")
    if options.html:
        report.write_html(table, options.html)
        say(f"wrote {options.html}")


def _add_board(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "board", "list boards, start, stop or look at one", "board info virtual")
    actions = command.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="all boards by name").set_defaults(run=_board_list)
    for name, about, run in (
        ("up", "start a virtual board", _board_up),
        ("down", "stop a virtual board; its disk is kept", _board_down),
        ("info", "what a board is and has", _board_info),
    ):
        action = actions.add_parser(name, help=about)
        action.add_argument("name", help="the board's name")
        action.set_defaults(run=run)


def _board_list(options: argparse.Namespace) -> None:
    up = "up" if virtual.endpoint(board_names.VIRTUAL) else "down"
    out.print("loopback   this machine, over SSH")
    out.print(f"virtual    ARM64 machine that counts instructions, {up}")
    for name, entry in board_names.read_boards().items():
        user, port = entry.get("user", ""), entry.get("port", "")
        out.print(f"{name:<10} {user and user + '@'}{entry['host']}{port and f':{port}'}")
    for name in board_names.ssh_hosts():
        out.print(f"{name:<10} of ~/.ssh/config")


def _board_up(options: argparse.Namespace) -> None:
    board_names.check_virtual(options.name)
    with stage(f"start {options.name}") as report, board_names.board(options.name, report) as connection:
        read_facts(connection)


def _board_down(options: argparse.Namespace) -> None:
    board_names.check_virtual(options.name)
    with stage(f"stop {options.name}"):
        ran = virtual.down(options.name)
    out.print(f"{options.name} is down" if ran else f"{options.name} was not up")


def _board_info(options: argparse.Namespace) -> None:
    with stage(f"look at {options.name}") as report, board_names.board(options.name, report) as connection:
        facts, _ = connection.ask("facts")
    shown = (
        "hostname",
        "model",
        "machine",
        "cpu",
        "cores",
        "memory_kb",
        "kernel",
        "libc",
        "python",
        "governor",
    )
    for key in (*shown, "free_bytes", "root", "current"):
        value = facts[key]
        text = ".".join(map(str, value)) if key == "python" else " ".join(value) if key == "libc" else value
        out.print(f"{key:<11} {text or '-'}")


def _add_demo(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "demo", "all of it, teacher and student, on a built-in board", "demo --board loopback")
    command.add_argument("--board", metavar="NAME", help="default: virtual where it can run, else loopback")
    command.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    command.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from .demo import default_board, demo

    demo(options.board or default_board(), options.output)
