"""Tiny wheels that stand for ONNX Runtime and numpy where the question is what becomes of a wheel on a board."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tonearm.device.runtimes.wheels import Pin

NUMPY = """
version = "1"
float32 = None
class Array:
    shape = (2, 1, 1, 32)
    def reshape(self, *_): return self
    def all(self): return True
def linspace(*_, **__): return Array()
def isfinite(array): return array
"""
WORKS = """
__version__ = "1"
import numpy
class SessionOptions: pass
class InferenceSession:
    def __init__(self, *_, **__): pass
    def run(self, *_): return [numpy.Array()]
"""
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
DIES_AT_WORK = WORKS.replace("return [", f"{DIES}; return [")
NONSENSE = WORKS.replace("return [numpy.Array()]", "numpy.Array.shape = (); return [numpy.Array()]")
RAISES = 'raise ImportError("/lib/libm.so.6: version `GLIBC_2.99\' not found")'


def tiny_wheel(folder: Path, name: str, version: str, source: str, tag: str = "py3-none-any") -> Path:
    """A wheel of one module; made twice, it is the same."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-{tag}.whl"
    files = {
        f"{name}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(zipfile.ZipInfo(file), content)
    return path


def tiny_pins(folder: Path, *sources: str) -> list[Pin]:
    """Versions to try in that order, each with such an ONNX Runtime, whose wheels lie in `folder`."""
    tiny_wheel(folder, "numpy", "1.0", NUMPY)
    versions = [f"{len(sources) - index}.0" for index in range(len(sources))]
    for version, source in zip(versions, sources, strict=True):
        tiny_wheel(folder, "onnxruntime", version, source)
    return [Pin(version, "1.0", range(9, 99)) for version in versions]
