"""The base class of all parts of a model that keep a state from one block to the next."""

from __future__ import annotations

from torch import nn

from ...export.streaming import Signals


class Stateful(nn.Module):
    """A piece that streams: `forward(..., states) -> (result, its new states)`; both are dicts by name.

    A piece takes its own states out of all the model's, so names are unique in a model.
    """

    def zero_states(self, batch: int) -> Signals:
        """The states before the first block; of a piece made of pieces, theirs."""
        return zero_states_of(self, batch)


def zero_states_of(module: nn.Module, batch: int) -> Signals:
    """The states of all pieces inside `module`, in its order."""
    states: Signals = {}
    for child in module.children():
        states |= child.zero_states(batch) if isinstance(child, Stateful) else zero_states_of(child, batch)
    return states
