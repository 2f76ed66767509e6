"""NumPy, ONNX Runtime and the runner on a board: which wheels fit, where they come from, how they get there."""
