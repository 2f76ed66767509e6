"""The commands of `tonearm`, one module each: what it takes, and what it prints."""
