"""Statistics of step times, and what coincided with slow steps. Nothing here reads or writes a file."""
