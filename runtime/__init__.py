"""What runs on the board: read a bundle, stream it, measure itself. Standard library, numpy, onnxruntime."""

import os

# ONNX Runtime 1.31 reports its use to its maker from a background thread, and writes outside our folder. Nobody
# asked for that on a stage, and it would be measured along.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
