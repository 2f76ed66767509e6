"""What the commands take that put a model on a board and play it there."""

from __future__ import annotations

from pathlib import Path

from .arguments import (
    BOARD,
    Commands,
    add_bundle,
    add_command,
    add_on,
    add_on_several,
    board_names,
    complete,
    positive,
)


def add_deploy(commands: Commands) -> None:
    """`tonearm deploy`."""
    command = add_command(
        commands,
        "deploy",
        "put a model on a board, or on several at once, prove it there, make it current",
        "deploy hpn-reduced-flute --board pi\n  tonearm deploy hpn-reduced-flute --board pi bela virtual",
        "deploy:deploy",
    )
    command.usage = "%(prog)s [-h] MODEL|BUNDLE --board NAME [NAME ...]"  # the other way round, MODEL would be a NAME
    add_bundle(command)
    add_on_several(command)


def add_render(commands: Commands) -> None:
    """`tonearm render`."""
    command = add_command(
        commands,
        "render",
        "stream a clip on a board and bring the sound back",
        "render hpn-reduced-flute --board virtual --input phrase.csv -o phrase.wav\n"
        "  tonearm render hpn-reduced-flute --board virtual --input take.wav -o out.wav",
        "render:render",
    )
    add_bundle(command)
    add_on(command)
    command.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FILE",
        help="controls, 250 frames a second: arrays of an .npz or columns of a .csv named f0_hz (Hz), loudness_db (dB) "
        "and, optionally, noise; or a recording, .wav or .flac, mono, whose pitch and loudness are played; for a "
        "bundle whose input is audio, the recording itself",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file for the sound: .wav, or .npz with all outputs",
    )
    command.add_argument(
        "--block", type=positive, metavar="N", help="samples per call (default: the bundle's largest block)"
    )


def add_demo(commands: Commands) -> None:
    """`tonearm demo`."""
    command = add_command(
        commands,
        "demo",
        "a complete run with teacher and student on one board: export, deploy, play, measure, report",
        "demo --board loopback",
        "demo:demo",
    )
    board = command.add_argument(
        "--board", metavar="NAME", help=f"{BOARD} (default: virtual where it can run, else loopback)"
    )
    complete(board, board_names)
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder for all that is made (default: demo)",
    )
