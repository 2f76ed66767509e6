"""What is trained: model families in PyTorch, their names and checkpoints."""
