"""The command that prints what makes a shell complete."""

from __future__ import annotations

import argparse

import argcomplete


def completion(options: argparse.Namespace) -> None:
    """Print the shell's code, as argcomplete writes it."""
    print(argcomplete.shellcode(["tonearm"], shell=options.shell))
