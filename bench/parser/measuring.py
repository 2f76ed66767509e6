"""What the commands take that measure, report and compare."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...models.training.instruments import INSTRUMENTS
from ..terms import ENGINES, MODES, PROTOCOLS
from .arguments import (
    Commands,
    add_command,
    add_commands,
    add_model,
    add_on_several,
    complete,
    complete_bundles,
    natural,
    positive,
    seconds,
)

PLAN = """plan.toml may set what the options do, except --smallest-block:
  models = ["hpn-full-flute", "hpn-reduced-flute"]   # precisions
  boards = ["pi"]                                    # engines
  blocks = [64, 256, 1024]                           # threads
  modes = ["burst", "paced"]                         # repeats, steps or seconds
  cool_down = 60                                     # tune, profile, seed, output, protocol"""
GATE = """exit status 1 when a case of OLD is not in NEW (measure both with one command), or one got worse by more than
  the floor   0.5% on a virtual board, which counts instructions and repeats to 0.1%;
              5% elsewhere, as times of the same program differ by that much from day to day
  its noise   three times the range of its repeats, or, of one run, half the interval of its median;
              one run can't show how much runs differ, so repeat it (tonearm sweep --repeats 3)
what counts   p50 of the steps, peak memory, the model's memory, the size of graph and weights
  by time     also p99.9 (p99 where that tells more) and the rate of misses, where their 95% bounds leave a gap
  by count    (virtual board) also the first step and making the session, whose times vary too much elsewhere
too noisy to tell: the change is within the noise, but the noise exceeds 20%; neither pass nor fail: measure again
runs that the search for the smallest block stopped at a miss are left out"""


def add_sweep(commands: Commands) -> None:
    """`tonearm sweep`."""
    command = add_command(
        commands,
        "sweep",
        "measure models x blocks x threads on a board, or on several at once; resumes an interrupted run",
        "sweep --board virtual --models hpn-full-flute hpn-reduced-flute --blocks 64 1024 -o results\n"
        "  tonearm sweep --board pi bela --models hpn-reduced-flute -o results\n"
        "  tonearm sweep --plan plan.toml\n"
        "  tonearm sweep --plan plan.toml --board pi --repeats 1\n"
        "  tonearm sweep --board pi --models hpn-full-flute hpn-reduced-flute --smallest-block\n"
        f"  tonearm sweep --board pi --models hpn-full-flute hpn-reduced-flute --protocol ddx7\n\n{PLAN}",
        "sweep:sweep",
    )
    command.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="measure as a published protocol does, with its blocks, threads and steps: ddx7, the latencies of the "
        "DDX7 page; paper, the paper's harness; on loopback, PyTorch is measured too",
    )
    _add_cases(command)
    _add_length(command)
    _add_how(command)
    command.set_defaults(usage=command.error)


def _add_cases(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--plan", type=Path, metavar="FILE", help="plan file, as below; command-line options override it"
    )
    add_on_several(command, required=False)
    models = command.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL|BUNDLE",
        help="names (see: tonearm models), or folders made by tonearm export",
    )
    complete_bundles(models)
    command.add_argument("--precisions", nargs="+", metavar="P", help="only bundles of these precisions (default: all)")
    command.add_argument(
        "--blocks", type=positive, nargs="+", metavar="N", help="samples per call (default: all that the bundle has)"
    )
    command.add_argument(
        "--threads", type=positive, nargs="+", metavar="N", help="threads of ONNX Runtime (default: 1)"
    )
    command.add_argument(
        "--modes",
        nargs="+",
        choices=MODES,
        help="burst: steps back to back; paced: on the audio clock (default: both; burst on a virtual board)",
    )
    command.add_argument(
        "--engine",
        dest="engines",
        nargs="+",
        choices=ENGINES,
        help="torch: the same models in eager PyTorch on this machine (default: onnxruntime)",
    )


def _add_length(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--repeats", type=positive, metavar="N", help="number of repeats of every case (default: 3; virtual: 1)"
    )
    length = command.add_mutually_exclusive_group()
    length.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="timed steps per case (default: 1000, and 10 s of audio when paced; virtual: 7 to 32)",
    )
    length.add_argument("--seconds", type=seconds, metavar="S", help="seconds of audio per case (instead of --steps)")


