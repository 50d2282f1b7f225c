"""The states of a circuit."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["State"]


class State(StrEnum):
    """Where a circuit stands.

    The values are the words of the Brama notification specification, so that
    ``event.data["new_state"] == "open"`` and ``circuit.state is State.OPEN`` say the same.
    """

    CLOSED = "closed"
    """Calls pass; failures are counted."""
    OPEN = "open"
    """Calls are refused until the expiry is over."""
    HALF_OPEN = "half_open"
    """A few calls pass as probes; their outcome decides."""
