"""The state machine of one circuit: in shared memory, safe from any thread.

The thread of the guarded call decides and performs every transition here; actors learn of it
from the log. Nothing here waits for anything but one short lock.

How a call passes a closed circuit without a lock:

*  `Breaker.admission` holds the current `Generation` while calls pass freely, else None. One
   load both admits the call and fixes the generation its outcome belongs to; two loads could
   admit a call into a generation it never saw.
*  The call counts itself with ``next`` on two `itertools.count` of that generation: when it
   starts and when it succeeds. ``next`` is one step under the GIL, and atomic on free-threaded
   builds, so the counts are exact without a lock.
*  A transition replaces the generation. A call that began in an earlier one settles into its
   own, retired generation: it is counted there, as late, and moves nothing.

A policy with a time window, slow calls or results to judge fills `Breaker.meter` in the place of
`admission`. Such a call reads the clock, and takes the lock only when it was not a fast success or
when a part of the window has ended (`brama.circuits.windows` says why that is exact).

The classes below each other: `Recorder` keeps the log, `Machine` moves under the lock, `Gate` lets
threads in and out, `Controls` takes orders, and `Breaker` takes calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from itertools import count
from math import inf
from typing import Any

import trio
from sniffio import thread_local as library

from brama.telemetry import watching

from .connection_kind import ConnectionKind
from .controls import Controls
from .errors import CircuitOpenError
from .events import Event, severity_of, utc
from .evidence import Cause, Incident, Why
from .explain import explain
from .fault import STAMP, Fault
from .feed import CAME, WENT
from .fields import Fields
from .gate import RING
from .generation import NOT_WATCHED, NOTHING_FLIES, Generation, Meter, value
from .machine import NEVER, PASSING, Failure
from .options import spelt
from .policy import Policy
from .state import State
from .status import Status, Window
from .tracing import note_outcome, report, tell_failure, tell_refusal, tell_success

__all__ = ["Breaker"]

_this_thread = threading.get_ident
_running_loop = asyncio._get_running_loop


def _task() -> int:
    """Which task the calling thread runs, 0 if none."""
    # Where no loop runs, asking for the task makes an exception, which costs more than the rest.
    # Trio sets this name for as long as it runs in a thread.
    if library.name is not None and trio.lowlevel.in_trio_task():
        return id(trio.lowlevel.current_task())
    loop = _running_loop()
    return 0 if loop is None else id(asyncio.current_task(loop))


class Breaker(Controls):
    """One circuit breaker.

    Threads: every method from any thread.
    """

    __slots__ = ("__weakref__", "_mark", "_used_at")

    def install(
        self,
        policy: Policy,
        options: Mapping[str, Any],
        metadata: Mapping[str, Any],
        kind: ConnectionKind = ConnectionKind.OTHER,
    ) -> None:
        super().install(policy, options, metadata, kind)
        # Of the cleanup alone: what had been counted when it last looked, and when it last saw
        # that something had happened.
        self._mark = 0
        self._used_at = self.shared.clock()

    # Admission

    def begin(self, meter: Meter) -> int | None:
        """Admit a call that found `meter`: its number, or None if it has to ask `enter`."""
        if not meter.timed:
            return next(meter.started)
        now = self.shared.clock()
        if now >= meter.hung_at:
            self._scan(meter, now)
            if self.meter is not meter:
                return None
        number = next(meter.started)
        meter.flight[number] = now
        if meter.hung_at is NOTHING_FLIES:
            self._watch(meter, now)
        if meter.stall_after is not None:
            self.shared.pulses.watch(meter)
        return number

    def _watch(self, meter: Meter, now: float) -> None:
        """Have the calls under way looked at also if nobody calls again."""
        meter.hung_at = now + meter.slow_after
        self.shared.bell(self)

    def _scan(self, meter: Meter, now: float) -> None:
        with self.lock:
            if self.current is meter:
                self._look_at_flight(meter, now)
            work = self._work()
        if work:
            self._do(work)

    def finish(self, meter: Meter, number: int) -> None:
        """Settle a call that began with `begin` and went well."""
        shared = self.shared
        if meter.timed:
            now = shared.clock()
            began = meter.flight.pop(number, None)
            if began is not None:
                if (
                    now - began < meter.slow_after
                    and now < meter.until
                    and not meter.hung  # read after the pop: a look that found this call is seen
                    and not shared.watched
                ):
                    next(meter.succeeded)
                    return
                meter.flight[number] = began
        elif (meter.until == inf or shared.clock() < meter.until) and not shared.watched:
            next(meter.succeeded)
            return
        self.succeeded(meter, number)

    def enter(self, probe: bool = True, *, refuse: bool = True) -> tuple[Generation, int] | None:
        """Admit one call: its generation and its number there, or None when it is refused.

        Args:
            probe: whether the call may be a probe; one that may not is refused in half-open.
            refuse: whether a refusal counts; a call that goes on waiting is not yet refused.
        """
        self._before()
        if not self.registered:
            self.shared.revive(self)
        now = self.shared.clock()
        with self.lock:
            entry = self._enter(now, probe, refuse)
            work = self._work()
        if work:
            self._do(work)
        if entry is not None and type(meter := entry[0]) is Meter and meter.timed:
            if meter.hung_at is NOTHING_FLIES:
                self._watch(meter, now)
            if meter.stall_after is not None:
                self.shared.pulses.watch(meter)
        return entry

    def _enter(self, now: float, probe: bool, refuse: bool) -> tuple[Generation, int] | None:
        self._look_at_clock(now)
        if self.shared.bypass is not None:
            return self.shared.bypass, next(self.shared.bypass.started)
        generation = self.current
        if self.state in PASSING:
            number = next(generation.started)
            if type(generation) is Meter and generation.timed:
                generation.flight[number] = now
            return generation, number
        if self.state is State.HALF_OPEN and probe:
            probes = self._probes
            if probes is None:
                probes = self._probes = {}
            if len(probes) < self.policy.half_open_max_calls:
                number = next(generation.started)
                probes[number] = now
                self._have_rare().attempts += 1
                return generation, number
        if refuse:
            self._refuse(now)
        return None

    def rejected(self) -> None:
        """Tell of a refusal that was counted without the lock, as somebody wants to know of each.

        For those who ask `Shared.watched_refusals` first.
        """
        now = self.shared.clock()
        with self.lock:
            if self._wants("call_rejected"):
                wait = self._retry_after(now)
                self._tell("call_rejected", {"retry_after": wait, "reason": self.reason}, now)
            work = self._work()
        if work:
            self._do(work)

    def enlist(self, wake: Callable[[], object]) -> float | None:
        """Have `wake` called once when there may be a place for one more probe, or no more probes.

        Returns:
            Seconds until the oldest probe is given up; None if the circuit is not half-open.
        """
        now = self.shared.clock()
        with self.lock:
            if self.state is not State.HALF_OPEN:
                return None
            rare = self._have_rare()
            rare.waiters = [*(rare.waiters or ()), wake]
            return self._retry_after(now)

    def dismiss(self, wake: Callable[[], object]) -> None:
        """Call `wake` no more."""
        with self.lock:
            rare = self._rare
            if rare is not None and rare.waiters and wake in rare.waiters:
                rare.waiters.remove(wake)

    def refusal(self) -> CircuitOpenError:
        """Describe the refusal that `enter` has just counted."""
        now = self.shared.clock()
        with self.lock:
            state, wait, reason = self.state_at(now), self._retry_after(now), self.reason
        if watching.refusals:
            tell_refusal(self, state, wait, reason)
        return CircuitOpenError(self.name, self.scope, state, wait, reason)

    def probing(self, generation: Generation, number: int) -> bool:
        """Whether that call is a probe whose outcome the circuit still waits for."""
        now = self.shared.clock()
        with self.lock:
            self._look_at_clock(now)
            probing = generation is self.current and number in (self._probes or ())
            work = self._work()
        if work:
            self._do(work)
        return probing

    def standing(self, generation: Generation, number: int) -> tuple[State, bool]:
        """The state that has just let that call in, and whether the call is a probe."""
        with self.lock:
            # Somebody may have moved it since; then it is no probe any more either.
            return self.state, generation is self.current and number in (self._probes or ())

    def elapsed(self, generation: Generation, number: int) -> float | None:
        """Seconds since that call began, where that is known: to classify its outcome."""
        if type(generation) is Meter:
            began = generation.flight.get(number)
        else:
            with self.lock:
                began = (self._probes or {}).get(number) if generation is self.current else None
        return None if began is None else self.shared.clock() - began

    # Outcomes

    def succeeded(self, generation: Generation, number: int) -> None:
        """Settle a call that went well, where the lock-free way does not do.

        That is in half-open, where it was slow or a judge waits for it, and while somebody wants
        the events of successes.
        """
        self._before()
        now = self.shared.clock()
        if type(generation) is Meter and self._paused(generation, number, now):
            generation.flight.pop(number, None)  # so that it is not slow
        with self.lock:
            state = self.state
            self._succeed(generation, number, now)
            work = self._work()
        if work:
            self._do(work)
        if watching.calls:
            note_outcome(self, "success")
        if watching.successes:
            tell_success(self, state)

    def failed(
        self,
        generation: Generation,
        number: int,
        reason: str | None,
        error: BaseException | None = None,
        retry_after: float | None = None,
        result: object = None,
        named: Fault | None = None,
    ) -> None:
        """Settle a call that failed; `named` is what it is called, unless by its error.

        If that opens the circuit, it stays open for `retry_after` seconds when the other side
        has named them, but never longer than the policy's `max_expiry`.

        An exception that passes through nested entries of the same circuit is one failure: the
        inner entry counts it, the outer one (same exception, same thread, an earlier number)
        does not.
        """
        shared = self.shared
        if shared.leaked:
            self._before()
        call = None
        if error is not None:
            # What tells this exception from every other one, its namesake in memory included. Its
            # address does not: the next exception often lies where the last one lay. A reference to
            # it would keep its frames alive, and those of Python's own kinds cannot be referred to
            # weakly.
            stamp = object()
            try:
                stamp = error.__dict__.setdefault(STAMP, stamp)
            except Exception:  # noqa: BLE001 - a user's class may do as it likes with its dict
                pass
            # Nested entries have the thread and the task in common.
            call = (stamp, _this_thread(), _task(), generation.number, number)
        now = shared.clock()
        paused = self._paused(generation, number, now) if type(generation) is Meter else 0.0
        with self.lock:
            state, probes = self.state, self._probes
            began = None if probes is None else probes.get(number)
            nested = False
            counted = self._counted
            if (
                call is not None
                and counted is not None
                and call[0] is counted[0]
                and call[1:3] == counted[1:3]
                and call[3:] < counted[3:]
            ):
                nested = True
                self._ignore(generation, number, now)
            elif paused:
                self._ignore(generation, number, now)
                if self._wants("local_stall"):
                    self._tell_call("local_stall", f"paused for {spelt(paused)}: {reason}", now)
            else:
                if generation is self.current:
                    self._counted = call
                self._fail(generation, number, (reason, retry_after, error, result, named), now)
            # Mostly there is nothing in the log and nothing rare.
            work = 0 if self.log is None and self._rare is None else self._work()
        if work == RING:
            shared.bell(self)
        elif work:
            self._do(work)
        if watching.calls:
            note_outcome(self, "ignored" if nested or paused else "failure", reason)
        if watching.probes and not nested:
            probe = state is State.HALF_OPEN and began is not None
            duration = None if began is None else now - began
            tell_failure(
                self,
                state,
                reason,
                error,
                generation=generation.number,
                probe=probe,
                duration=duration,
            )

    def _paused(self, meter: Meter, number: int, now: float) -> float:
        """Seconds of a pause of our own that this call has met, if it was long enough; else 0."""
        if meter.stall_after is None:
            return 0.0
        began = meter.flight.get(number)
        if began is None:
            return 0.0
        longest = self.shared.pulses.longest(began, now)
        return longest if longest >= meter.stall_after else 0.0

    def ignored(self, generation: Generation, number: int, *, collected: bool = True) -> None:
        """Settle a call that says nothing: give its permit back and touch no counter of failures.

        Never waits for the lock: the collector ends generators and coroutines that were given
        up, and it may do so inside a locked section of this very thread. What cannot be settled
        now is settled before the next look at the breaker.

        Args:
            collected: whether it may be the collector that has ended the call. What is to be told
                of such a one is told with the next thing that happens.
        """
        if watching.calls and not collected:
            note_outcome(self, "ignored")
        self.shared.leaked.append((self, generation, number))
        self._before(wait=False)
        if self.shared.watched and not collected:
            with self.lock:
                ring = self._unrung()
            if ring:
                self.shared.bell(self)

    def report_success(self, *, ours: bool = False) -> None:
        """A success that was seen elsewhere; it applies to the current generation.

        Args:
            ours: whether our own loop reports it, on which no code of users runs.
        """

        if self.shared.bypass is not None:
            return
        if watching.calls and not ours:
            with report(self, "success"):
                self._report(None, ours=ours)
        else:
            self._report(None, ours=ours)

    def report_failure(
        self,
        reason: str | None,
        retry_after: float | None = None,
        *,
        error: BaseException | None = None,
        named: Fault | None = None,
        ours: bool = False,
    ) -> None:
        """A failure that was seen elsewhere; it applies to the current generation.

        While the circuit is open it is counted and changes nothing: neither the time of the
        opening nor the expiry moves.
        """

        if self.shared.bypass is not None:
            return
        failure = (reason, retry_after, error, None, named)
        if watching.calls and not ours:
            with report(self, "failure", reason):
                self._report(failure, ours=ours)
        else:
            self._report(failure, ours=ours)

    def _report(self, failure: Failure | None, *, ours: bool) -> None:
        """Count what was seen elsewhere: a failure, or else a success."""
        # As `_order`, and without what an order needs and this does not: it may be made for every
        # message of a stream.
        shared = self.shared
        if shared.leaked:
            self._before()
        if not self.registered:
            shared.revive(self)
        now = shared.clock()
        with self.lock:
            self._look_at_clock(now)
            generation = self.current.counting()
            next(generation.started)
            if failure is None:
                self._succeed(generation, None, now)
            else:
                self._fail(generation, None, failure, now)
            if generation is self.current:
                # One more begun and one settled. What else there was, the cleanup finds.
                self._mark += 2
                self._used_at = now
            else:
                self._look_at_counts(now)
            work = 0 if self.log is None and self._rare is None else self._work()
        if work:
            self._do(work, ours=ours)

    def bypassed(self) -> None:
        """Let calls in anew, as `Shared.bypass` was set or taken away."""
        with self.lock:
            self.admission = None
            self.meter = None
            self._readmit()

    def tick(self) -> float | None:
        """Do what the clock asks for; the seconds until it asks again, None when it does not.

        For the connection actor, which looks into the log next: no bell is rung.
        """
        self._before()
        now = self.shared.clock()
        with self.lock:
            self._look_at_clock(now)
            meter = self.meter
            if meter is not None and meter.timed and now >= meter.hung_at:
                self._look_at_flight(meter, now)
            work = self._work()
            due = self._due(now)
            if self._retired is not None:
                self._forget_settled()  # a third of what an open circuit weighs
        if work:
            self._do(work, ours=True)
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
            if state is State.OPEN and not healthy:
                self._have_rare().attempts += 1  # one that passes is counted with its report
            elif state is State.OPEN:
                self._half_open("health check passed", now)
            work = self._work()
        if work:
            self._do(work, ours=True)
        if healthy:
            self.report_success(ours=True)
        elif state is State.HALF_OPEN:
            self.report_failure(f"health check failed: {fault}", ours=True)

    def announce(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell whoever wants it of something that was noticed and moves nothing."""
        now = self.shared.clock()
        with self.lock:
            if self.registered:
                self._tell(event, fields, now)
            ring = self._unrung()
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
            entry = (CAME, self.key, self.state, self.state, None, self.registered_at)
            self.shared.tray.leave(entry)
            self._announce(("registration", "connection_registered"), now)
            self._readmit()
            return self._unrung()

    def shut_gate(self, event: str) -> bool:
        """Be unregistered: admit no call until `open_gate`; outcomes under way become late."""
        now = self.shared.clock()
        with self.lock:
            self._shut(event, now)
            self._free_place()
            wakes = self._wakes()
            # An actor that manages it has nothing to wait for any more.
            ring = self._unrung() or self.state is not State.CLOSED
        for wake in wakes:  # there is no verdict to wait for any more
            wake()
        return ring

    def _shut(self, event: str, now: float) -> None:
        self.admission = None
        self.meter = None
        self.reopen_at = NEVER
        self.registered = False
        entry = (WENT, self.key, self.state, self.state, None, self.shared.wall())
        self.shared.tray.leave(entry)
        self._announce((event,), now)
        self._next_generation(now)

    def idle_for(self, now: float) -> float:
        """Seconds since the registration or the last activity that a look like this has seen.

        Nothing while it must not be removed for being idle. Without a lock, as a million of these
        are looked at; before it acts on it, the cleanup asks again in `shut_if_idle`.
        """
        started, settled = self._look_at_counts(now)
        if self.state is not State.CLOSED or started != settled or self.log is not None:
            return 0.0
        if self._rare is not None and self._rare.expiry is not None:
            return 0.0  # somebody has set it by hand, and it is written nowhere else
        return now - self._used_at

    def _look_at_counts(self, now: float) -> tuple[int, int]:
        """Calls begun and settled in this generation; `now` they were used, if there are more."""
        generation = self.current
        settled = value(generation.succeeded) + generation.failed + generation.ignored
        started = value(generation.started)
        mark = (generation.number - 1 << 48) + started + settled
        if mark != self._mark:
            self._mark = mark
            self._used_at = now
            self._look_at_successes(now)
        return started, settled

    def _order(
        self, apply: Callable[[float], None], *, ring: bool = False, ours: bool = False
    ) -> None:
        def noted(now: float) -> None:
            apply(now)
            self._look_at_counts(now)  # here the time is known: no sweep has to find it out

        super()._order(noted, ring=ring, ours=ours)

    def shut_if_idle(self, threshold: float) -> bool | None:
        """Shut the gate if nothing has happened for so long; whether to ring, None if it stays.

        Threads: under the lock of the catalogue.
        """
        self._before(wait=False)  # which rings no bell
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
        self._begin_epoch(self.shared.next_epoch(), 0)
        self.log = None
        self._failures = self._failure_count()
        self._next_generation(self.shared.clock(), keep=True)
        self._retired = self._totals = None
        self.refused = count()
        rare = self._rare
        if rare is not None:
            rare.asked = rare.held = rare.outcomes = rare.waiters = None
            rare.watching = rare.wake = False
        self._readmit()

    # Reading

    def would_admit(self) -> bool:
        """Whether a call would be admitted now."""
        if self.admission is not None or self.meter is not None:
            return True
        self._before()
        now = self.shared.clock()
        with self.lock:
            if not self.registered:
                return False
            state = self.state_at(now)
            if state is not State.HALF_OPEN or self.state is not State.HALF_OPEN:
                return state in PASSING or state is State.HALF_OPEN
            probes = self._probes or {}
            return len(probes) < self.policy.half_open_max_calls or self._probes_overdue(now)

    def snapshot(self) -> Event:
        """An event `snapshot`; it stands behind all that has happened so far."""
        self._before()
        now, wall = self.shared.clock(), self.shared.wall()
        with self.lock:
            state = self.state  # not what the clock says: that transition is still to come
            data = Fields(
                {
                    "state": state,
                    "new_state": state,
                    "reason": self.reason,
                    "failure_count": self._failure_count(),
                    "generation": self.current.number,
                    "retry_after": self._retry_after(now),
                    **({"metadata": self.metadata} if self.metadata else {}),
                }
            )
            rules = self.shared.severities
            return Event(
                event="snapshot",
                connection=self.name,
                scope=self.scope,
                timestamp=utc(wall),
                monotonic=now,
                epoch=self.epoch,
                seq=None,
                event_id=f"{self.shared.source}-{self.epoch:x}-{self._events}-snapshot",
                severity=severity_of("snapshot", state)
                if rules is None
                else rules.of("snapshot", data, self.name, self.scope, self.kind),
                data=data,
                source=self.shared.source,
                kind=self.kind,
            )

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
                last_success_time=self._last_success(now),
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
                in_flight=totals.in_flight,
                window=self._window(now),
                kind=self.kind,
                metadata=self.metadata,
            )

    def _window(self, now: float) -> Window | None:
        meter = self.current
        if type(meter) is not Meter or meter.judge is None:
            return None
        content = meter.judge.content(value(meter.succeeded), now)
        return None if content is None else Window(*content)

    def why(self) -> Why:
        """The evidence behind the present state."""
        self._before()
        now = self.shared.clock()
        with self.lock:
            rare, state = self._rare, self.state_at(now)
            reason = self._moved_by
            if state is not self.state:
                reason = "expiry elapsed"
            return Why(
                connection=self.name,
                scope=self.scope,
                state=state,
                since=self.registered_at if self._transition_at is None else self._transition_at,
                reason=reason,
                cause=None if rare is None or rare.cause is None else Cause(*rare.cause),
                incidents=tuple(map(Incident.of, self._incidents or ())),
                retry_after=self._retry_after(now),
                isolated=0 if rare is None else rare.isolated,
                rules=explain(self.policy),
            )

    # The log

    def release(self) -> bool:
        """Give up the log if the circuit has nothing to manage; whether it was given up."""
        with self.lock:
            log = self.log
            if log is not None:
                log.trim()
            if (log is not None and log.records) or (
                self.registered and (self.state not in PASSING or self._watches_flight())
            ):
                return False
            self.log = None
            self._forget_settled()
            return True

    def _watches_flight(self) -> bool:
        meter = self.meter
        return meter is not None and meter.timed and meter.hung_at < NOT_WATCHED
