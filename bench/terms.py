"""The words of results, each defined here alone: clocks, modes, engines, protocols. Nothing is imported for them."""

from __future__ import annotations

# A machine whose virtual clock counts instructions; everything else counts time.
INSTRUCTIONS = "instructions"
TIME = "time"
MODES = BURST, PACED = "burst", "paced"
ENGINES = ONNXRUNTIME, TORCH = "onnxruntime", "torch"
PROTOCOLS = DDX7, PAPER = "ddx7", "paper"  # published ones
PAPER_THREADS = (1, 2, 4)  # of the paper's harness
BUFFERS = (2, 3, 4)
PARTS = ("decoder", "synth", "reverb")
BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)  # that a model is exported with, unless others are asked for
