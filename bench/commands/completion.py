"""The command that prints what makes a shell complete."""

from __future__ import annotations

import argparse

from argcomplete.shell_integration import shellcode


def completion(options: argparse.Namespace) -> None:
    """Print the shell's code, as argcomplete writes it."""
    print(shellcode(["tonearm"], shell=options.shell), flush=True)
