"""How long a circuit stays open: pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .policy import Policy

__all__ = ["open_for"]


def open_for(policy: Policy, opens: int, random: Callable[[], float]) -> float:
    """Seconds that a circuit stays open when it trips for the `opens`-th time in a row.

    Fixed: always ``policy.expiry``, which also stands in for a function of the user's that gives
    none. Progressive: ``initial_expiry * backoff_factor ** (opens -
        1)``, at most ``max_expiry``, spread by ``jitter`` so that many circuits do not probe in
        step (a jitter of 0.1 takes off up to a tenth).

    Args:
        policy: the policy of the circuit.
        opens: consecutive automatic opens, this one included; 1 or more.
        random: draws from [0, 1).
    """
    if policy.expiry_strategy != "progressive":
        return policy.expiry
    try:
        grown = policy.initial_expiry * policy.backoff_factor ** (opens - 1)
    except OverflowError:
        grown = policy.max_expiry
    return min(grown, policy.max_expiry) * (1.0 - policy.jitter * random())
