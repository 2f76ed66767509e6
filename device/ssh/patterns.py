"""Patterns as OpenSSH writes them: `*` and `?`, in lists with commas, where one after a `!` excludes."""

from __future__ import annotations

import fnmatch


def fits(text: str, pattern: str) -> bool:
    """Whether one pattern is about a text; brackets, which addresses with ports have, mean themselves."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def is_listed(text: str, patterns: str) -> bool:
    """Whether a list of patterns is about a text: one fits, and none after a `!` does."""
    pairs = [(pattern.removeprefix("!"), pattern.startswith("!")) for pattern in patterns.split(",")]
    fitting = [negated for pattern, negated in pairs if fits(text, pattern)]
    return bool(fitting) and not any(fitting)


def is_host_listed(host: str, patterns: str) -> bool:
    """As `is_listed`, for names of hosts, where case does not count."""
    return is_listed(host.lower(), patterns.lower())
