"""Commands that make bundles and files of weights, which need no board."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from ...device.text import printable
from ...runtime.bundle import Bundle
from ...runtime.progress import Progress
from .. import bundles
from ..errors import BenchError
from ..names import plain_name
from ..output.console import out, say, stage


def export(options: argparse.Namespace) -> None:
    """Make a bundle of a model."""
    with stage(f"export {options.model}") as progress:
        bundle, line = _exported(options, progress)
    say(line)
    out.print(bundle.folder, soft_wrap=True)


def _exported(options: argparse.Namespace, progress: Progress) -> tuple[Bundle, str]:
    if options.weights and not options.checkpoint:
        raise BenchError("--weights chooses from a file: name it with --checkpoint")
    variant = {option: getattr(options, option) for option in options.variant}
    if ":" not in options.model:
        blocks = options.block or bundles.BLOCKS
        return bundles.export_model(
            options.model, options.output, blocks, progress, options.checkpoint, options.weights, **variant
        )
    if options.checkpoint or variant != options.variant:
        raise BenchError(
            f"{options.model} is built by its own code: leave out --checkpoint, --no-reverb, --causal and --full-noise"
        )
    return bundles.export_own(options.model, progress, options.output, options.block)


def convert(options: argparse.Namespace) -> None:
    """Write the weights of a checkpoint as .safetensors."""
    with bundles.needing_extra("converting"):
        from ...models.convert import convert
    done, model = convert(options.old, options.new, options.weights)
    for note in done.notes:
        say(f"{options.old}: {printable(note)}")
    tensors = done.state.values()
    numbers, size = sum(tensor.numel() for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
    was = options.old.stat().st_size
    say(f"kept: {len(tensors)} tensors, {numbers} numbers, {size / 1e6:.2f} MB of {was / 1e6:.2f} MB, for {model}")
    out.print(options.new, soft_wrap=True)


def import_graph(options: argparse.Namespace) -> None:
    """Make a bundle of an ONNX graph."""
    name = options.name or plain_name(options.graph.stem)
    with stage(f"import {options.graph}") as progress:
        done = bundles.import_onnx(
            options.graph,
            name,
            options.output,
            progress,
            sample_rate=options.sample_rate,
            states=None if options.state is None else _by_name(given for given in options.state if given),
            hop=options.hop,
            latency=options.latency,
            constants=_by_name(options.set),
            dims=_by_name(options.dim),
        )
    for line in str(done.plan).splitlines():
        say(line)
    for warning in done.warnings:
        say(f"{name}: warning, for input above full scale: {warning}")
    say(f"{name}: {done.bundle.weights}; differs from the original by {done.error:.1e} of full scale")
    out.print(done.bundle.folder, soft_wrap=True)


def _by_name(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise BenchError(f"{name} is given twice: {found[name]} and {value}")
        found[name] = value
    return found
