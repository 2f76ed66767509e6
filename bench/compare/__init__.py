"""A teacher and its students, or results before and after a change, set side by side."""
