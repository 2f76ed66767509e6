"""The words of results: clocks, modes, engines, protocols. Importing them costs nothing."""

from __future__ import annotations

from ..device.descriptor import INSTRUCTIONS, TIME

CLOCKS = TIME, INSTRUCTIONS
MODES = BURST, PACED = "burst", "paced"
ENGINES = ONNXRUNTIME, TORCH = "onnxruntime", "torch"
PROTOCOLS = DDX7, PAPER = "ddx7", "paper"  # published ones
PAPER_THREADS = (1, 2, 4)  # of the paper's harness
BUFFERS = (2, 3, 4)
PARTS = ("decoder", "synth", "reverb")
BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)  # that a model is exported with, unless others are asked for
