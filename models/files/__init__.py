"""Weights as training code leaves them in files, read without running anything that a file may carry."""
