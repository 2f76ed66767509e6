"""The command that puts a model on a board, or on several at once."""

from __future__ import annotations

import argparse

from ...device.boards import check_name
from ...runtime.check import check_bundle
from ...runtime.progress import Progress
from .. import bundles
from ..deploy import Deployed, deploy_over, describe
from ..deploy import deploy as deploy_to
from ..output.console import out, say, stage
from ..parallel import Reach, at_once, check


def deploy(options: argparse.Namespace) -> None:
    """Put a model on one board, or on several at once."""
    for name in options.board:
        check_name(name)
    if len(options.board) > 1:
        _deploy_to_several(options.what, options.board)
        return
    (name,) = options.board
    with stage(f"deploy {options.what} to {name}") as progress:
        bundle, line = bundles.ensure_bundle(options.what, progress)
        deployed = deploy_to(name, bundle, progress)
    say(line)
    out.print(describe(name, bundle, deployed), soft_wrap=True)


def _deploy_to_several(what: str, names: list[str]) -> None:
    with stage(f"bundle {what}") as progress:
        bundle, line = bundles.ensure_bundle(what, progress)
    check_bundle(bundle)
    say(line)

    def work(name: str, progress: Progress, reach: Reach) -> Deployed:
        with reach(name, progress) as connection:
            return deploy_over(connection, bundle, progress)

    done, failed = at_once(names, lambda name: f"deploy {what} to {name}", work)
    for name, deployed in done.items():
        out.print(describe(name, bundle, deployed), soft_wrap=True)
    check(list(failed), list(done))
