"""Commands about models, which need no board."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from ...device.facts import printable
from ...models.catalogue import TRAINED, resolve, variant_name
from ...models.footprint import Footprint, read_footprints
from ...models.training.cards import last_validation, read_card
from ...runtime.bundle import Bundle
from .. import bundles
from ..errors import BenchError
from ..names import plain_name
from ..output.console import Report, out, say, stage
from ..output.tables import Table
from .arguments import Commands, add_command, natural, pair, positive, size

MODELS_NOTES = """full: the teacher; reduced: the student; decoder, synth, reverb: parameters
MMAC/s: million multiply-accumulates a second of audio, decoder+synth+reverb, in blocks of 64 samples (sines and table
look-ups are not counted)
past: frames that the decoder looks back on, its own included; "all" for a recurrent one
latency: samples (0 with --causal); kB: the state that goes from one step to the next
without --checkpoint these models are {weights};
the models below come with trained weights"""
TRAINED_NOTES = """these models come with trained weights; the names above are their architectures
how: from recordings alone (plain), or also from a teacher, by its audio or its controls; minutes: of training
MSS: multi-scale spectral distance on validation phrases; of untrained: its share of the MSS that training began with
(tonearm compare measures them side by side)"""


def add_models(commands: Commands) -> None:
    """`tonearm models`."""
    command = add_command(commands, "models", "list the models there are", "models")
    command.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> None:
    headings = ("model", "decoder", "synth", "reverb", "MMAC/s", "past", "latency", "kB")
    rows = [_weighed(name, weighed) for name, weighed in read_footprints().items()]
    out.print(Table("", headings, rows, texts=("model",)))
    out.print(MODELS_NOTES.format(weights=resolve("hpn-full").provenance.text), soft_wrap=True)
    out.print(_trained_table())
    out.print(TRAINED_NOTES, soft_wrap=True)


def _trained_table() -> Table:
    """The models that come with weights, from their cards."""
    headings = ("trained", "how", "steps", "minutes", "MSS", "of untrained", "kB on disk")
    rows = []
    for name, model in TRAINED.items():
        file = model.checkpoint or Path()
        card = read_card(file.with_suffix(".json"))
        how = f"{card.method} of {card.teacher}" if card.teacher else card.method
        last = last_validation(card)
        figures = (f"{card.minutes:.0f}", f"{last:.2f}", f"{last / card.untrained:.0%}")
        rows.append((name, how, str(card.steps), *figures, f"{file.stat().st_size / 1000:.0f}"))
    return Table("", headings, rows, texts=("trained", "how"))


def _weighed(name: str, weighed: Footprint) -> tuple[str, ...]:
    parameters = [str(weighed.parameters[part]) for part in ("decoder", "synth", "reverb")]
    macs = "+".join(f"{count / 1e6:.3g}" if count < 1e9 else f"{count / 1e6:.0f}" for count in weighed.macs.values())
    past = "all" if weighed.receptive_field is None else str(weighed.receptive_field)
    return name, *parameters, macs, past, str(weighed.latency), f"{weighed.state_bytes / 1000:.0f}"


def add_export(commands: Commands) -> None:
    """`tonearm export`."""
    command = add_command(
        commands,
        "export",
        "make a bundle of a model, verified against PyTorch",
        "export hpn-reduced\n  tonearm export my_module:build --block 64 256",
    )
    command.add_argument(
        "model",
        metavar="MODEL|MODULE:BUILD",
        help="a model's name (see: tonearm models), or a Python module here and the function in it that returns "
        "your own StreamingModule, such as my_module:build; it is run, and checked before anything is written",
    )
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: bundles/MODEL, or bundles/MODULE")
    command.add_argument(
        "--block",
        type=int,
        nargs="+",
        metavar="N",
        help=f"samples per call, one graph each (default: {' '.join(map(str, bundles.BLOCKS))}, "
        "as far as they are whole numbers of hops)",
    )
    command.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="trained weights: .safetensors, .pt, .pth, .ckpt"
    )
    command.add_argument("--no-reverb", dest="reverb", action="store_false", help="leave the learned reverb out")
    command.add_argument(
        "--causal",
        action="store_true",
        help="zero latency; glides lag by 32 samples instead (the export prints the difference)",
    )
    command.add_argument(
        "--full-noise",
        action="store_true",
        help="filter noise with every tap, overlap-added: for weights trained so (default: cropped, as the original)",
    )
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    with stage(f"export {options.model}") as report:
        bundle, line = _exported(options, report)
    say(line)
    out.print(bundle.folder, soft_wrap=True)


def _exported(options: argparse.Namespace, report: Report) -> tuple[Bundle, str]:
    variant = {option: getattr(options, option) for option in ("reverb", "causal", "full_noise")}
    if ":" not in options.model:
        blocks = options.block or bundles.BLOCKS
        return bundles.export_model(options.model, options.output, blocks, report, options.checkpoint, **variant)
    if options.checkpoint or variant_name("", **variant):
        raise BenchError(
            f"{options.model} is built by its own code: leave out --checkpoint, --no-reverb, --causal and --full-noise"
        )
    return bundles.export_own(options.model, report, options.output, options.block)


def add_convert(commands: Commands) -> None:
    """`tonearm convert`."""
    command = add_command(
        commands,
        "convert",
        "write the weights of a checkpoint as .safetensors, which can hold nothing else",
        "convert last.ckpt hpn-reduced.safetensors",
    )
    command.add_argument("old", type=Path, metavar="OLD", help="a checkpoint: .pt, .pth, .ckpt, .safetensors")
    command.add_argument("new", type=Path, metavar="NEW", help="the file to write, a new .safetensors")
    command.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    with bundles.needing_extra("converting"):
        from ...models.files.checkpoints import convert
    done = convert(options.old, options.new)
    for note in done.notes:
        say(f"{options.old}: {printable(note)}")
    tensors = done.state.values()
    numbers, size = sum(tensor.numel() for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
    was = options.old.stat().st_size
    say(f"kept: {len(tensors)} tensors, {numbers} numbers, {size / 1e6:.2f} MB of {was / 1e6:.2f} MB")
    out.print(options.new, soft_wrap=True)


def add_import(commands: Commands) -> None:
    """`tonearm import`."""
    command = add_command(
        commands,
        "import",
        "make a bundle of an ONNX graph made elsewhere, verified against the original file",
        "import amp.onnx --sample-rate 48000 --state h_in=h_out",
    )
    command.add_argument("graph", type=Path, metavar="FILE", help="a graph that takes blocks of float signals (.onnx)")
    command.add_argument("--sample-rate", type=positive, required=True, metavar="HZ")
    command.add_argument(
        "--state",
        type=lambda text: None if text == "none" else pair(text),
        nargs="+",
        action="extend",
        metavar="IN=OUT",
        help="each state's input and the output it comes back as, all of them, or none (default: guessed and shown)",
    )
    command.add_argument("--hop", type=positive, metavar="N", help="samples a call takes (default: guessed and shown)")
    command.add_argument("--latency", type=natural, default=0, metavar="N", help="samples it lags by (default: 0)")
    command.add_argument(
        "--set",
        type=pair,
        nargs="+",
        action="extend",
        default=[],
        metavar="IN=VALUE",
        help="give an input one value for good",
    )
    command.add_argument(
        "--dim",
        type=size,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=SIZE",
        help="fix a size that the graph leaves open, such as batch=1; INPUT:AXIS=SIZE where it has no name",
    )
    command.add_argument("--name", help="the bundle's name (default: the file's)")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: bundles/NAME")
    command.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> None:
    name = options.name or plain_name(options.graph.stem)
    with stage(f"import {options.graph}") as report:
        done = bundles.import_onnx(
            options.graph,
            name,
            options.output,
            report,
            sample_rate=options.sample_rate,
            states=None if options.state is None else _by_name(given for given in options.state if given),
            hop=options.hop,
            latency=options.latency,
            constants=_by_name(options.set),
            dims=_by_name(options.dim),
        )
    for line in str(done.plan).splitlines():
        say(line)
    say(f"{name}: {done.bundle.weights}; differs from the original by {done.error:.1e} of full scale")
    out.print(done.bundle.folder, soft_wrap=True)


def _by_name(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise BenchError(f"{name} is given twice: {found[name]} and {value}")
        found[name] = value
    return found
