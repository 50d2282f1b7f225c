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

The classes below each other: `Recorder` keeps the log, `Machine` moves under the lock and
`Settlement` by the end of a call, `Gate` lets threads in and out, `Controls` takes orders,
`Registration` comes and goes, `Readings` says how it stands, and `Breaker` takes calls.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from math import inf

import trio
from sniffio import thread_local as library

from brama.telemetry import watching

from .errors import CircuitOpenError
from .failure import Failure
from .fault import STAMP, Fault
from .gate import RING
from .generation import NOTHING_FLIES, UNUSED, Generation, Meter
from .machine import PASSING
from .options import spelt
from .readings import Readings
from .state import State
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


class Breaker(Readings):
    """One circuit breaker.

    Threads: every method from any thread.
    """

    __slots__ = ("__weakref__",)

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
        if self.lock._is_owned():
            self.shared.then(partial(self.shared.bell, self))
        else:
            self.shared.bell(self)

    def _scan(self, meter: Meter, now: float) -> None:
        if self.lock._is_owned():
            return  # the next call looks
        with self.lock:
            if self.current is meter:
                self._look_at_flight(meter, now)
            work = self._work()
        if work:
            self._do(work)
        if self.shared.asked:
            self.shared.settle()

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
        shared = self.shared
        if self.lock._is_owned():
            return self._enter_inside(refuse)
        if shared.leaked:
            shared.settle()
        if not self.registered:
            shared.revive(self)
        now = shared.clock()
        with self.lock:
            entry = self._enter(now, probe, refuse)
            work = self._work()
        if work:
            self._do(work)
        if shared.asked:
            shared.settle()
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

    def _enter_inside(self, refuse: bool) -> tuple[Generation, int] | None:
        """The same inside a locked section of this very thread.

        Nothing is moved, so that nobody is a probe here; and a circuit that is about to change its
        state refuses, for the generation that it then has is not there yet.
        """
        if self.shared.bypass is not None:
            return self.shared.bypass, next(self.shared.bypass.started)
        generation = self.current
        if self.state in PASSING and generation.started is not UNUSED:
            number = next(generation.started)
            if type(generation) is Meter and generation.timed:
                generation.flight[number] = self.shared.clock()
            return generation, number
        if refuse:
            next(self.refused)
            if self.shared.watched_refusals:
                self.rejected()
        return None

    def rejected(self) -> None:
        """Tell of a refusal that was counted without the lock, as somebody wants to know of each.

        For those who ask `Shared.watched_refusals` first.
        """
        if self.lock._is_owned():
            self.shared.then(self.rejected)
            return
        now = self.shared.clock()
        with self.lock:
            if self._wants("call_rejected"):
                wait = self._retry_after(now)
                self._tell("call_rejected", {"retry_after": wait, "reason": self.reason}, now)
            work = self._work()
        if work:
            self._do(work)
        if self.shared.asked:
            self.shared.settle()

    def refusal(self) -> CircuitOpenError:
        """Describe the refusal that `enter` has just counted."""
        now = self.shared.clock()
        with self.lock:
            state, wait, reason = self.state_at(now), self._retry_after(now), self.reason
        if self.shared.asked:
            self.shared.settle()
        if watching.refusals:
            tell_refusal(self, state, wait, reason)
        return CircuitOpenError(self.name, self.scope, state, wait, reason)

    def probing(self, generation: Generation, number: int) -> bool:
        """Whether that call is a probe whose outcome the circuit still waits for."""
        now = self.shared.clock()
        if self.lock._is_owned():
            return generation is self.current and number in (self._probes or ())
        with self.lock:
            self._look_at_clock(now)
            probing = generation is self.current and number in (self._probes or ())
            work = self._work()
        if work:
            self._do(work)
        if self.shared.asked:
            self.shared.settle()
        return probing

    def standing(self, generation: Generation, number: int) -> tuple[State, bool]:
        """The state that has just let that call in, and whether the call is a probe."""
        with self.lock:
            # Somebody may have moved it since; then it is no probe any more either.
            found = self.state, generation is self.current and number in (self._probes or ())
        if self.shared.asked:
            self.shared.settle()
        return found

    def elapsed(self, generation: Generation, number: int) -> float | None:
        """Seconds since that call began, where that is known: to classify its outcome."""
        if type(generation) is Meter:
            began = generation.flight.get(number)
        else:
            with self.lock:
                began = (self._probes or {}).get(number) if generation is self.current else None
            if self.shared.asked:
                self.shared.settle()
        return None if began is None else self.shared.clock() - began

    # Outcomes

    def succeeded(self, generation: Generation, number: int, *, ours: bool = False) -> None:
        """Settle a call that went well, where the lock-free way does not do.

        That is in half-open, where it was slow or a judge waits for it, and while somebody wants
        the events of successes.
        """
        if self.lock._is_owned():
            self.shared.later(partial(self.succeeded, generation, number))
            return
        if self.shared.leaked:
            self.shared.settle(ours=ours)
        now = self.shared.clock()
        if type(generation) is Meter and self._paused(generation, number, now):
            generation.flight.pop(number, None)  # so that it is not slow
        with self.lock:
            state = self.state
            self._succeed(generation, number, now)
            work = self._work()
        if work:
            self._do(work, ours=ours)
        if self.shared.asked:
            self.shared.settle(ours=ours)
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
        *,
        ours: bool = False,
    ) -> None:
        """Settle a call that failed; `named` is what it is called, unless by its error.

        If that opens the circuit, it stays open for `retry_after` seconds when the other side
        has named them, but never longer than the policy's `max_expiry`.

        An exception that passes through nested entries of the same circuit is one failure: the
        inner entry counts it, the outer one (same exception, same thread, an earlier number)
        does not.
        """
        shared = self.shared
        if self.lock._is_owned():
            args = generation, number, reason, error, retry_after, result, named
            shared.later(partial(self.failed, *args))
            return
        if shared.leaked:
            shared.settle(ours=ours)
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
            began = None
            if probes is not None and generation is self.current:
                began = probes.get(number)
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
            self._do(work, ours=ours)
        if shared.asked:
            shared.settle(ours=ours)
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
        self.shared.settle(wait=False)
        if self.shared.watched and not collected and not self.lock._is_owned():
            with self.lock:
                ring = self._unrung()
            if ring:
                self.shared.bell(self)
        if self.shared.asked:
            self.shared.do_asked()

    # Reports from elsewhere

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
        if self.lock._is_owned():
            shared.later(partial(self._report, failure))
            return
        if shared.leaked:
            shared.settle(ours=ours)
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
        if shared.asked:
            shared.settle(ours=ours)

    # The actor's side

    def tick(self) -> float | None:
        """Do what the clock asks for; the seconds until it asks again, None when it does not.

        For the connection actor, which looks into the log next: no bell is rung.
        """
        if self.shared.leaked:
            self.shared.settle(ours=True)
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
        if self.shared.asked:
            self.shared.settle(ours=True)
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
        if self.shared.asked:
            self.shared.settle(ours=True)
        if healthy:
            self.report_success(ours=True)
        elif state is State.HALF_OPEN:
            self.report_failure(f"health check failed: {fault}", ours=True)
