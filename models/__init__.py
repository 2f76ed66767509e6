"""Model families in PyTorch, their names, checkpoints and training."""
