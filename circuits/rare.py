"""What most circuits have nothing of at most times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from brama.telemetry import Context

from .generation import Generation, Meter
from .outcome import Outcome
from .state import State

__all__ = ["NEVER", "Rare"]

NEVER = -inf


class Rare:
    """What most circuits have nothing of at most times.

    Attributes:
        cause: what opened it: the fields of a `Cause`.
        isolated: how many hold it isolated; `below` is the state that it goes back to,
            and `resume_at` the time at which it then admits probes, if that is open, which it
            has been since `open_since`.
        expiry: the open time that `set_expiry` has put in the policy's place; infinite: disabled.
        attempts: probes and health checks that were made since it was closed last.
        exceeded: the present excess has been told of (metrics_only).
        asked: an opening for which the user's expiry function is to be asked, and its events,
            which wait for the answer.
        outcomes: not yet seen by the user's conditions; `watching`: a thread is showing them.
        waiters: each wakes one call that waits for the verdict of the probes; `wake`: it is time.
    """

    # No slots: as defaults of the class they cost nothing at the moment of a transition.
    cause: tuple[str | None, int, float] | None = None
    isolated = 0
    below = State.CLOSED
    resume_at = NEVER
    open_since = NEVER
    expiry: float | None = None
    attempts = 0
    exceeded = False
    asked: tuple[Generation, int, Outcome] | None = None
    held: tuple[tuple[str, ...], dict[str, Any], float, float, Context | None] | None = None
    outcomes: deque[tuple[Meter, Outcome]] | None = None
    watching = False
    waiters: list[Callable[[], object]] | None = None
    wake = False

    def open_below(self, now: float, until: float) -> None:
        """Have the isolated circuit be open when it is let go; `until` then, if that is to come."""
        if self.below is not State.OPEN:
            self.below, self.open_since = State.OPEN, now
        self.resume_at = until

    @property
    def idle(self) -> bool:
        """Whether nothing here is worth keeping while the circuit is closed."""
        return not (
            self.isolated
            or self.expiry is not None
            or self.outcomes
            or self.watching
            or self.waiters
            or self.asked
        )
