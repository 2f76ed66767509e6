"""From what a person names, a model or a folder, to a bundle: exported when needed, and only then."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path

from ..models.catalogue import describe_weights, find, load
from ..runtime.bundle import MANIFEST, Bundle, read_bundle
from ..runtime.errors import BundleError
from .console import Report
from .errors import BenchError

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
        raise BenchError("exporting needs PyTorch, which is not installed: pip install 'tonearm[export]'")
    report("load torch", 0, 1)
    from ..export.write import export_bundle

    module = load(name, checkpoint)
    done = export_bundle(module, name, folder, blocks, weights=weights, source=source_key(weights), progress=report)
    text = f"{name}: {weights}; differs from PyTorch by {done.error:.1e} of full scale"
    return done.bundle, text + (f"; not simplified: {done.unsimplified}" if done.unsimplified else "")


def existing(folder: Path, blocks: Sequence[int], source: str) -> Bundle | None:
    """The bundle in `folder` if it is whole, made from `source`, and has all `blocks`."""
    try:
        bundle = read_bundle(folder)
        bundle.check_files()
    except BundleError:
        return None
    return bundle if bundle.source == source and set(blocks) <= set(bundle.graphs) else None


def ensure_bundle(
    what: str, report: Report, blocks: Sequence[int] | None = None, folder: Path = FOLDER
) -> tuple[Bundle, str]:
    """The bundle of a model's name (exported to `folder/NAME` when needed) or of a folder, and a line about it."""
    if "/" in what or (Path(what) / MANIFEST).is_file():
        bundle = read_bundle(Path(what))
        return bundle, f"{bundle.name}: {bundle.weights}"
    find(what)
    target = folder / what
    bundle = existing(target, blocks or (), source_key(describe_weights(None)))
    if bundle:
        return bundle, f"{what}: {bundle.weights}; already exported in {target}"
    return export_model(what, target, blocks or BLOCKS, report)
