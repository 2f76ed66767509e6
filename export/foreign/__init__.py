"""Bundles of ONNX graphs that other tools made."""
