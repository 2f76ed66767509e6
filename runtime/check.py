"""Check a whole bundle before any of it goes to a board."""

from __future__ import annotations

from .bundle import Bundle
from .clip import read_golden
from .graphs import Graph


def check_bundle(bundle: Bundle) -> None:
    """`BundleError` naming the first file that is not what the manifest says, or that no board should be given.

    Every graph is read as data, see `graphs.Graph`, and agrees with the manifest; every operator is one that ONNX
    Runtime knows; the golden vectors are there. ONNX Runtime opens nothing.
    """
    bundle.check_files()
    for block in bundle.graphs:
        graph = Graph(bundle, block)
        graph.check_ends()
        graph.check_operators()
    read_golden(bundle)
