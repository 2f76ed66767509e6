"""From what a person names, a model or a folder, to a bundle: exported when needed, and only then."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..device.text import printable
from ..models.catalogue import NAMES, find, resolve
from ..models.errors import how_to_install
from ..runtime.bundle import MANIFEST, Bundle, Provenance, read_bundle
from ..runtime.errors import BundleError
from ..runtime.progress import Progress
from . import user_modules
from .errors import BenchError
from .fidelity import compare
from .output.console import say
from .terms import BLOCKS

if TYPE_CHECKING:
    from ..export.foreign.convert import Import
    from ..export.streaming import StreamingModule
    from ..models.families.family import Family

FOLDER = Path("bundles")
OURS = ("untrained", "trained")  # weights that can be made again, or are here anyway
PACKAGE = Path(str(resources.files("tonearm.export"))).parent
# Of models/, what trains and what listens: no bundle changes with it.
TRAINING = {"training", "course", "distillation", "dataset", "phrases", "soundfont", "cards"}
TRAINING |= {"sound", "features", "quality", "spectral", "listening"}


def source_key(weights: Provenance, root: Path = PACKAGE) -> str:
    """A hash of everything a bundle is made of: weights, the code below `root`, the exporter's version."""
    digest = hashlib.sha256(repr(weights).encode())
    for package in ("torch", "onnx", "onnxsim", "onnxscript"):
        digest.update(f"{package} {_version(package)}\n".encode())
    for file in _sources(root):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources(root: Path) -> list[Path]:
    """The source files that a bundle depends on, in an order that is the same everywhere."""
    files = [file for folder in ("models", "export", "runtime") for file in (root / folder).rglob("*.py")]
    return sorted(file for file in files if not TRAINING & {*file.relative_to(root).with_suffix("").parts})


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


@contextlib.contextmanager
def needing_extra(doing: str, extra: str = "export") -> Iterator[None]:
    """What the block imports may be missing: `BenchError` says what, and how it is installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise BenchError(f"{doing} needs {error.name}, which is not installed: {how_to_install(extra)}") from error


def export_model(
    name: str,
    folder: Path | None,
    blocks: Sequence[int],
    progress: Progress,
    checkpoint: Path | None = None,
    weights: str = "",
    **options: bool,
) -> tuple[Bundle, str]:
    """Export a model as `folder` (default: `bundles/NAME`), with the options of `catalogue.resolve`; needs torch.

    Returns:
        The bundle, and a line about it; for a causal model it says how far that is from the centred one.
    """
    resolved = resolve(name, checkpoint, weights, **options)
    folder = folder or _own_folder(resolved.title, resolved.provenance)
    _load_exporter(progress)
    with needing_extra("exporting"):
        module = resolved.load(lambda line: say(f"{checkpoint or name}: {printable(line)}"))
    bundle, line = _export(module, resolved.title, folder, blocks, resolved.provenance, progress)
    if module.latency == 0:
        line += "; " + _causal_line(module, resolve(name, checkpoint, weights, **{**options, "causal": False}).load())
    return bundle, line


def _causal_line(causal: Family, centred: Family) -> str:
    """What a player gives for no latency."""
    wave, spectrum = compare(centred, causal)
    return (
        f"causal: {centred.latency} samples less latency, glides lag by as many instead; compared with the "
        f"centred model, the spectrum has an SNR of {spectrum.snr_db:.0f} dB (the waveform {round(wave.snr_db)} dB: a "
        "glide shifts the phase, which is not audible)"
    )


def export_own(
    target: str, progress: Progress, folder: Path | None = None, blocks: Sequence[int] | None = None
) -> tuple[Bundle, str]:
    """Export a person's own module, `my_module:build`, as `folder` (default: `bundles/my_module`); needs torch.

    Returns:
        The bundle and one line about it, which names the blocks: by default `default_blocks`.

    Raises:
        BenchError: when there is no such module, or it can't be built.
        LintError: when the linter finds something; nothing is written.

    What the linter only warns of is said on the way.
    """
    name = user_modules.bundle_name(target)
    _check_name(name, "give your file or function another name")
    folder = folder or _own_folder(name, Provenance(target, "module", target))
    _load_exporter(progress)
    with contextlib.redirect_stdout(sys.stderr):  # the module may print, at every call
        progress(f"build {target}", 0, 1)
        module = user_modules.load_own(target)
        progress(f"check {target}", 0, 1)
        warnings = user_modules.check(module, target)
        for warning in warnings:
            say(f"{target}: warning, for input above full scale: {warning}")
        blocks = blocks or default_blocks(module.hop)
        bundle, line = _export(module, name, folder, blocks, user_modules.describe(module, target), progress)
    return bundle, f"{line}; blocks of {', '.join(map(str, bundle.graphs))} samples"


def _check_name(name: str, instead: str) -> None:
    """`BenchError` where another bundle would be taken for one of Tonearm's models."""
    if name in NAMES:
        raise BenchError(f"{name} is the name of one of Tonearm's models: {instead}")


