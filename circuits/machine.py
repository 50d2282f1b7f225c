"""The state machine of one circuit: states, generations, probes and what moves them.

Everything here runs under the lock of the breaker, is told the time, and calls no code of users.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from math import inf
from typing import Any

from brama.telemetry import Context, SpanContext, capture, recorded_span

from .connection_kind import ConnectionKind
from .evidence import KEPT, Seen
from .expiry import open_for
from .fault import NO_FAULT, Fault, fault_of
from .feed import MOVED
from .fields import Fields
from .generation import (
    NOT_WATCHED,
    NOTHING_FLIES,
    UNUSED,
    Generation,
    Meter,
    Retired,
    Totals,
    new_generation,
    parsed,
    value,
)
from .options import spelt
from .outcome import Outcome
from .policy import Policy
from .recorder import GATED, UNASKED, Recorder
from .shared import Shared
from .state import State
from .windows import Judge

__all__ = ["JUDGED", "NEVER", "PASSING", "Failure", "Machine", "Rare", "said"]

NEVER = -inf
NONE = Totals()
NO_CALLS = repr(UNUSED)
MISSING = object()

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


Failure = tuple[str | None, float | None, BaseException | None, Any, Fault | None]
"""What there is to say of a failure: its reason, the seconds that the other side has asked for,
what was raised and what returned, and what it is called. A plain tuple of what is there already,
because it is made in the middle of a transition; an `Outcome` is made to be shown to users'
functions."""

NOTHING_SAID: Failure = (None, None, None, None, None)


def said(outcome: Outcome) -> Failure:
    """The same of what a user's function was shown."""
    return outcome.reason, outcome.retry_after, outcome.error, outcome.result, outcome.named


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
    held: tuple[tuple[str, ...], dict[str, Any], float] | None = None
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

    def _have_rare(self) -> Rare:
        if self._rare is None:
            self._rare = Rare()
        return self._rare

    def _have_totals(self) -> Totals:
        if self._totals is None:
            self._totals = Totals()
        return self._totals

    # Outcomes

    def _succeed(self, generation: Generation, number: int | None, now: float) -> None:
        """Count a success, and apply it if it is one of the present generation."""
        meter = generation if type(generation) is Meter and generation is self.current else None
        if meter is None or meter.judge is None:
            next(generation.succeeded)
        else:
            meter.judge.advance(value(generation.succeeded), now)
            next(generation.succeeded)
        if generation is not self.current:
            self._late(generation, "success", None, now)
            return
        self._look_at_successes(now)
        slow, began = (False, None) if number is None else self._slow(generation, number, now)
        if self._wants("success"):
            self._tell_call("success", None, now)
        if slow and not self._found_slow(meter, number) and self._wants("slow_call"):
            self._tell_call("slow_call", None, now)
        if self.state is State.HALF_OPEN:
            self._probe_ended(number, "slow probe" if slow else None, now, failed=slow)
        elif meter is not None and self.state in JUDGED:
            why = self._judge(meter, number, False, slow, now)
            if meter.trips:
                self._show(meter, Outcome(slow=slow, duration=_since(began, now)))
            if why is not None:
                self._failures = 0  # it ends the row, and opens all the same
            self._judged(why, now)

    def _fail(
        self,
        generation: Generation,
        number: int | None,
        failure: Failure,
        now: float,
    ) -> None:
        """Count a failure, and apply it if it is one of the present generation."""
        generation.failed += 1
        reason = failure[0]
        if generation is not self.current:
            self._late(generation, "failure", reason, now)
            return
        if self.state is CLOSED and type(generation) is Generation:
            self._fail_in_row(generation, failure, now)
            return
        meter = generation if type(generation) is Meter else None
        slow, began = False, None
        if number is not None and (meter is not None or self._probes):
            slow, began = self._slow(generation, number, now)
        if slow and not self._found_slow(meter, number) and self._wants("slow_call"):
            self._tell_call("slow_call", reason, now)
        state = self.state
        at = self._last_failure = self.shared.wall()
        outcome: Outcome | None = None
        if (meter is not None and meter.trips) or callable(self.policy.expiry_strategy):
            outcome = _shown(failure, _since(began, now), slow)
        if state is HALF_OPEN:
            self._probe_ended(number, reason, now, failed=True, failure=failure, outcome=outcome)
            return
        if state not in PASSING:
            return
        seen = repr(generation.succeeded)
        if seen == self._seen:
            self._failures += 1
        else:
            self._begin_row(seen, now)
        context = capture()
        self._note((at, reason, slow, recorded_span(context) if context else None))
        why = None
        if state in JUDGED:
            if meter is not None:
                why = self._judge(meter, number, True, slow, now)
                if outcome is not None:
                    self._show(meter, outcome)
            elif self._failures >= self.policy.failure_threshold:
                why = f"{self._failures} failures in a row"
        self._judged(why, now, failure, outcome, context)

    def _fail_in_row(self, generation: Generation, failure: Failure, now: float) -> None:
        """What `_fail` does in a closed circuit whose policy counts failures in a row: most do."""
        at = self._last_failure = self.shared.wall()
        # One reading: a success between two of them would end no row of failures. As a text, for
        # mostly it is compared and nothing else.
        seen = repr(generation.succeeded)
        if seen == self._seen:
            self._failures += 1
        else:
            self._begin_row(seen, now)
        context = capture()  # asked once, for the evidence and for the events
        self._note((at, failure[0], False, recorded_span(context) if context else None))
        if self._failures >= self.policy.failure_threshold:
            outcome = None
            if callable(self.policy.expiry_strategy):
                outcome = _shown(failure, None, False)
            self._trip(f"{self._failures} failures in a row", now, failure, outcome, context)
            return
        if self._wants("failure"):
            self._tell_failure(failure, now, context)
        if self.admission is not generation:
            self._readmit()

    def _begin_row(self, seen: str, now: float) -> None:
        """The first failure after a success."""
        self._seen = seen
        self._failures = 1
        self._look_at_successes(now, parsed(seen))

    def _judge(
        self, meter: Meter, number: int | None, failed: bool, slow: bool, now: float
    ) -> str | None:
        judge = meter.judge
        if judge is None:
            return None
        successes = value(meter.succeeded)
        if failed:
            judge.advance(successes, now)
        ticket = MISSING if number is None else meter.hung.pop(number, MISSING)
        if ticket is not MISSING:
            return judge.settle(ticket, failed, successes, now)
        if failed:
            return judge.failure(successes, now, slow=slow)
        return judge.success(successes, now, slow=slow)

    def _judged(
        self,
        why: str | None,
        now: float,
        failure: Failure | None = None,
        outcome: Outcome | None = None,
        context: Context | None = None,
    ) -> None:
        """Open for the reason `why`, if there is one; else tell of the failure, if it was one."""
        if why is not None and self.state is CLOSED:
            if failure is None:
                failure, context = NOTHING_SAID, capture()
            self._trip(why, now, failure, outcome, context)
            return
        if self.state is State.METRICS_ONLY:
            self._exceed(why, failure and failure[0], now)
        if failure is not None and self._wants("failure"):
            self._tell_failure(failure, now, context)
        # A failure in a row of which none is too many changes nothing about who passes.
        if self.admission is not self.current or type(self.current) is Meter:
            self._readmit()

    def _exceed(self, why: str | None, reason: str | None, now: float) -> None:
        """Tell once of each excess that would have opened the circuit."""
        if why is None:
            if self._rare is not None:
                self._rare.exceeded = False
        elif not self._have_rare().exceeded:
            self._have_rare().exceeded = True
            if self._wants("threshold_exceeded"):
                self._tell_call("threshold_exceeded", reason or why, now)

    def _slow(self, generation: Generation, number: int, now: float) -> tuple[bool, float | None]:
        """Whether the call that ends was slow, and when it began, as far as that is known."""
        began = None
        if type(generation) is Meter:
            began = generation.flight.pop(number, None) if generation.timed else None
        elif self._probes:
            began = self._probes.get(number)
        limit = self.policy.slow_after
        return limit is not None and began is not None and now - began >= limit, began

    def _found_slow(self, meter: Meter | None, number: int | None) -> bool:
        """Whether the call was found slow while it was under way."""
        return meter is not None and number in meter.hung

    def _probe_ended(
        self,
        number: int | None,
        reason: str | None,
        now: float,
        *,
        failed: bool,
        failure: Failure | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        if number is not None and (self._probes is None or self._probes.pop(number, None) is None):
            self._have_totals().late += 1  # it was presumed lost
            self._tell_late("failure" if failed else "success", reason, now)
            return
        self._free_place()
        if number is None:
            self._have_rare().attempts += 1  # a look of somebody else's
        if not failed:
            self._failures = 0
            self._probe_successes += 1
            if self._probe_successes >= self.policy.success_threshold:
                self._close("probe succeeded", now)
            return
        self._failures += 1
        context = capture()
        span = recorded_span(context) if context else None
        self._note((self.shared.wall(), reason, failure is None, span))
        if failure is None:  # it succeeded, too late
            failure = (reason, None, None, None, None)
        self._probe_failures += 1
        if self._probe_failures >= self.policy.failure_threshold_half_open:
            self._trip("a probe failed", now, failure, outcome, context)
        elif self._wants("failure"):
            self._tell_failure(failure, now, context)

    def _ignore(self, generation: Generation, number: int, now: float) -> None:
        generation.ignored += 1
        if generation is not self.current:
            self._late(generation, "ignored", None, now)
            return
        if self.shared.watched and self._wants("call_ignored"):
            self._tell_call("call_ignored", None, now)
        if type(generation) is Meter and generation.timed:
            generation.flight.pop(number, None)
            ticket = generation.hung.pop(number, MISSING)
            if ticket is not MISSING and generation.judge is not None:
                successes = value(generation.succeeded)
                generation.judge.settle(ticket, None, successes, 0.0)
                self._readmit()
        elif self.state is State.HALF_OPEN:
            if self._probes is None or self._probes.pop(number, None) is None:
                self._have_totals().late += 1  # it was presumed lost
                self._tell_late("ignored", None, now)
            else:
                self._free_place()

    def _late(self, generation: Generation, outcome: str, reason: str | None, now: float) -> None:
        """A call of an earlier generation has ended; those that were let pass are of none."""
        if generation.number:
            self._tell_late(outcome, reason, now)

    def _tell_late(self, outcome: str, reason: str | None, now: float) -> None:
        if self.registered and self._wants("late_result"):
            self._tell("late_result", {"outcome": outcome, "reason": reason}, now)

    def _refuse(self, now: float) -> None:
        """Count a refusal, and tell whoever wants to know of each."""
        next(self.refused)
        if self.shared.watched_refusals and self._wants("call_rejected"):
            wait = self._retry_after(now)
            self._tell("call_rejected", {"retry_after": wait, "reason": self.reason}, now)

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

    def _note(self, seen: Seen) -> None:
        """Keep a failure as evidence."""
        incidents = self._incidents
        if incidents is None:
            self._incidents = [seen]
            return
        if len(incidents) >= KEPT:
            del incidents[0]
        incidents.append(seen)

    def _evidence(self) -> tuple[SpanContext, ...]:
        rare = self._rare
        # Opened by hand, whatever failed before was not the reason.
        if rare is None or rare.cause is None or rare.cause[0] is None:
            return ()
        return tuple(seen[3] for seen in self._incidents or () if seen[3] is not None)

    def _show(self, meter: Meter, outcome: Outcome) -> None:
        """Have the user's own conditions shown an outcome, once the lock is released."""
        if meter.trips:
            rare = self._have_rare()
            if rare.outcomes is None:
                rare.outcomes = deque()
            rare.outcomes.append((meter, outcome))

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

    def _look_at_flight(self, meter: Meter, now: float) -> None:
        """Count the calls under way that are slow by now; open if they are too many."""
        meter.hung_at = NOTHING_FLIES  # first: a call that begins now sets it again
        calls = list(meter.flight.items())
        waiting = [began for number, began in calls if number not in meter.hung]
        for number, began in calls:
            if number in meter.hung or now < began + meter.slow_after:
                continue
            if (
                meter.stall_after is not None
                and self.shared.pulses.longest(began, now) >= meter.stall_after
            ):
                meter.flight[number] = now  # it may not have had its turn; its time begins anew
                continue
            ticket, why = None, None
            if meter.judge is not None:
                successes = value(meter.succeeded)
                meter.judge.advance(successes, now)
                ticket, why = meter.judge.hang(successes, now)
            meter.hung[number] = ticket
            if number not in meter.flight:  # it has just ended, and has not seen its ticket
                del meter.hung[number]
                if meter.judge is not None:
                    meter.judge.settle(ticket, None, value(meter.succeeded), now)
                continue
            waiting.remove(began)
            if self._wants("slow_call"):
                self._tell_call("slow_call", f"under way for {spelt(now - began)}", now)
            if self.state in JUDGED:
                reason = f"no answer for {spelt(now - began)}"
                context = capture()
                span = recorded_span(context) if context else None
                self._note((self.shared.wall(), reason, True, span))
                outcome = Outcome(reason=reason, slow=True, duration=now - began)
                self._show(meter, outcome)
                if why is not None and self.state is State.CLOSED:
                    self._failures = self._failure_count()
                    self._trip(why, now, said(outcome), outcome, context)
                    return
                if self.state is State.METRICS_ONLY:
                    self._exceed(why, reason, now)
        started = value(meter.started)
        if waiting:
            meter.hung_at = min(meter.hung_at, min(waiting) + meter.slow_after)
        elif started != meter.scanned:
            # There is traffic: looked at once in a while, it needs no bell for every call.
            meter.hung_at = min(meter.hung_at, now + meter.slow_after)
        meter.scanned = started
        self._readmit()

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

    def _trip(
        self,
        why: str,
        now: float,
        failure: Failure,
        outcome: Outcome | None,
        context: Context | None,
    ) -> None:
        """Open, as `failure` broke the rule `why`; users' functions are shown `outcome`."""
        policy = self.policy
        if self.state is not HALF_OPEN and now - self._since >= policy.reset_after:
            self._opens = 0
        self._opens += 1
        reason, retry_after, error, result, named = failure
        ask = callable(policy.expiry_strategy)
        seconds = self._open_time(retry_after, ask=ask)
        self.reopen_at = now + seconds
        self.reason = reason = reason or why
        rare = self._rare
        if rare is None:
            rare = self._rare = Rare()
        rare.cause = (why, self._opens, seconds)
        ask = ask and rare.expiry is None
        fault = named or fault_of(error, result)
        self._open(reason, now, hold=ask, fault=fault, context=context)
        if ask:
            outcome = outcome or Outcome(reason=reason, retry_after=retry_after)
            rare.asked = (self.current, self._opens, outcome)

    def _open_time(self, retry_after: float | None, *, ask: bool) -> float:
        rare = self._rare
        if rare is not None and rare.expiry is not None:
            return rare.expiry
        if retry_after is not None and not ask:
            return min(retry_after, self.policy.max_expiry)
        return open_for(self.policy, self._opens, self.shared.random)

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
            self._have_rare().held = (events, fields, now)
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

    def _tell_failure(self, failure: Failure, now: float, context: Context | None) -> None:
        """Log a failure that was counted; for those who ask `_wants` first."""
        reason, _, error, result, named = failure
        kind, code = named or fault_of(error, result)
        fields = {
            "state": self.state,
            "failure_count": self._failure_count(),
            "reason": reason,
            "error_type": kind,
            "error_code": code,
            "attempts": 0 if self._rare is None else self._rare.attempts,
        }
        self._append(("failure",), fields, now, context=context)

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
            (events, fields, now), rare.held = rare.held, None
            super()._append(events, self._located(fields), now)


def _shown(failure: Failure, duration: float | None, slow: bool) -> Outcome:
    """A failure as the functions of users see it."""
    reason, retry_after, error, result, named = failure
    return Outcome(
        result=result,
        error=error,
        failed=True,
        reason=reason,
        duration=duration,
        slow=slow,
        retry_after=retry_after,
        error_type=None if named is None else named[0],
        error_code=None if named is None else named[1],
    )


def _since(began: float | None, now: float) -> float | None:
    return None if began is None else now - began
