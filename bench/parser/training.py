"""What the commands take that train models."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...models.training.instruments import INSTRUMENTS, PHRASE_SECONDS
from .arguments import Commands, add_command, add_model, natural, positive

STEPS = 1000
FOLDER = Path("trained")


def add_train(commands: Commands) -> None:
    """`tonearm train`."""
    command = add_command(
        commands,
        "train",
        "train a model on an instrument or on recordings; resumes an interrupted run",
        "train hpn-full --instrument flute\n  tonearm train ddx7-reduced-violin --data recordings --steps 5000",
        "training:train",
    )
    add_model(command, "model")
    _add_how(command)


def add_distill(commands: Commands) -> None:
    """`tonearm distill`."""
    command = add_command(
        commands,
        "distill",
        "train a student that also learns from its teacher; resumes an interrupted run",
        "distill hpn-reduced --teacher hpn-full --method control --instrument flute",
        "training:distill",
    )
    add_model(command, "model", metavar="STUDENT")
    add_model(
        command,
        "--teacher",
        required=True,
        metavar="MODEL[=FILE]",
        help="a trained model of the same family: its name, and the file of its weights if they are neither in the "
        "output folder nor come with Tonearm",
    )
    command.add_argument(
        "--method",
        required=True,
        choices=("audio", "control"),
        help="learn from the teacher's sound, or from its synthesizer controls",
    )
    _add_how(command)


def _add_how(command: argparse.ArgumentParser) -> None:
    data = command.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--instrument",
        choices=tuple(INSTRUMENTS),
        help="100 made-up phrases of a sampled instrument; needs FluidSynth and its soundfont",
    )
    data.add_argument(
        "--data", type=Path, metavar="DIR", help="a folder of .wav or .flac files: one voice, mono, 16 kHz, dry"
    )
    command.add_argument(
        "--steps", type=positive, default=STEPS, metavar="N", help=f"training steps (default: {STEPS})"
    )
    command.add_argument("--batch", type=positive, default=8, metavar="N", help="clips per step (default: 8)")
    command.add_argument("--seconds", type=clip, default=1.0, metavar="S", help="length of a clip, in s (default: 1)")
    command.add_argument(
        "--seed", type=natural, default=0, metavar="N", help="seed for the clips and the noise (default: 0)"
    )
    command.add_argument(
        "-o", "--output", type=Path, default=FOLDER, metavar="DIR", help=f"folder for the weights (default: {FOLDER})"
    )


def clip(text: str) -> float:
    """Seconds of a clip, as argparse reads it: longer than the longest window of the loss, not longer than a phrase."""
    if not 0.1 <= float(text) <= PHRASE_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and {PHRASE_SECONDS:g} seconds")
    return float(text)
