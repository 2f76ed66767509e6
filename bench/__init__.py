"""The host's harness: sweeps on boards, raw records, pandas tables, reports, the command line."""

from __future__ import annotations

TYPE_CHECKING = False  # as in `cli`, which comes next
if TYPE_CHECKING:
    from typing import Any

    from .results.frames import Results
    from .results.store import load

__all__ = ["Results", "load"]


def __getattr__(name: str) -> Any:
    """Import when asked for: pandas takes half a second, which commands without tables need not wait."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .results import store

    return getattr(store, name)
