"""How what takes long is told to whoever watches."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done or the stage's number from 1, and of how much (0: unknown)."""

WAIT = "wait for"
"""So begins what is said while nothing is done but waiting for somebody else."""
