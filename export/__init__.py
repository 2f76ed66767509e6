"""From PyTorch to a bundle: the streaming convention, trace, simplify, stamp, verify."""