def _own_folder(name: str, weights: Provenance) -> Path:
    """`bundles/NAME`; `BenchError` where that holds weights of another origin, which would be lost."""
    folder = FOLDER / name
    there = _exported(folder)
    if there and there.provenance.kind not in OURS and not _is_newer(weights, there.provenance):
        raise BenchError(f"{folder} holds {there.name}, {there.weights}: move it away, or name a folder with -o")
    return folder


def _is_newer(new: Provenance, old: Provenance) -> bool:
    """Whether a person who exports `new` means to replace `old`: a checkpoint, or the same module or graph."""
    return new.kind == old.kind and (new.kind == "checkpoint" or new.source == old.source)


def default_blocks(hop: int) -> list[int]:
    """Those of `BLOCKS` that are whole numbers of hops; if none is, one, two, four and eight hops."""
    return [block for block in BLOCKS if block % hop == 0] or [hop, 2 * hop, 4 * hop, 8 * hop]


def _load_exporter(progress: Progress) -> None:
    progress("load torch", 0, 1)
    with needing_extra("exporting"):
        if find_spec("torch") is None:  # which `write` imports later than other things
            raise ModuleNotFoundError(name="torch")
        from ..export import write  # noqa: F401


def _export(
    module: StreamingModule, name: str, folder: Path, blocks: Sequence[int], weights: Provenance, progress: Progress
) -> tuple[Bundle, str]:
    """Export a module; the bundle and one line about it."""
    from ..export.write import export_bundle

    done = export_bundle(module, name, folder, blocks, weights=weights, source=source_key(weights), progress=progress)
    text = f"{name}: {weights.text}; differs from PyTorch by {done.error:.1e} of full scale"
    return done.bundle, text + (f"; not simplified: {done.unsimplified}" if done.unsimplified else "")


def import_onnx(path: Path, name: str, folder: Path | None, progress: Progress, **how: Any) -> Import:
    """Make a bundle of an ONNX graph; `how` is what `export.foreign.convert.import_graph` takes by name. Needs onnx."""
    _check_name(name, "give the bundle another name with --name")
    with needing_extra("importing"):
        from ..export.foreign.convert import import_graph

        folder = folder or _own_folder(name, Provenance("", "graph", path.name))
        return import_graph(path, name, folder, progress=progress, **how)


def ensure_bundle(
    what: str, progress: Progress, blocks: Sequence[int] | None = None, folder: Path = FOLDER
) -> tuple[Bundle, str]:
    """The bundle of a model's name (exported to `folder/NAME` when needed) or of a folder, and a line about it.

    A bundle with a person's own weights is used as it is: never is it replaced by ours or by random ones.
    """
    if "/" in what or (Path(what) / MANIFEST).is_file():
        bundle = read_bundle(Path(what))
        return bundle, f"{bundle.name}: {bundle.weights}"
    if ":" in what:
        raise BenchError(f"{what} is not exported yet: run tonearm export {what}, then pass the resulting folder")
    target = folder / what
    bundle = _exported(target)
    if bundle and what not in NAMES:
        return bundle, f"{bundle.name}: {bundle.weights}"
    if what not in NAMES and Path(what).is_dir():
        raise BenchError(f"{what} is a folder without a bundle: name a folder made by tonearm export")
    find(what)
    if bundle is None:
        return export_model(what, target, blocks or BLOCKS, progress)
    if bundle.provenance.kind not in OURS:
        _check_trained(bundle, what, blocks or ())
    elif not _is_fresh(bundle, what, blocks or ()):
        return export_model(what, target, sorted({*(blocks or BLOCKS), *bundle.graphs}), progress)
    return bundle, f"{what}: {bundle.weights}; already exported in {target}"


def ensure_default(what: str, progress: Progress, folder: Path = FOLDER) -> tuple[Bundle, bool]:
    """As `ensure_bundle`; whether it is a model by name that has all `BLOCKS` now, whatever it had before."""
    bundle, _ = ensure_bundle(what, progress, None, folder)
    if "/" in what or what not in NAMES or bundle.provenance.kind not in OURS:
        return bundle, False
    return ensure_bundle(what, progress, BLOCKS, folder)[0], True


def _exported(folder: Path) -> Bundle | None:
    try:
        return read_bundle(folder)
    except BundleError:
        return None


def _check_trained(bundle: Bundle, name: str, blocks: Sequence[int]) -> None:
    if bundle.name != name:
        raise BenchError(f"{bundle.folder} holds {bundle.name}, not {name}: name the folder, or move it away")
    bundle.check_files()
    missing = sorted(set(blocks) - set(bundle.graphs))
    if missing:
        raise BenchError(
            f"{bundle.folder} ({bundle.weights}) has no graph for blocks of {', '.join(map(str, missing))}: "
            "export it again with --checkpoint and all the blocks"
        )


def _is_fresh(bundle: Bundle, name: str, blocks: Sequence[int]) -> bool:
    """Whether a bundle is whole, made from what an export would be made from now, and has all `blocks`."""
    try:
        bundle.check_files()
    except BundleError:
        return False
    made_now = bundle.source == source_key(resolve(name).provenance) and bundle.name == name
    return made_now and set(blocks) <= set(bundle.graphs)
