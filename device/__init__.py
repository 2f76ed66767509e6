"""Boards: where they are, how to reach them, provision, deploy."""
