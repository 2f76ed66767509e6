"""The command that shows the whole way."""

from __future__ import annotations

import argparse

from ...device.boards import default_board
from ..demo import demo as run_demo
from ..output.console import say


def demo(options: argparse.Namespace) -> None:
    """Run the demonstration."""
    run_demo(options.board or default_board(say), options.output)
