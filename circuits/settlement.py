"""What the end of a call does to its circuit: it is counted, judged, and may open or close it.

Everything here runs under the lock of the breaker, is told the time, and calls no code of users.
"""

from __future__ import annotations

from collections import deque

from brama.telemetry import Context, SpanContext, capture, recorded_span

from .evidence import KEPT, Seen
from .expiry import open_for
from .failure import NOTHING_SAID, Failure, said, shown
from .fault import fault_of
from .generation import NOTHING_FLIES, Generation, Meter, parsed, value
from .machine import CLOSED, HALF_OPEN, JUDGED, PASSING, Machine
from .options import spelt
from .outcome import Outcome
from .rare import Rare
from .state import State

__all__ = ["Settlement"]

MISSING = object()


class Settlement(Machine):
    """What the end of a call does to its circuit.

    Threads: under the lock.
    """

    __slots__ = ()

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
            outcome = shown(failure, _since(began, now), slow)
        if state is HALF_OPEN:
            self._probe_ended(number, reason, now, failed=True, failure=failure, outcome=outcome)
            return
        if state not in PASSING:
            return
        seen = repr(generation.succeeded)
        if seen == self._seen:
            self._failures += 1
        else:
            self._begin_row(generation, seen, now)
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
            self._begin_row(generation, seen, now)
        context = capture()  # asked once, for the evidence and for the events
        self._note((at, failure[0], False, recorded_span(context) if context else None))
        if self._failures >= self.policy.failure_threshold:
            outcome = None
            if callable(self.policy.expiry_strategy):
                outcome = shown(failure, None, False)
            self._trip(f"{self._failures} failures in a row", now, failure, outcome, context)
            return
        if self._wants("failure"):
            self._tell_failure(failure, now, context)
        if self.admission is not generation:
            self._readmit()

    def _begin_row(self, generation: Generation, seen: str, now: float) -> None:
        """The first failure after a success."""
        self._seen = seen
        self._failures = 1
        if type(generation) is Generation:
            self._incidents = None  # of a row that is over; a window may count them still
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

    # Neutral and late ones, refusals

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

    # Evidence

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

    # Calls under way

    def _look_at_flight(self, meter: Meter, now: float) -> None:
        """Count the calls under way that are slow by now; open if they are too many."""
        meter.hung_at = NOTHING_FLIES  # first: a call that begins now sets it again
        # A copy is one step; while a list of pairs is made the collector may run, and end a call.
        calls = meter.flight.copy()
        waiting = [began for number, began in calls.items() if number not in meter.hung]
        for number, began in calls.items():
            if number in meter.hung or now < began + meter.slow_after:
                continue
            if (
                meter.stall_after is not None
                and self.shared.pulses.longest(began, now) >= meter.stall_after
            ):
                # It may not have had its turn; its time begins anew. One that has just ended must
                # not come back, and one that ends between the two steps waits for the lock.
                if meter.flight.pop(number, None) is not None:
                    meter.flight[number] = now
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

    # Telling

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


def _since(began: float | None, now: float) -> float | None:
    return None if began is None else now - began
