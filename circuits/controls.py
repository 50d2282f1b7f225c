"""Orders to a breaker: to open, close and force it, to change its policy, to store and restore it.

Each takes effect at once, in the thread that gives it. While somebody holds the circuit isolated,
it stays refused; an order then decides what it goes back to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any

from .gate import Gate
from .generation import Meter
from .isolation import Isolation
from .orders import Order
from .policy import OPTIONS, Policy
from .rare import NEVER, Rare
from .state import State
from .stored import check_stored

__all__ = ["Controls"]

FORCED = {
    State.FORCED_OPEN: ("state_change", "circuit_opened"),
    State.DISABLED: ("state_change",),
    State.METRICS_ONLY: ("state_change",),
}


class Controls(Gate):
    """A breaker that takes orders."""

    __slots__ = ()

    def open(self, reason: str | None, expires_in: float | None) -> None:
        """Open now; `expires_in` seconds replace the policy's expiry this once."""

        def apply(now: float) -> None:
            rare = self._rare
            seconds = self.policy.expiry if rare is None or rare.expiry is None else rare.expiry
            until = now + (seconds if expires_in is None else expires_in)
            if rare is not None and rare.isolated:
                rare.open_below(now, until)
                return
            self._failures = self._failure_count()
            self.reason = reason
            if self.state is State.OPEN:
                self._retime(until)
            else:
                self.reopen_at = until
                self._open(reason, now)

        # On an open circuit there is nothing to publish, but the actor has a timer to set anew.
        self._order(apply, ring=True)

    def half_open(self, reason: str | None) -> None:
        """Be half-open now, by way of open, with no probe out."""

        def apply(now: float) -> None:
            rare = self._rare
            if rare is not None and rare.isolated:
                rare.open_below(now, now)
                return
            if self.state not in (State.OPEN, State.HALF_OPEN):
                self._forget_failures(now)
                self.reopen_at = now
                self.reason = reason
                self._open(reason, now)
            if self.state is State.HALF_OPEN:
                self._next_generation(now)
                self._free_place()
            else:
                self._half_open(reason or "half-open", now)

        self._order(apply, ring=True)

    def close(self, reason: str | None) -> None:
        """Close now and forget the failures."""

        def apply(now: float) -> None:
            if self._isolated(State.CLOSED):
                return
            self._opens = 0
            if self.state is State.CLOSED:
                self._forget_failures(now)
            else:
                self._close(reason, now)

        self._order(apply)

    def reset(self, reason: str | None) -> None:
        """Close now and forget everything that led here, the growth of the expiry included."""

        def apply(now: float) -> None:
            if self._isolated(State.CLOSED):
                return
            self._opens = 0
            self.reason = None
            changed = () if self.state is State.CLOSED else ("state_change",)
            self._close(reason, now, events=(*changed, "circuit_reset"))

        self._order(apply)

    def force(self, state: State, reason: str | None) -> None:
        """Go to forced_open, disabled or metrics_only, and stay until the next order."""

        def apply(now: float) -> None:
            if self._isolated(state):
                return
            self._force(state, reason, now)

        self._order(apply, ring=True)

    def _force(self, state: State, reason: str | None, now: float) -> None:
        if self.state is state:
            return
        self._opens = 0
        self._failures = 0
        self.reopen_at = inf if state is State.FORCED_OPEN else NEVER
        if state is State.FORCED_OPEN:
            self.reason = reason
            self._opened_count += 1
            self._opened_at = self.shared.wall()
        self._move(state, reason, now, FORCED[state])

    def _forget_failures(self, now: float) -> None:
        """Start the judgement of a closed circuit from nothing."""
        self._failures = 0
        self._incidents = None
        if type(self.current) is Meter:  # what a window has seen is in its generation
            self._next_generation(now)
            self._readmit()

    # Isolation

    def isolate(self, reason: str | None) -> Isolation:
        """Refuse all calls until this and all other holders have let go."""

        held: list[Rare] = []

        def apply(now: float) -> None:
            rare = self._have_rare()
            rare.isolated += 1
            held.append(rare)
            if rare.isolated == 1:
                rare.below = self.state
                if self.state is State.HALF_OPEN:
                    rare.below = State.OPEN  # whose expiry is over
                self._isolate(reason, now)

        self._order(apply, ring=True)
        return Isolation(partial(self._let_go, held), reason)

    def _isolate(self, reason: str | None, now: float) -> None:
        if self.state is State.FORCED_OPEN:
            return
        kept = self.reopen_at if self.state is State.OPEN else now
        since = self._since if self.state is State.OPEN else now
        self._failures = self._failure_count()
        cause = self._have_rare().cause
        self.reopen_at = inf
        self.reason = reason
        self._opened_at = self.shared.wall()
        self._move(State.FORCED_OPEN, reason, now, FORCED[State.FORCED_OPEN])
        rare = self._have_rare()
        rare.resume_at, rare.open_since, rare.cause = kept, since, cause

    def _isolated(self, state: State) -> bool:
        """Whether an order has to wait; it decides what the circuit goes back to."""
        rare = self._rare
        if rare is None or not rare.isolated:
            return False
        rare.below = state
        return True

    def _let_go(self, held: list[Rare]) -> None:
        def apply(now: float) -> None:
            rare = held[0]  # by now: what was ordered inside a locked section comes in order
            # As long as anybody holds the circuit, this is one object; it is another one after a
            # new registration, which whoever held the former has no share in.
            if rare is not self._rare or not rare.isolated:
                return
            rare.isolated -= 1
            if rare.isolated or self.state is not State.FORCED_OPEN:
                return
            below = rare.below
            if below is State.OPEN:
                self.reopen_at = rare.resume_at
                self._move(State.OPEN, "isolation ended", now, ("state_change", "circuit_opened"))
                self._look_at_clock(now)
            elif below is State.CLOSED:
                self._close("isolation ended", now)
            else:
                self._force(below, "isolation ended", now)

        order = Order(order="release", connection=self.name, scope=self.scope)
        self.shared.ordered(order)
        self._order(apply, ring=True)

    # The expiry

    def set_expiry(self, seconds: float) -> None:
        """Stay open for so long from now on, in the policy's place; an open circuit, too."""

        def apply(_now: float) -> None:
            rare = self._have_rare()
            rare.expiry = seconds
            if rare.isolated:
                rare.resume_at = rare.open_since + seconds
            if self.state is State.OPEN:
                self._retime(self._since + seconds)

        self._order(self._and_look(apply), ring=True)

    def reset_expiry(self) -> None:
        """Go by the policy again; the expiry of an open circuit is over now."""

        def apply(now: float) -> None:
            if self._rare is not None:
                self._rare.expiry = None
                self._rare.resume_at = now
            if self.state is State.OPEN:
                self._retime(now)

        self._order(self._and_look(apply), ring=True)

    def disable_expiry(self) -> None:
        """Stay open until somebody closes it."""

        def apply(_now: float) -> None:
            rare = self._have_rare()
            rare.expiry = rare.resume_at = inf
            if self.state is State.OPEN:
                self._retime(inf)

        self._order(apply, ring=True)

    def _and_look(self, apply: Callable[[float], None]) -> Callable[[float], None]:
        def both(now: float) -> None:
            apply(now)
            self._look_at_clock(now)

        return both

    # The policy

    def reconfigure(self, policy: Policy, options: Mapping[str, Any]) -> None:
        """Replace the policy; the state, the failures and a running expiry stay.

        A window goes on with what it has seen unless `trip`, `slow_after` or `slow_rate` change.
        Calls under way under another policy end as late results, and probes give their places
        back.
        """

        def apply(now: float) -> None:
            old = self.policy
            self.policy = policy
            self.options = options
            if policy == old:
                return
            self._failures = self._failure_count()
            same = (policy.trip, policy.slow_after, policy.slow_rate) == (
                old.trip,
                old.slow_after,
                old.slow_rate,
            )
            self._next_generation(now, keep=same)
            self._free_place()
            self._readmit()
            if self._wants("configured"):
                changed = [
                    option for option in OPTIONS if getattr(policy, option) != getattr(old, option)
                ]
                self._append(("configured",), {"state": self.state, "changed": changed}, now)

        self._order(apply, ring=True)

    # Storing and restoring

    def dump(self) -> dict[str, Any]:
        """The state as plain values that JSON can carry."""
        return self._read(self._dump)

    def _dump(self, now: float) -> dict[str, Any]:
        rare = self._rare
        state, reopen_at = self.state, self.reopen_at
        if rare is not None and rare.isolated:  # who holds it does not outlive the process
            state, reopen_at = rare.below, rare.resume_at
        remaining: float | None = None
        if state in (State.OPEN, State.HALF_OPEN):
            left = max(0.0, reopen_at - now)
            remaining = None if left == inf else left
        expiry = None if rare is None else rare.expiry
        return {
            "version": 1,
            "connection": self.name,
            "scope": self.scope,
            "state": state.value,
            "remaining": remaining,
            "saved_at": self.shared.wall(),
            "failure_count": self._failure_count(),
            "opens": self._opens,
            "opened_at": self._opened_at,
            "opened_count": self._opened_count,
            "last_failure_time": self._last_failure,
            "last_success_time": self._last_success(now),
            "reason": self.reason,
            "expiry": None if expiry == inf else expiry,
            "expiry_disabled": expiry == inf,
            "attempts": 0 if rare is None else rare.attempts,
        }

    def load(self, stored: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave; the time since then has passed for an open circuit."""
        plan = check_stored(stored)

        def apply(now: float) -> None:
            state: State = plan["state"]
            opened = state in (State.OPEN, State.HALF_OPEN)
            left = inf if plan["remaining"] is None else plan["remaining"]
            passed = max(0.0, self.shared.wall() - plan["saved_at"])
            reopen_at = now + max(0.0, left - passed)
            rare = self._rare
            if rare is not None and rare.isolated:
                if opened:
                    rare.open_below(now, reopen_at)
                else:
                    rare.below = state
                return
            self._opened_at = plan["opened_at"]
            self._opened_count = plan["opened_count"]
            self._last_failure = plan["last_failure_time"]
            self._remember_success(plan["last_success_time"], now)
            expiry = inf if plan["expiry_disabled"] else plan["expiry"]
            if expiry is not None or self._rare is not None:
                self._have_rare().expiry = expiry
            if opened:
                self._failures = plan["failure_count"]
                self.reason = plan["reason"]
                if self.state is State.OPEN:
                    self._retime(reopen_at)
                else:
                    self.reopen_at = reopen_at
                    self._move(State.OPEN, "restored", now, ("state_change", "circuit_opened"))
                if plan["attempts"]:
                    self._have_rare().attempts = plan["attempts"]
                self._look_at_clock(now)
            elif state is State.CLOSED:
                if self.state is not State.CLOSED:
                    self._close("restored", now)
                self._failures = plan["failure_count"]
                self._resume_row()
                self.reason = plan["reason"]
            else:
                self._force(state, "restored", now)
                self._opened_count = plan["opened_count"]
            self._opens = plan["opens"]

        self._order(apply, ring=True)
