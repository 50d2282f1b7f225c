"""The states of a circuit."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from brama.telemetry import unknown

__all__ = ["State", "check_state"]


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
    FORCED_OPEN = "forced_open"
    """Somebody wants calls refused, until somebody wants otherwise; no clock and no probe."""
    DISABLED = "disabled"
    """Somebody wants calls to pass; they are counted and not judged."""
    METRICS_ONLY = "metrics_only"
    """Calls pass and are judged, and no verdict opens the circuit: a trial run of its policy."""


def check_state(value: Any) -> State:
    """`value` as a state; the word is accepted.

    Raises:
        ConfigError: there is no such state.
    """
    try:
        return State(value)
    except ValueError:
        raise unknown("state", value, tuple(State)) from None
