"""The state machine of one circuit: states, generations, probes and the moves between them.

Everything here runs under the lock of the breaker, is told the time, and calls no code of users.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from math import inf
from typing import Any

from brama.telemetry import Context

from .connection_kind import ConnectionKind
from .evidence import Seen
from .fault import NO_FAULT, Fault
from .feed import MOVED, TIMED
from .fields import Fields
from .generation import (
    NOT_WATCHED,
    UNUSED,
    Generation,
    Meter,
    Retired,
    Totals,
    new_generation,
    parsed,
    value,
)
from .policy import Policy
from .rare import NEVER, Rare
from .recorder import GATED, UNASKED, Recorder
from .shared import Shared
from .state import State
from .windows import Judge

__all__ = ["CLOSED", "HALF_OPEN", "JUDGED", "OPEN", "PASSING", "Machine"]

NONE = Totals()
NO_CALLS = repr(UNUSED)

IDLE = 0.1
"""Seconds between two looks at a half-open circuit that has no probe out, however short its lease:
so many of them must not keep the loop busy."""

# An enum looks its members up by code of Python's, each time.
CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN

# Tuples: an enum member in a set is hashed by a function in Python, here `is` is enough.
PASSING = (State.CLOSED, State.DISABLED, State.METRICS_ONLY)
"""The states in which every call passes."""

JUDGED = (State.CLOSED, State.METRICS_ONLY)
"""Those in which outcomes are judged."""


class Machine(Recorder):
    """States and transitions.

    Invariant: all fields are written under `lock`, and all but `admission`, `meter`, `reopen_at`,
    `reason`, `refused`, `registered`, `policy` and (by `state_at`) `state` are read under it, too.
    What a guarded call needs of those it reads once, or in an order that any change in between
    leaves right.

    Attributes:
        admission: the generation while calls pass it freely, else None.
        meter: the generation while calls pass and tell of themselves, else None.
        reason: why it opened last.
    """

    __slots__ = (
        "_counted",
        "_good",
        "_good_at",
        "_incidents",
        "_moved_by",
        "_opened_at",
        "_opened_count",
        "_opens",
        "_probe_failures",
        "_probe_successes",
        "_probes",
        "_rare",
        "_retired",
        "_seen",
        "_since",
        "_totals",
        "_transition_at",
        "admission",
        "current",
        "metadata",
        "meter",
        "options",
        "policy",
        "reason",
        "refused",
        "registered",
        "registered_at",
    )

    def __init__(self, name: str, scope: str | None, policy: Policy, shared: Shared) -> None:
        super().__init__(name, scope, shared)
        self.registered = False
        self.admission: Generation | None = None
        self.meter: Meter | None = None
        self.install(policy, {}, {})

    def install(
        self,
        policy: Policy,
        options: Mapping[str, Any],
        metadata: Mapping[str, Any],
        kind: ConnectionKind = ConnectionKind.OTHER,
    ) -> None:
        """Start from nothing, not yet admitting: `open_gate` lets calls in.

        Threads: before the breaker is in the catalogue, or under the catalogue's lock.
        """
        self.policy = policy
        self.options = options
        # A copy that nobody may change, and where this process is, which most circuits share.
        place = self.shared.metadata
        self.metadata = Fields({**place, **metadata}) if metadata else place
        if kind is not self.kind:
            self.kind = kind
            self._mask_version = -1  # others may want to hear of it
        self._begin_epoch(*self.shared.begin(self.scope, self.name))
        self.registered_at = self.shared.wall()
        self.refused = count()
        self.state = policy.initial_state
        self.reopen_at = inf if self.state is State.FORCED_OPEN else NEVER
        self.current = new_generation(1, policy)
        self._failures = 0
        self._seen = NO_CALLS  # successes of the generation when the last failure was counted
        self._incidents: list[Seen] | None = None  # the last failures that count against it
        self._counted: tuple[object, int, int, int, int] | None = None
        self._last_failure = None
        self._good = 0  # which generation had which successes at the last look
        self._good_at: float | None = None  # when a look last found a new one, by the clock
        self._opened_at: float | None = None
        self._opened_count = 0
        self._opens = 0
        self._transition_at: float | None = None
        self._since = NEVER  # when the state changed last, by the clock
        self._moved_by: str | None = None
        self.reason: str | None = None
        self._probes: dict[int, float] | None = None
        self._probe_successes = 0
        self._probe_failures = 0
        self._retired: list[Retired] | None = None
        self._totals: Totals | None = None
        self._rare: Rare | None = None
        self._forget_turn()

    def _have_rare(self) -> Rare:
        if self._rare is None:
            self._rare = Rare()
        return self._rare

    def _have_totals(self) -> Totals:
        if self._totals is None:
            self._totals = Totals()
        return self._totals

    # Counts

    def _look_at_successes(self, now: float, seen: int | None = None) -> None:
        """Note that there were some since the last look: a fast call reads no clock.

        Args:
            seen: how many there were, if it was just read: that costs as much as the rest.

        Threads: the sweep looks without the lock; at worst the time is then that of its look.
        """
        generation = self.current
        if seen is None:
            seen = value(generation.succeeded)
        good = (generation.number << 48) + seen
        if good != self._good:
            self._good = good
            if seen:
                self._good_at = now

    def _last_success(self, now: float) -> float | None:
        """POSIX time of the last success, as far as looks have seen it."""
        self._look_at_successes(now)
        at = self._good_at
        return None if at is None else self.shared.wall() - max(0.0, now - at)

    def _remember_success(self, at: float | None, now: float) -> None:
        """The last success was at that POSIX time."""
        self._look_at_successes(now)
        self._good_at = None if at is None else now - max(0.0, self.shared.wall() - at)

    def _free_place(self) -> None:
        """There may be a place for one that waits."""
        if self._rare is not None and self._rare.waiters:
            self._rare.wake = True

    # The clock

    def _look_at_clock(self, now: float) -> None:
        if self.state is State.OPEN and now >= self.reopen_at and self.registered:
            if self._wants("expiry"):
                self._tell_call("expiry", self.reason, now)
            self._half_open("expiry elapsed", now)
        elif self.state is State.HALF_OPEN and self._probes_overdue(now):
            # A probe whose answer never comes must not wedge the circuit: its place is free
            # again. The answer that comes after all finds its number gone, and is late. The other
            # probes are not to blame: theirs still count.
            timeout = self.policy.half_open_timeout
            probes = self._probes or {}
            for number in [lost for lost, began in probes.items() if now >= began + timeout]:
                del probes[number]
                if self._wants("probe_lost"):
                    self._tell_call("probe_lost", self.reason, now)
            self._free_place()

    def _probes_overdue(self, now: float) -> bool:
        probes = self._probes
        if not probes:
            return False
        return now >= min(probes.values()) + self.policy.half_open_timeout

    def _due(self, now: float) -> float | None:
        if not self.registered:
            return None
        if self.state is State.OPEN:
            return None if self.reopen_at == inf else self.reopen_at
        if self.state is State.HALF_OPEN:
            # A probe that starts later is looked at one lease from now at the latest, and nothing
            # is wrong with waiting for it in peace: whoever asks for its place looks at the clock.
            if not self._probes:
                return now + max(self.policy.half_open_timeout, IDLE)
            return min(self._probes.values()) + self.policy.half_open_timeout
        meter = self.meter
        return meter.hung_at if meter is not None and meter.hung_at < NOT_WATCHED else None

    # Transitions

    def _open(
        self,
        reason: str | None,
        now: float,
        *,
        hold: bool = False,
        fault: Fault = NO_FAULT,
        context: Context | None = UNASKED,
    ) -> None:
        self._opened_count += 1
        events = ("state_change", "circuit_opened")
        self._move(OPEN, reason, now, events, hold=hold, fault=fault, context=context)
        self._opened_at = self._transition_at

    def _retime(self, until: float) -> None:
        """Stay open, until then. No event, but whoever watches counts down to it."""
        self.reopen_at = until
        if self.registered:
            entry = (TIMED, self.key, self.state, self.state, None, self.shared.wall())
            self.shared.tray.leave(entry)

    def _half_open(self, reason: str, now: float) -> None:
        self.reopen_at = min(self.reopen_at, now)  # it may come before its time
        self._move(State.HALF_OPEN, reason, now, ("state_change", "circuit_half_opened"))

    def _close(
        self,
        reason: str | None,
        now: float,
        events: tuple[str, ...] = ("state_change", "circuit_closed"),
    ) -> None:
        self.reopen_at = NEVER
        self._failures = 0
        self._move(State.CLOSED, reason, now, events)

    def _move(
        self,
        new: State,
        reason: str | None,
        now: float,
        events: tuple[str, ...],
        *,
        hold: bool = False,
        fault: Fault = NO_FAULT,
        context: Context | None = UNASKED,
    ) -> None:
        rare = self._rare
        if rare is not None and rare.held is not None:
            self._release_held()
        wall = self.shared.wall()
        previous = self.state
        since = self._since
        lasted = wall - self.registered_at if since == NEVER else now - since
        # Admission ends before anything else changes and begins after everything has.
        self.admission = None
        self.meter = None
        self.state = new
        self._next_generation(now)
        if new is not previous:  # a reset of a closed circuit is an event and no change
            self._transition_at = wall
            self._moved_by = reason
            if self.registered:
                self.shared.tray.leave((MOVED, self.key, previous, new, reason, wall))
        self._since = now
        attempts = 0
        if rare is not None:
            if rare.waiters:
                rare.wake = True  # as `_free_place` does
            attempts = rare.attempts
            if new in PASSING:
                rare.cause, rare.exceeded, rare.attempts = None, False, 0
                if rare.idle:
                    self._rare = None
        if new in PASSING:
            self._incidents = None
        fields: dict[str, Any] = {
            "previous_state": previous,
            "new_state": new,
            "reason": reason,
            "failure_count": self._failures,
            "generation": self.current.number,
            "retry_after": self._retry_after(now),
            "duration": lasted if lasted > 0.0 else 0.0,  # noqa: FURB136 - `max` is a call
            "error_type": fault[0],
            "error_code": fault[1],
            "attempts": attempts,
        }
        if hold:
            self._have_rare().held = (events, fields, now, wall, context)
        else:
            if self.metadata:
                fields["metadata"] = self.metadata
            Recorder._append(self, events, fields, now, wall, context)  # nothing is held by now
        if new in PASSING or self.shared.bypass is not None:
            self._readmit()

    def _readmit(self) -> None:
        """Let calls in by the way that the state and the policy want, if by any."""
        if not self.registered:
            return
        if self.shared.bypass is not None:
            self.meter = None
            self.admission = self.shared.bypass
            return
        if self.state not in PASSING:
            return
        generation = self.current
        # Whoever reads both slots while they change finds both empty at worst, and asks under
        # the lock; so the one that is to be full is filled last.
        if type(generation) is Meter and self.state is not State.DISABLED:
            generation.look()
            if not generation.passes:
                if self.meter is not generation:
                    self.admission = None
                    self.meter = generation
                return
            if self.admission is not generation:
                self.meter = None
                self.admission = generation
        elif self.admission is not generation:
            self.meter = None
            self.admission = generation

    def _next_generation(self, now: float, *, keep: bool = False) -> None:
        """Begin a new generation; `keep` has its judge go on with what the old one has seen."""
        if self._retired is not None:
            self._forget_settled()
        old = self.current
        # Else nobody has ever held it, and nothing was counted.
        if old.started is not UNUSED:
            text = repr(old.succeeded)
            seen = parsed(text)
            if text != self._seen:  # else the last failure has looked
                self._look_at_successes(now, seen)
            if self._retired is None:
                self._retired = [Retired(old, seen)]
            else:
                self._retired.append(Retired(old, seen))
        judge: Judge | None = None
        if keep and type(old) is Meter and old.judge is not None:
            judge = old.judge
            judge.rebase(value(old.succeeded))
        if self.state in JUDGED:
            self.current = new_generation(old.number + 1, self.policy, judge)
        else:
            self.current = Generation(old.number + 1, shut=self.state in GATED)
        self._seen = NO_CALLS
        if judge is None and self._failures and type(self.current) is Meter:
            self._resume_row()
        self._probes = None
        self._probe_successes = 0
        self._probe_failures = 0

    def _resume_row(self) -> None:
        """Have the row of failures go on in a generation that has not seen its beginning."""
        generation = self.current
        self._seen = seen = repr(generation.succeeded)
        if type(generation) is Meter and generation.judge is not None:
            generation.judge.resume(self._failures, parsed(seen))

    def _forget_settled(self) -> None:
        """Fold the generations that are over into the totals."""
        retired = self._retired
        if retired is None:
            return
        totals = self._have_totals()
        out = [old for old in retired if not old.fold_into(totals)]
        self._retired = out or None

    # Reading

    def state_at(self, now: float) -> State:
        """The state as the clock says; nothing changes."""
        state = self.state
        if state is State.OPEN and now >= self.reopen_at:
            return State.HALF_OPEN
        return state

    def _failure_count(self) -> int:
        if self.state in PASSING and repr(self.current.succeeded) != self._seen:
            return 0
        return self._failures

    def _retry_after(self, now: float) -> float:
        if self.state is OPEN:
            wait = self.reopen_at - now
            return wait if wait > 0.0 else 0.0  # noqa: FURB136 - as `_move`
        if self.state is State.FORCED_OPEN:
            return inf
        if self.state is State.HALF_OPEN:
            probes = self._probes or {}
            if len(probes) >= self.policy.half_open_max_calls:
                return max(0.0, min(probes.values()) + self.policy.half_open_timeout - now)
        return 0.0

    def _sum(self) -> Totals:
        current, retired, gone = self.current, self._retired or (), self._totals or NONE
        # Settled counts first: a call that starts and settles in between may then only be
        # missing, never counted as settled and not started.
        successes = gone.successes + value(current.succeeded)
        failures = gone.failures + current.failed
        ignored = gone.ignored + current.ignored
        late = gone.late
        for old in retired:
            successes += value(old.generation.succeeded)
            failures += old.generation.failed
            ignored += old.generation.ignored
            late += old.late
        calls = gone.calls + value(current.started)
        for old in retired:
            calls += value(old.generation.started)
        return Totals(calls, successes, failures, ignored, late)

    # Telling

    def _tell_call(self, event: str, reason: str | None, now: float) -> None:
        """Log an event of a call; for those who ask `_wants` first."""
        fields = {"state": self.state, "failure_count": self._failure_count(), "reason": reason}
        self._append((event,), fields, now)

    def _tell(self, event: str, fields: Mapping[str, Any], now: float) -> None:
        """Log an event of the circuit, if anybody wants it."""
        if self._wants(event):
            told = {"state": self.state, "failure_count": self._failure_count(), **fields}
            self._append((event,), told, now)

    def _append(
        self,
        events: tuple[str, ...],
        fields: dict[str, Any],
        now: float,
        wall: float | None = None,
        context: Context | None = UNASKED,
    ) -> None:
        if self._rare is not None and self._rare.held is not None:
            self._release_held()
        super()._append(events, self._located(fields), now, wall, context)

    def _located(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The data of an event with what is known of the connection."""
        return {**fields, "metadata": self.metadata} if self.metadata else fields

    def _release_held(self) -> None:
        """Log an opening that waited for the user's expiry function; order goes first."""
        rare = self._rare
        if rare is not None and rare.held is not None:
            (events, fields, now, wall, context), rare.held = rare.held, None
            super()._append(events, self._located(fields), now, wall, context)