def _add_how(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, metavar="N", help="seed for the case order (default: 0)")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the results (default: results)")
    command.add_argument(
        "--cool-down",
        type=natural,
        metavar="S",
        help="maximum wait, in s, before each case for the board to cool to its starting temperature "
        "(default: 60; 0: never wait)",
    )
    command.add_argument(
        "--tune",
        action="store_true",
        default=None,
        help="measure with the governors set to performance, real-time priority, one core and locked memory, where the "
        "board grants it; what was set is put back afterwards",
    )
    command.add_argument(
        "--profile", action="store_true", default=None, help="also measure where the time goes, node by node"
    )
    command.add_argument(
        "--smallest-block",
        action="store_true",
        help="search instead: the smallest block of each model that has no miss on the audio clock in 60 s or "
        "2995 steps, whichever is longer (or in --seconds)",
    )


def add_report(commands: Commands) -> None:
    """`tonearm report`."""
    command = add_command(
        commands,
        "report",
        "show results: tables here, Markdown, one HTML page, CSV, Parquet",
        "report results --html report.html\n  tonearm report results more-results --markdown - | less",
        "report:report",
    )
    command.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="folders made by tonearm sweep")
    command.add_argument("--html", type=Path, metavar="FILE", help="one self-contained page, with plots")
    command.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="tables and notes, to paste into an issue; -: to standard output, instead of the tables",
    )
    command.add_argument("--csv", type=Path, metavar="FILE", help="all columns, one row per measured process")
    command.add_argument(
        "--parquet", type=Path, metavar="DIR", help="cases, steps and telemetry, all columns, as .parquet"
    )
    command.add_argument(
        "--different",
        action="store_true",
        help="combine folders even where a board's name stands for another board, kernel or ONNX Runtime",
    )


def add_compare(commands: Commands) -> None:
    """`tonearm compare`."""
    command = add_command(
        commands,
        "compare",
        "put a teacher and its students side by side: size, cost, sound",
        "compare results --teacher hpn-full-flute --student hpn-reduced-flute --html compare.html\n"
        "  tonearm compare results --teacher hpn-full --student hpn-reduced ddx7-reduced-flute --no-sound",
        "compare:compare",
    )
    command.add_argument(
        "results",
        type=Path,
        nargs="?",
        metavar="RESULTS",
        help="a folder made by tonearm sweep, for what a block costs",
    )
    model = "a model's name (see: tonearm models), or NAME=FILE with a checkpoint"
    add_model(command, "--teacher", required=True, help=model)
    add_model(
        command,
        "--student",
        required=True,
        nargs="+",
        help="one or more, named like the teacher; the others are compared with the first",
    )
    phrases = command.add_mutually_exclusive_group()
    instrument = phrases.add_argument(
        "--instrument", metavar="NAME", help="whose test phrases to play (default: the one in the models' names)"
    )
    complete(instrument, lambda: INSTRUMENTS)
    phrases.add_argument(
        "--data", type=Path, metavar="FOLDER", help="play the test part of your own recordings: .wav, mono, 16 kHz"
    )
    phrases.add_argument(
        "--no-sound",
        action="store_true",
        help="play nothing: compare size and cost alone, which takes seconds, and needs no trained models",
    )
    command.add_argument(
        "--phrases", type=positive, metavar="N", help="only the first N of them, for a quick look (default: all)"
    )
    command.add_argument("--csv", type=_new_file, metavar="FILE", help="all figures, one row per model (and board)")
    command.add_argument(
        "--html", type=_new_file, metavar="FILE", help="one self-contained page, with sounds to listen to"
    )


def _new_file(text: str) -> Path:
    """A file to write, as argparse reads it: minutes of listening shall not end in a name that was mistyped."""
    file = Path(text)
    if text == "-" or file.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: the name of a file is wanted")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"no folder {file.parent}: make it first")
    return file


def add_gate(commands: Commands) -> None:
    """`tonearm gate`."""
    command = add_command(
        commands,
        "gate",
        "compare new results with old ones: exit status 1 when a case got slower, larger or later, or is gone",
        "gate results-before results",
        "gate:gate",
    )
    command.epilog = f"{GATE}\n\n{command.epilog}"
    command.add_argument("old", type=Path, metavar="OLD", help="a folder made by tonearm sweep")
    command.add_argument("new", type=Path, metavar="NEW", help="another folder, with the same cases")
    command.add_argument(
        "--different",
        action="store_true",
        help="compare across kernels, Pythons or ONNX Runtimes of a board, to judge an upgrade",
    )


def add_results(commands: Commands) -> None:
    """`tonearm results`."""
    command = add_command(commands, "results", "repair a folder of results", "results repair results")
    action = add_command(
        add_commands(command, "ACTION"),
        "repair",
        "take out what is damaged; what there was is kept in a file beside it",
        "results repair results",
        "results:repair",
    )
    action.add_argument("folder", type=Path, metavar="FOLDER", help="as made by tonearm sweep")
