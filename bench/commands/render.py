"""Commands that go to boards, and what comes back from there."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import bundles, controls
from ..output.console import out, say, stage
from .arguments import Commands, add_command, add_what, positive


def add_render(commands: Commands) -> None:
    """`tonearm render`."""
    command = add_command(
        commands,
        "render",
        "stream a clip on a board and bring the sound back",
        "render hpn-reduced-flute --board virtual --input phrase.csv -o phrase.wav\n"
        "  tonearm render hpn-reduced-flute --board virtual --input take.wav -o out.wav",
    )
    add_what(command)
    command.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FILE",
        help="controls, 250 frames a second: arrays of an .npz or columns of a .csv named f0_hz (Hz), loudness_db (dB) "
        "and, optionally, noise; or a recording, .wav or .flac, mono, whose pitch and loudness are played; a bundle "
        "whose input is audio takes it as it is",
    )
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a .wav, or an .npz")
    command.add_argument("--block", type=positive, metavar="N", help="samples a call (default: the bundle's largest)")
    command.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> None:
    from ..render import render_on

    controls.check_target(options.output, options.input)
    with stage(f"render {options.what} on {options.board}") as report:
        bundle, line = bundles.ensure_bundle(options.what, report)
        controls.check_sound(options.output, bundle)
        signals = controls.read_controls(options.input, bundle, report)
        remark = controls.remark_on(options.input, signals)
        outputs = render_on(options.board, bundle, signals, report, options.block)
    say(line)
    if remark:
        say(f"{options.input}: {remark}")
    outputs = controls.cut_to(options.input, outputs, bundle)
    out.print(controls.write_sound(options.output, outputs, bundle), soft_wrap=True)


def add_demo(commands: Commands) -> None:
    """`tonearm demo`."""
    command = add_command(
        commands, "demo", "all of it, teacher and student, on a built-in board", "demo --board loopback"
    )
    command.add_argument("--board", metavar="NAME", help="default: virtual where it can run, else loopback")
    command.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    command.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from ..demo import default_board, demo

    demo(options.board or default_board(), options.output)
