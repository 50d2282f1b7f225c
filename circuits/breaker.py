"""The state machine of one circuit: pure, in shared memory, safe from any thread.

The thread of the guarded call decides and performs every transition here; actors learn of it
from the log. Nothing in this module waits for anything but one short lock.

How a call passes a closed circuit without a lock:

*  `Breaker.admission` holds the current `Generation` while calls pass freely, else None. One
   load both admits the call and fixes the generation its outcome belongs to; two loads could
   admit a call into a generation it never saw.
*  The call counts itself with ``next`` on two `itertools.count` of that generation: when it
   starts and when it succeeds. ``next`` is one step under the GIL, and atomic on free-threaded
   builds, so the counts are exact without a lock.
*  A transition replaces the generation. A call that began in an earlier one settles into its
   own, retired generation: it is counted there, as late, and moves nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from itertools import count
from math import inf
from typing import Any

import trio

from brama.telemetry import capture

from .errors import CircuitOpenError
from .events import CRITICAL, EVENTS
from .expiry import open_for
from .fields import Fields
from .generation import Generation, Retired, Totals, value
from .log import Log, Record
from .policy import Policy
from .shared import Shared
from .state import State
from .status import Status

__all__ = ["Breaker"]

NEVER = -inf


def _caller() -> tuple[int, int]:
    """The calling thread, and the task if it runs one: nested entries have both in common."""
    thread = threading.get_ident()
    if trio.lowlevel.in_trio_task():
        return thread, id(trio.lowlevel.current_task())
    try:
        return thread, id(asyncio.current_task())
    except RuntimeError:  # no loop runs here
        return thread, 0


def _stamp(error: BaseException) -> object:
    """What tells this exception from every other one, its namesake in memory included.

    Its address does not: the next exception often lies where the last one lay. A reference to
    it would keep its frames alive, and those of Python's own kinds cannot be referred to weakly.
    """
    stamp = object()
    try:
        stamp = error.__dict__.setdefault("__brama_stamp__", stamp)
    except Exception:  # noqa: BLE001 - a user's class may do as it likes with its dict
        pass
    return stamp


class Breaker:
    """One circuit breaker.

    Threads: every method from any thread. Invariant: all fields are written under `lock`, and
    all but `admission`, `reopen_at`, `reason`, `refused`, `registered`, `policy` and (by
    `state_at`) `state` are read under it, too. What a guarded call needs of those seven it reads
    once, or in an order that any change in between leaves right.
    """

    # Plain slots: a million of these must fit into a process.
    __slots__ = (
        "_counted",
        "_critical",
        "_events",
        "_failures",
        "_last_failure",
        "_mark",
        "_mask",
        "_mask_version",
        "_opened_at",
        "_opened_count",
        "_opens",
        "_probes",
        "_probe_successes",
        "_retired",
        "_seen",
        "_totals",
        "_transition_at",
        "_used_at",
        "__weakref__",
        "admission",
        "current",
        "epoch",
        "lock",
        "log",
        "metadata",
        "name",
        "options",
        "policy",
        "reason",
        "refused",
        "registered",
        "registered_at",
        "reopen_at",
        "scope",
        "shared",
        "state",
    )

    def __init__(self, name: str, scope: str | None, policy: Policy, shared: Shared) -> None:
        self.name = name
        self.scope = scope
        self.shared = shared
        self.lock: threading.Lock = shared.stripe((scope, name))
        self.log: Log | None = None
        self.registered = False
        self.admission: Generation | None = None
        self.install(policy, {}, {})

    def install(
        self, policy: Policy, options: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        """Start from nothing, closed and not yet admitting: `open_gate` lets calls in.

        Threads: before the breaker is in the catalogue, or under the catalogue's lock.
        """
        self.policy = policy
        self.options = options
        self.metadata = Fields(metadata) if metadata else metadata  # a copy that nobody may change
        self.epoch, self._critical = self.shared.begin(self.scope, self.name)
        self.registered_at = self.shared.wall()
        self.refused = count()
        self._events = 0  # all that were numbered in this epoch
        self.state = State.CLOSED
        self.reopen_at = NEVER
        self.current = Generation(1)
        self._failures = 0
        self._seen = 0  # successes of the generation when the last failure was counted
        self._counted: tuple[tuple[object, int, int], tuple[int, int]] | None = None
        self._last_failure: float | None = None
        self._opened_at: float | None = None
        self._opened_count = 0
        self._opens = 0
        self._transition_at: float | None = None
        self.reason: str | None = None
        self._probes: dict[int, float] | None = None
        self._probe_successes = 0
        self._retired: list[Retired] | None = None
        self._totals: Totals | None = None
        self._mask = 0
        self._mask_version = -1
        # Of the cleanup alone: what had been counted when it last looked, and when it last saw
        # that something had happened.
        self._mark = 0
        self._used_at = self.shared.clock()

    # Admission

    def enter(self, probe: bool = True) -> tuple[Generation, int] | None:
        """Admit one call: its generation and its number there, or None when it is refused.

        Args:
            probe: whether the call may be a probe; one that may not is refused in half-open.
        """
        self._before()
        if not self.registered:
            self.shared.revive(self)
        now = self.shared.clock()
        with self.lock:
            entry = self._enter(now, probe)
            ring = self._unrung()
        if ring:
            self.shared.bell(self)
        return entry

    def probing(self, generation: Generation, number: int) -> bool:
        """Whether that call is a probe whose outcome the circuit still waits for."""
        now = self.shared.clock()
        with self.lock:
            self._look_at_clock(now)
            probing = generation is self.current and number in (self._probes or ())
            ring = self._unrung()
        if ring:
            self.shared.bell(self)
        return probing

    def refusal(self) -> CircuitOpenError:
        """Describe the refusal that `enter` has just counted."""
        now = self.shared.clock()
        with self.lock:
            state, wait, reason = self.state_at(now), self._retry_after(now), self.reason
        return CircuitOpenError(self.name, self.scope, state, wait, reason)

    def _enter(self, now: float, probe: bool) -> tuple[Generation, int] | None:
        self._look_at_clock(now)
        generation = self.current
        if self.state is State.CLOSED:
            return generation, next(generation.started)
        if self.state is State.HALF_OPEN and probe:
            probes = self._probes
            if probes is None:
                probes = self._probes = {}
            if len(probes) < self.policy.half_open_max_calls:
                number = next(generation.started)
                probes[number] = now
                return generation, number
        next(self.refused)
        return None

    # Outcomes

    def succeeded(self, generation: Generation, number: int) -> None:
        """Settle a call that went well, where the lock-free way does not do.

        That is in half-open, and while somebody wants the events of successes.
        """
        self._before()
        now = self.shared.clock()
        with self.lock:
            next(generation.succeeded)
            if generation is self.current:
                self._apply_success(number, now)
            ring = self._unrung()
        if ring:
            self.shared.bell(self)

    def _apply_success(self, number: int | None, now: float) -> None:
        if self._wants("success"):
            fields = {"state": self.state, "failure_count": self._failure_count(), "reason": None}
            self._append(("success",), fields, now)
        if self.state is State.HALF_OPEN:
            self._failures = 0
            if number is not None and self._probes is not None:
                self._probes.pop(number, None)
            self._probe_successes += 1
            if self._probe_successes >= self.policy.success_threshold:
                self._opens = 0
                self._close("probe succeeded", now)

    def failed(
        self,
        generation: Generation,
        number: int,
        reason: str | None,
        error: BaseException | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Settle a call that failed.

        If that opens the circuit, it stays open for `retry_after` seconds when the other side
        has named them, but never longer than the policy's `max_expiry`.

        An exception that passes through nested entries of the same circuit is one failure: the
        inner entry counts it, the outer one (same exception, same thread, an earlier number)
        does not.
        """
        self._before()
        source = None if error is None else (_stamp(error), *_caller())
        call = (generation.number, number)
        now = self.shared.clock()
        with self.lock:
            counted = self._counted
            if (
                source is not None
                and counted is not None
                and source == counted[0]
                and call < counted[1]
            ):
                self._ignore(generation, number)
            else:
                generation.failed += 1
                if generation is self.current:
                    self._counted = None if source is None else (source, call)
                    self._apply_failure(reason, now, retry_after)
            ring = self._unrung()
        if ring:
            self.shared.bell(self)

    def _apply_failure(
        self, reason: str | None, now: float, retry_after: float | None = None
    ) -> None:
        self._last_failure = self.shared.wall()
        if self.state is State.HALF_OPEN:
            self._failures += 1
            self._trip(reason, now, retry_after)
        elif self.state is State.CLOSED:
            # One reading: a success between two of them would end no row of failures.
            seen = value(self.current.succeeded)
            self._failures = self._failures + 1 if seen == self._seen else 1
            self._seen = seen
            if self._failures >= self.policy.failure_threshold:
                self._trip(reason, now, retry_after)
            elif self._wants("failure"):
                fields = {"state": self.state, "failure_count": self._failures, "reason": reason}
                self._append(("failure",), fields, now)

    def ignored(self, generation: Generation, number: int) -> None:
        """Settle a call that says nothing: give its permit back and touch no counter of failures.

        Never waits for the lock: the collector ends generators and coroutines that were given
        up, and it may do so inside a locked section of this very thread. What cannot be settled
        now is settled before the next look at the breaker.
        """
        self.shared.leaked.append((self, generation, number))
        self._before(wait=False)

    def _ignore(self, generation: Generation, number: int) -> None:
        generation.ignored += 1
        if generation is self.current and self._probes is not None:
            self._probes.pop(number, None)

    def report_success(self) -> None:
        """A success that was seen elsewhere; it applies to the current generation."""

        def apply(now: float) -> None:
            next(self.current.started)
            next(self.current.succeeded)
            self._apply_success(None, now)

        self._report(apply)

    def report_failure(self, reason: str | None) -> None:
        """A failure that was seen elsewhere; it applies to the current generation.

        While the circuit is open it is counted and changes nothing: neither the time of the
        opening nor the expiry moves.
        """

        def apply(now: float) -> None:
            next(self.current.started)
            self.current.failed += 1
            self._apply_failure(reason, now)

        self._report(apply)

    # Control

    def open(self, reason: str | None, expires_in: float | None) -> None:
        """Open now; `expires_in` seconds replace the policy's expiry this once."""

        def apply(now: float) -> None:
            self._failures = self._failure_count()
            self.reopen_at = now + (self.policy.expiry if expires_in is None else expires_in)
            self.reason = reason
            if self.state is not State.OPEN:
                self._open(reason, now)

        # On an open circuit there is nothing to publish, but the actor has a timer to set anew.
        self._report(apply, ring=True)

    def close(self, reason: str | None) -> None:
        """Close now and forget the failures."""

        def apply(now: float) -> None:
            self._opens = 0
            self._failures = 0
            if self.state is not State.CLOSED:
                self._close(reason, now)

        self._report(apply)

    def reset(self, reason: str | None) -> None:
        """Close now and forget everything that led here, the growth of the expiry included."""

        def apply(now: float) -> None:
            self._opens = 0
            self.reason = None
            changed = () if self.state is State.CLOSED else ("state_change",)
            self._close(reason, now, events=(*changed, "circuit_reset"))

        self._report(apply)

    def reconfigure(self, policy: Policy, options: Mapping[str, Any]) -> None:
        """Replace the policy; the state, the failures and a running expiry stay.

        Calls under way under another policy end as late results, and probes give their places
        back.
        """

        def apply(_now: float) -> None:
            changed = policy != self.policy
            self.policy = policy
            self.options = options
            if changed:
                self._failures = self._failure_count()
                self._next_generation()
                if self.admission is not None:
                    self.admission = self.current

        self._report(apply, ring=True)

    def tick(self) -> float | None:
        """Do what the clock asks for; the seconds until it asks again, None when it does not.

        For the connection actor, which looks into the log next: no bell is rung.
        """
        self._before()
        now = self.shared.clock()
        with self.lock:
            self._look_at_clock(now)
            due = self._due(now)
        return None if due is None else max(0.0, due - now)

    def checked(self, generation: Generation, fault: str | None) -> None:
        """A health check that began in `generation` has passed, or found a `fault`.

        One that passes is a successful probe, and makes an open circuit half-open for it. One that
        fails is a failed probe in half-open, and says nothing new about an open circuit.
        """
        now = self.shared.clock()
        with self.lock:
            if generation is not self.current or not self.registered:
                return  # somebody else has decided meanwhile
            state = self.state
            healthy = fault is None
            self._tell("health_check", {"healthy": healthy, "reason": fault}, now)
            if state is State.OPEN and healthy:
                self._move(
                    State.HALF_OPEN,
                    "health check passed",
                    now,
                    ("state_change", "circuit_half_opened"),
                )
            ring = self._unrung()
        if ring:
            self.shared.bell(self)
        if healthy:
            self.report_success()
        elif state is State.HALF_OPEN:
            self.report_failure(f"health check failed: {fault}")

    def announce(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell whoever wants it of something that was noticed and moves nothing."""
        now = self.shared.clock()
        with self.lock:
            if self.registered:
                self._tell(event, fields, now)
            ring = self._unrung()
        if ring:
            self.shared.bell(self)

    def _tell(self, event: str, fields: Mapping[str, Any], now: float) -> None:
        if self._wants(event):
            told = {"state": self.state, "failure_count": self._failure_count(), **fields}
            self._append((event,), told, now)

    def _report(self, apply: Callable[[float], None], *, ring: bool = False) -> None:
        self._before()
        if not self.registered:
            self.shared.revive(self)
        now = self.shared.clock()
        with self.lock:
            self._look_at_clock(now)
            apply(now)
            ring = self._unrung() or (ring and self.state is not State.CLOSED)
        if ring:
            self.shared.bell(self)

    # Registration

    def open_gate(self) -> bool:
        """Be registered and admit calls; whether the bell is to be rung.

        Threads: under the lock of the catalogue, which is why the caller rings.
        """
        now = self.shared.clock()
        with self.lock:
            self.registered = True
            self._announce(("registration", "connection_registered"), now)
            self.admission = self.current
            return self._unrung()

    def shut_gate(self, event: str) -> bool:
        """Be unregistered: admit no call until `open_gate`; outcomes under way become late."""
        now = self.shared.clock()
        with self.lock:
            self._shut(event, now)
            # An actor that manages it has nothing to wait for any more.
            return self._unrung() or self.log is not None

    def _shut(self, event: str, now: float) -> None:
        self.admission = None
        self.reopen_at = NEVER
        self.registered = False
        self._announce((event,), now)
        self._next_generation()

    def idle_for(self, now: float) -> float:
        """Seconds since the registration or the last activity that a look like this has seen.

        Nothing while it must not be removed for being idle. Without a lock, as a million of these
        are looked at; before it acts on it, the cleanup asks again in `shut_if_idle`.
        """
        generation = self.current
        settled = value(generation.succeeded) + generation.failed + generation.ignored
        started = value(generation.started)
        mark = (generation.number - 1 << 48) + started + settled
        if mark != self._mark:
            self._mark = mark
            self._used_at = now
        if self.state is not State.CLOSED or started != settled or self.log is not None:
            return 0.0
        return now - self._used_at

    def shut_if_idle(self, threshold: float) -> bool | None:
        """Shut the gate if nothing has happened for so long; whether to ring, None if it stays.

        Threads: under the lock of the catalogue.
        """
        self._before()
        now = self.shared.clock()
        with self.lock:
            self._forget_settled()
            if not self.registered or self._retired or self.idle_for(now) < threshold:
                return None
            self._shut("connection_removed", now)
            return self._unrung()

    def _announce(self, events: tuple[str, ...], now: float) -> None:
        wanted = tuple(name for name in events if self._wants(name))
        if wanted:
            policy = self.policy
            fields = {
                "state": self.state,
                "failure_threshold": policy.failure_threshold,
                "expiry": policy.expiry,
            }
            self._append(wanted, fields, now)

    def reset_after_fork(self) -> None:
        """In the child: the calls, probes and log of the parent are not ours."""
        self.epoch = self.shared.next_epoch()
        self._events = self._critical = 0
        self.log = None
        self._failures = self._failure_count()
        self._next_generation()
        self._retired = self._totals = None
        self.refused = count()
        if self.admission is not None:
            self.admission = self.current

    # Reading

    def state_at(self, now: float) -> State:
        """The state as the clock says; nothing changes."""
        state = self.state
        if state is State.OPEN and now >= self.reopen_at:
            return State.HALF_OPEN
        return state

    def would_admit(self) -> bool:
        """Whether a call would be admitted now."""
        if self.admission is not None:
            return True
        self._before()
        now = self.shared.clock()
        with self.lock:
            if not self.registered:
                return False
            state = self.state_at(now)
            if state is not State.HALF_OPEN or self.state is not State.HALF_OPEN:
                return state is not State.OPEN
            probes = self._probes or {}
            return len(probes) < self.policy.half_open_max_calls or self._probes_overdue(now)

    def status(self) -> Status:
        self._before()
        now = self.shared.clock()
        with self.lock:
            policy, current = self.policy, self.current
            totals = self._sum()
            return Status(
                connection=self.name,
                scope=self.scope,
                state=self.state_at(now),
                failure_count=self._failure_count(),
                failure_threshold=policy.failure_threshold,
                expiry=policy.expiry,
                expiry_strategy=policy.strategy_name,
                initial_expiry=policy.initial_expiry,
                max_expiry=policy.max_expiry,
                backoff_factor=policy.backoff_factor,
                opened_at=self._opened_at,
                last_failure_time=self._last_failure,
                registered_at=self.registered_at,
                last_transition_at=self._transition_at,
                retry_after=self._retry_after(now),
                reason=self.reason,
                opened_count=self._opened_count,
                generation=current.number,
                half_open_in_flight=len(self._probes or ()),
                calls=totals.calls,
                successes=totals.successes,
                failures=totals.failures,
                ignored=totals.ignored,
                refused=value(self.refused),
                late=totals.late,
                in_flight=max(
                    0, totals.calls - totals.successes - totals.failures - totals.ignored
                ),
                metadata=self.metadata,
            )

    def _sum(self) -> Totals:
        gone = self._totals or Totals()
        generations = [self.current, *(retired.generation for retired in self._retired or ())]
        # Settled counts first: a call that starts and settles in between may then only be
        # missing, never counted as settled and not started.
        succeeded = sum(value(generation.succeeded) for generation in generations)
        return Totals(
            successes=gone.successes + succeeded,
            failures=gone.failures + sum(generation.failed for generation in generations),
            ignored=gone.ignored + sum(generation.ignored for generation in generations),
            calls=gone.calls + sum(value(generation.started) for generation in generations),
            late=gone.late + sum(retired.late for retired in self._retired or ()),
        )

    def _failure_count(self) -> int:
        if self.state is State.CLOSED and value(self.current.succeeded) != self._seen:
            return 0
        return self._failures

    def _retry_after(self, now: float) -> float:
        if self.state is State.OPEN:
            return max(0.0, self.reopen_at - now)
        if self.state is State.HALF_OPEN:
            probes = self._probes or {}
            if len(probes) >= self.policy.half_open_max_calls:
                return max(0.0, min(probes.values()) + self.policy.half_open_timeout - now)
        return 0.0

    # Transitions. Invariant: everything below runs under the lock.

    def _look_at_clock(self, now: float) -> None:
        if self.state is State.OPEN and now >= self.reopen_at and self.registered:
            if self._wants("expiry"):
                fields = {
                    "state": self.state,
                    "failure_count": self._failures,
                    "reason": self.reason,
                }
                self._append(("expiry",), fields, now)
            self._move(
                State.HALF_OPEN, "expiry elapsed", now, ("state_change", "circuit_half_opened")
            )
        elif self.state is State.HALF_OPEN and self._probes_overdue(now):
            # A probe whose answer never comes must not wedge the circuit: its place is free
            # again, and an answer that comes after all belongs to a retired generation.
            if self._wants("probe_lost"):
                fields = {
                    "state": self.state,
                    "failure_count": self._failures,
                    "reason": self.reason,
                }
                self._append(("probe_lost",), fields, now)
            self._next_generation()

    def _probes_overdue(self, now: float) -> bool:
        probes = self._probes
        if not probes:
            return False
        return now >= min(probes.values()) + self.policy.half_open_timeout

    def _due(self, now: float) -> float | None:
        if not self.registered or self.state is State.CLOSED:
            return None
        if self.state is State.OPEN:
            return self.reopen_at
        # A probe that starts later is looked at one lease from now at the latest.
        return min((self._probes or {0: now}).values()) + self.policy.half_open_timeout

    def _trip(self, reason: str | None, now: float, retry_after: float | None) -> None:
        self._opens += 1
        if retry_after is None:
            self.reopen_at = now + open_for(self.policy, self._opens, self.shared.random)
        else:
            self.reopen_at = now + min(retry_after, self.policy.max_expiry)
        self.reason = reason
        self._open(reason, now)

    def _open(self, reason: str | None, now: float) -> None:
        self._opened_count += 1
        self._opened_at = self.shared.wall()
        self._move(State.OPEN, reason, now, ("state_change", "circuit_opened"))

    def _close(
        self,
        reason: str | None,
        now: float,
        events: tuple[str, ...] = ("state_change", "circuit_closed"),
    ) -> None:
        self.reopen_at = NEVER
        self._failures = 0
        self._move(State.CLOSED, reason, now, events)

    def _move(self, new: State, reason: str | None, now: float, events: tuple[str, ...]) -> None:
        previous = self.state
        # Admission ends before anything else changes and begins after everything has.
        self.admission = None
        self.state = new
        self._next_generation()
        if new is not previous:  # a reset of a closed circuit is an event and no change
            self._transition_at = self.shared.wall()
        self._append(
            events,
            {
                "previous_state": previous,
                "new_state": new,
                "reason": reason,
                "failure_count": self._failures,
                "generation": self.current.number,
                "retry_after": self._retry_after(now),
            },
            now,
        )
        if new is State.CLOSED:
            self.admission = self.current

    def _next_generation(self) -> None:
        self._forget_settled()
        old = self.current
        retired = self._retired
        if retired is None:
            retired = self._retired = []
        retired.append(Retired(old, value(old.succeeded), old.failed, old.ignored))
        self.current = Generation(old.number + 1)
        self._seen = 0
        self._probes = None
        self._probe_successes = 0

    def _forget_settled(self) -> None:
        """Fold the generations that are over into the totals."""
        retired = self._retired
        if retired is None:
            return
        totals = self._totals
        if totals is None:
            totals = self._totals = Totals()
        out = []
        for old in retired:
            if old.over:
                totals.add(old)
            else:
                out.append(old)
        self._retired = out or None

    # The log

    def pending(self) -> list[Record]:
        """The records that are not yet published, oldest first; the bell may ring again."""
        with self.lock:
            log = self.log
            if log is None:
                return []
            log.rung = False
            log.trim()
            return list(log.records)

    def published(self) -> bool:
        """Whether everything in the log has reached whoever wants it."""
        with self.lock:
            return self.log is None or all(record.published for record in self.log.records)

    def release(self) -> bool:
        """Give up the log if the circuit has nothing to manage; whether it was given up."""
        with self.lock:
            log = self.log
            if log is not None:
                log.trim()
                if log.records or (self.registered and self.state is not State.CLOSED):
                    return False
                self.log = None
            self._forget_settled()
            return True

    def _wants(self, name: str) -> bool:
        interest = self.shared.interest
        version = interest.version
        if version != self._mask_version:
            # The version is read before the mask: a change in between only makes the next
            # look refresh once more.
            self._mask = interest.mask(self.name, self.scope)
            self._mask_version = version
        return bool(self._mask & EVENTS[name].bit)

    def _append(self, events: tuple[str, ...], fields: dict[str, Any], now: float) -> None:
        log = self.log
        if log is None:
            log = self.log = Log()
        critical = events[0] in CRITICAL
        log.append(
            Record(
                source=self.shared.source,
                connection=self.name,
                scope=self.scope,
                events=events,
                epoch=self.epoch,
                number=self._events + 1,
                seq=self._critical + 1 if critical else None,
                wall=self.shared.wall(),
                monotonic=now,
                data=Fields(fields),
                context=capture(),
                version=self.shared.interest.version,
            )
        )
        self._events += len(events)
        if critical:
            self._critical += len(events)

    def _unrung(self) -> bool:
        log = self.log
        if log is None or log.rung or not log.records:
            return False
        log.rung = True
        return True

    def _before(self, *, wait: bool = True) -> None:
        """Settle the calls that ended without a word."""
        leaked = self.shared.leaked
        while leaked:
            try:
                breaker, generation, number = leaked.popleft()
            except IndexError:  # another thread was faster
                return
            if not breaker.lock.acquire(blocking=wait):
                leaked.appendleft((breaker, generation, number))
                return
            try:
                breaker._ignore(generation, number)
            finally:
                breaker.lock.release()
