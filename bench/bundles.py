"""From what a person names, a model or a folder, to a bundle: exported when needed, and only then."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.catalogue import describe_weights, find, load
from ..runtime.bundle import MANIFEST, Bundle, read_bundle
from ..runtime.errors import BundleError
from .console import Report
from .errors import BenchError

if TYPE_CHECKING:
    from ..export.foreign import Import

BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)
FOLDER = Path("bundles")


def source_key(weights: str) -> str:
    """A hash of everything a bundle is made of: weights, our code, the exporter's version."""
    digest = hashlib.sha256(weights.encode())
    for package in ("torch", "onnx", "onnxsim", "onnxscript"):
        digest.update(f"{package} {_version(package)}\n".encode())
    for folder in ("models", "export", "runtime"):
        for entry in sorted(resources.files(f"tonearm.{folder}").iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                digest.update(entry.read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def export_model(
    name: str, folder: Path, blocks: Sequence[int], report: Report, checkpoint: Path | None = None
) -> tuple[Bundle, str]:
    """Export a model by name; the bundle and one line about it. Needs torch."""
    find(name)
    weights = describe_weights(checkpoint)
    if find_spec("torch") is None:
        raise _not_installed(ModuleNotFoundError(name="torch"))
    report("load torch", 0, 1)
    try:
        from ..export.write import export_bundle
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    module = load(name, checkpoint)
    done = export_bundle(module, name, folder, blocks, weights=weights, source=source_key(weights), progress=report)
    text = f"{name}: {weights}; differs from PyTorch by {done.error:.1e} of full scale"
    return done.bundle, text + (f"; not simplified: {done.unsimplified}" if done.unsimplified else "")


def import_onnx(path: Path, name: str, folder: Path, report: Report, **how: Any) -> Import:
    """Make a bundle of an ONNX graph; `how` is what `export.foreign.import_graph` takes by name. Needs onnx."""
    try:
        from ..export.foreign import import_graph
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    return import_graph(path, name, folder, progress=report, **how)


def plain_name(text: str) -> str:
    """A bundle's name made of a file's: what is no letter or digit becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("._+-") or "imported"


def _not_installed(error: ModuleNotFoundError) -> BenchError:
    return BenchError(f"making a bundle needs {error.name}, which is not installed: pip install 'tonearm[export]'")


def ensure_bundle(
    what: str, report: Report, blocks: Sequence[int] | None = None, folder: Path = FOLDER
) -> tuple[Bundle, str]:
    """The bundle of a model's name (exported to `folder/NAME` when needed) or of a folder, and a line about it.

    A bundle with trained weights is used as it is: never is it replaced by random ones.
    """
    if "/" in what or (Path(what) / MANIFEST).is_file():
        bundle = read_bundle(Path(what))
        return bundle, f"{bundle.name}: {bundle.weights}"
    find(what)
    target = folder / what
    bundle = _exported(target)
    if bundle is None:
        return export_model(what, target, blocks or BLOCKS, report)
    if bundle.weights != describe_weights(None):
        _check_trained(bundle, blocks or ())
    elif not _is_fresh(bundle, blocks or ()):
        return export_model(what, target, sorted({*(blocks or BLOCKS), *bundle.graphs}), report)
    return bundle, f"{what}: {bundle.weights}; already exported in {target}"


def _exported(folder: Path) -> Bundle | None:
    try:
        return read_bundle(folder)
    except BundleError:
        return None


def _check_trained(bundle: Bundle, blocks: Sequence[int]) -> None:
    bundle.check_files()
    missing = sorted(set(blocks) - set(bundle.graphs))
    if missing:
        raise BenchError(
            f"{bundle.folder} ({bundle.weights}) has no graph for blocks of {', '.join(map(str, missing))}: "
            "export it again with --checkpoint and all the blocks"
        )


def _is_fresh(bundle: Bundle, blocks: Sequence[int]) -> bool:
    """Whether a bundle is whole, made from what an export would be made from now, and has all `blocks`."""
    try:
        bundle.check_files()
    except BundleError:
        return False
    return bundle.source == source_key(bundle.weights) and set(blocks) <= set(bundle.graphs)
