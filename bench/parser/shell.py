"""Completion in shells, by argcomplete: it asks this very parser, so that it can't fall behind, and knows three shells.

shtab, the other well-kept library, writes a script once, which would know neither today's boards nor bundles, and has
none for fish.
"""

from __future__ import annotations

import argparse
import os

from .arguments import Commands, add_command

SHELLS = ("bash", "zsh", "fish")
HOW = """to have it in every new shell, add to
  ~/.bashrc                    source <(tonearm completion bash)
  ~/.zshrc, after compinit     source <(tonearm completion zsh)
  ~/.config/fish/config.fish   tonearm completion fish | source"""


def add_completion(commands: Commands) -> None:
    """`tonearm completion`."""
    command = add_command(
        commands,
        "completion",
        "print what makes a shell complete commands, options, models and boards",
        f"completion bash\n\n{HOW}",
        "completion:completion",
    )
    command.add_argument("shell", choices=SHELLS, help="the shell to write it for")


def complete_if_asked(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and end; does nothing where none asks."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
