"""Commands that go to boards, and what comes back from there."""

from __future__ import annotations

import argparse

from .. import bundles, controls
from ..output.console import out, say, stage
from ..render import render_on


def render(options: argparse.Namespace) -> None:
    """Play a clip on a board, and write the sound."""
    controls.check_target(options.output, options.input)

    def tell(line: str) -> None:
        say(f"{options.input}: {line}")

    with stage(f"render {options.what} on {options.board}") as progress:
        bundle, line = bundles.ensure_bundle(options.what, progress)
        controls.check_sound(options.output, bundle)
        signals = controls.read_controls(options.input, bundle, progress, tell)
        remark = controls.remark_on(options.input, signals)
        outputs = render_on(options.board, bundle, signals, progress, options.block)
    say(line)
    if remark:
        tell(remark)
    outputs = controls.cut_to(options.input, outputs, bundle)
    out.print(controls.write_sound(options.output, outputs, bundle), soft_wrap=True)
