"""The whole way, teacher and student, on a built-in board: what `make demo` runs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from ..device.boards import board, check_name
from ..device.descriptor import descriptor
from ..models.catalogue import load
from ..runtime.bundle import Bundle
from ..runtime.parity import full_scale_error
from .bundles import ensure_bundle
from .controls import read_controls, write_sound
from .deploy import deploy, describe
from .errors import BenchError
from .output.console import out, say, stage
from .output.numbers import count
from .render import render_on
from .report.html import write_html
from .report.terminal import terminal_tables
from .results.store import load as load_results
from .sweep.plan import Plan
from .sweep.run import check_cases, sweep
from .terms import BLOCKS, BURST

PHRASE = Path(str(resources.files("tonearm.bench").joinpath("phrase.csv")))
TEACHER, STUDENT = "hpn-full-flute", "hpn-reduced-flute"


def demo(name: str, folder: Path) -> None:
    """Export teacher and student, deploy both to the board `name`, play a phrase there, measure, report."""
    check_name(name)
    say(f"teacher {TEACHER} and student {STUDENT} on {name}: about four minutes the first time, half a minute after")
    bundles = [_export(model, folder) for model in (TEACHER, STUDENT)]
    built = " (built first, once)" if descriptor(name).is_startable else ""
    with stage(f"start {name}{built}") as progress, board(name, progress):
        pass
    for bundle in bundles:
        with stage(f"deploy {bundle.name} to {name}") as progress:
            deployed = deploy(name, bundle, progress)
        say("  " + describe(name, bundle, deployed))
    sounds = {
        f"teacher {TEACHER}, played here in PyTorch": folder / "teacher.wav",
        f"student {STUDENT}, played on {name}": folder / "student.wav",
    }
    _play_here(bundles[0], folder / "teacher.wav")
    _play(name, bundles[1], folder / "student.wav")
    results = folder / "results"
    with stage(f"sweep {len(BLOCKS)} block sizes, teacher and student") as progress:
        plan = Plan(blocks=BLOCKS, modes=(BURST,), repeats=1, output=results)
        swept = sweep(name, bundles, plan, progress)
    say(f"  {count(swept.measured, 'case')} measured, {swept.kept} already in {results}")
    check_cases({name: swept})
    measured = load_results(results)
    for part in terminal_tables(measured):
        out.print(part)
    write_html(measured, folder / "report.html", sounds)
    say(f"wrote {folder / 'report.html'}, {', '.join(map(str, sounds.values()))} and {results}")


def _export(model: str, folder: Path) -> Bundle:
    with stage(f"export {model}") as progress:
        bundle, line = ensure_bundle(model, progress, BLOCKS, folder / "bundles")
    say(f"  {line}")
    return bundle


def _play_here(bundle: Bundle, path: Path) -> None:
    """Render the phrase in PyTorch, which the deploy has proven the board to equal: there a teacher takes a minute."""
    with stage(f"play a phrase with {bundle.name} here"):
        audio = _offline(bundle.name, read_controls(PHRASE, bundle))
    say("  " + write_sound(path, {"audio": audio}, bundle))


def _play(name: str, bundle: Bundle, path: Path) -> None:
    """Render the phrase on the board, compare with PyTorch here, write the sound."""
    signals = read_controls(PHRASE, bundle)
    with stage(f"play a phrase with {bundle.name} on {name}") as progress:
        outputs = render_on(name, bundle, signals, progress)
    wanted = _offline(bundle.name, signals)
    error = full_scale_error(wanted, outputs["audio"])
    if not error <= bundle.tolerance:
        raise BenchError(f"the board's audio differs from PyTorch's by {error:.1e} of full scale")
    allowed = f"allowed: {bundle.tolerance:g}"
    say(f"  parity: the board's audio differs from PyTorch's by {error:.1e} of full scale ({allowed})")
    say("  " + write_sound(path, outputs, bundle))


def _offline(model: str, signals: dict[str, np.ndarray]) -> np.ndarray:
    """PyTorch's offline render, `(samples,)`."""
    import torch

    from ..export.streaming import render

    inputs = {name: torch.from_numpy(value) for name, value in signals.items()}
    return render(load(model), inputs)["audio"][0].numpy()
