"""What runs on the board: read a bundle, stream it, measure itself. Standard library, numpy, onnxruntime."""
