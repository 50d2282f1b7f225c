"""The breaker against a model that is slow, single-threaded and obviously right."""

from __future__ import annotations

import asyncio
import math
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from brama.circuits import (
    Breaker,
    Circuit,
    ConsecutiveFailures,
    CountWindow,
    Policy,
    Shared,
    TimeWindow,
    any_of,
)
from brama.circuits.testing import FakeClock

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
FORCED_OPEN, DISABLED, METRICS_ONLY = "forced_open", "disabled", "metrics_only"
PASSING = (CLOSED, DISABLED, METRICS_ONLY)

POLICIES = [
    Policy(expiry=10.0, failure_threshold=1),
    Policy(expiry=10.0, failure_threshold=2, half_open_timeout=4.0),
    Policy(expiry=10.0, failure_threshold=2, half_open_max_calls=2, success_threshold=3),
    Policy(
        expiry=2.0, failure_threshold=3, expiry_strategy="progressive", jitter=0.0, max_expiry=9.0
    ),
    Policy(
        expiry=2.0,
        failure_threshold=1,
        expiry_strategy="progressive",
        jitter=0.0,
        max_expiry=9.0,
        reset_after=5.0,
    ),
    Policy(expiry=10.0, trip=CountWindow(size=5, rate=0.5, minimum=3)),
    Policy(expiry=4.0, trip=TimeWindow(seconds=4.0, buckets=2, rate=0.4, minimum=2)),
    Policy(
        expiry=4.0,
        trip=any_of(ConsecutiveFailures(2), CountWindow(size=10, rate=0.3, minimum=4)),
        half_open_max_calls=2,
        success_threshold=2,
        failure_threshold_half_open=2,
        half_open_timeout=2.0,
    ),
]


class Call:
    """A call in the model: the stay in which it began."""

    def __init__(self, stay, began):
        self.stay = stay
        self.began = began
        self.lost = False  # as a probe, presumed so


class Model:
    """What the documentation says, without a thought for speed."""

    def __init__(self, policy):
        self.policy = policy
        self.state = CLOSED
        self.stay = 1
        self.row = 0  # failures in a row
        self.ended = []  # the calls of this stay in closed: when, and whether they failed
        self.opens = 0  # automatic openings in a row
        self.moved_at = -1e9
        self.reopens_at = 0.0
        self.own_expiry = None
        self.holders = 0
        self.below = None
        self.probes = []
        self.good_probes = self.bad_probes = 0
        self.moves = []
        self.count = dict.fromkeys(
            ("calls", "successes", "failures", "ignored", "refused", "late", "opened_count"), 0
        )

    def state_at(self, now):
        return HALF_OPEN if self.state == OPEN and now >= self.reopens_at else self.state

    def new_stay(self):
        self.stay += 1
        self.probes = []
        self.good_probes = self.bad_probes = 0

    def move(self, new, now):
        self.moves.append((self.state, new))
        self.state = new
        self.moved_at = now
        self.ended = []
        self.new_stay()

    def look_at_clock(self, now):
        if self.state_at(now) != self.state:
            self.move(HALF_OPEN, now)
        for call in self.probes:
            call.lost = now >= call.began + self.policy.half_open_timeout
        self.probes = [call for call in self.probes if not call.lost]

    def has_lost_a_probe(self, now):
        return any(now >= call.began + self.policy.half_open_timeout for call in self.probes)

    def would_admit(self, now):
        state = self.state_at(now)
        if state == HALF_OPEN and self.state == HALF_OPEN:
            return len(self.probes) < self.policy.half_open_max_calls or self.has_lost_a_probe(now)
        return state in (*PASSING, HALF_OPEN)

    def begin(self, now):
        self.look_at_clock(now)
        if not self.would_admit(now):
            self.count["refused"] += 1
            return None
        self.count["calls"] += 1
        call = Call(self.stay, now)
        if self.state == HALF_OPEN:
            self.probes.append(call)
        return call

    def end(self, call, outcome, now):
        self.count[
            {"success": "successes", "failure": "failures", "ignore": "ignored"}[outcome]
        ] += 1
        if call.stay != self.stay or call.lost:
            self.count["late"] += 1
            return
        if call in self.probes:
            self.probes.remove(call)
        if outcome != "ignore":
            self.apply(outcome, now)

    def report(self, outcome, now):
        self.look_at_clock(now)
        self.count["calls"] += 1
        self.count[{"success": "successes", "failure": "failures"}[outcome]] += 1
        self.apply(outcome, now)

    def apply(self, outcome, now):
        if self.state == HALF_OPEN:
            self.judge_probe(outcome, now)
        elif self.state in PASSING:
            self.row = self.row + 1 if outcome == "failure" else 0
            if self.state != DISABLED:
                self.ended.append((now, outcome == "failure"))
            if self.state == CLOSED and self.breaks(self.policy.trip, now):
                self.trip(now)

    def judge_probe(self, outcome, now):
        if outcome == "success":
            self.row = 0
            self.good_probes += 1
            if self.good_probes >= self.policy.success_threshold:
                self.move(CLOSED, now)
        else:
            self.row += 1
            self.bad_probes += 1
            if self.bad_probes >= self.policy.failure_threshold_half_open:
                self.trip(now)

    def breaks(self, trip, now):
        if isinstance(trip, ConsecutiveFailures):
            return self.row >= trip.failures  # what came before the stay, under other rules, too
        if isinstance(trip, CountWindow):
            window = self.ended[-trip.size :]
        elif isinstance(trip, TimeWindow):
            oldest = int(now // trip.width) - trip.buckets + 1
            window = [call for call in self.ended if int(call[0] // trip.width) >= oldest]
        else:
            return any(self.breaks(condition, now) for condition in trip.conditions)
        failures = sum(failed for _, failed in window)
        enough = len(window) >= trip.minimum and failures > 0
        return enough and failures / len(window) >= trip.rate

    def trip(self, now):
        if self.state == CLOSED and now - self.moved_at >= self.policy.reset_after:
            self.opens = 0
        self.opens += 1
        self.open_for(self.expiry() if self.own_expiry is None else self.own_expiry, now)

    def expiry(self):
        policy = self.policy
        if policy.expiry_strategy == "fixed":
            return policy.expiry
        return min(policy.max_expiry, policy.initial_expiry * 2.0 ** (self.opens - 1))

    def open_for(self, seconds, now):
        self.reopens_at = now + seconds
        if self.state != OPEN:
            self.count["opened_count"] += 1
            self.move(OPEN, now)

    # Orders

    def open(self, seconds, now):
        self.look_at_clock(now)
        if seconds is None:
            seconds = self.policy.expiry if self.own_expiry is None else self.own_expiry
        if self.holders:
            if self.below != OPEN:
                self.opened_below = now
            self.below, self.reopens_below = OPEN, now + seconds
        else:
            self.open_for(seconds, now)

    def close(self, now):
        self.look_at_clock(now)
        if self.holders:
            self.below = CLOSED
            return
        self.row = self.opens = 0
        if self.state != CLOSED:
            self.move(CLOSED, now)
        elif not isinstance(self.policy.trip, ConsecutiveFailures):
            self.ended = []
            self.new_stay()

    def reset(self, now):
        self.look_at_clock(now)
        if self.holders:
            self.below = CLOSED
            return
        self.row = self.opens = 0
        self.move(CLOSED, now)

    def force(self, state, now):
        self.look_at_clock(now)
        if self.holders:
            self.below = state
        else:
            self.go(state, now)

    def go(self, state, now):
        if state != self.state:
            self.row = self.opens = 0
            self.count["opened_count"] += state == FORCED_OPEN
            self.move(state, now)

    def isolate(self, now):
        self.look_at_clock(now)
        self.holders += 1
        if self.holders > 1:
            return
        self.below, self.reopens_below = self.state, self.reopens_at
        self.opened_below = self.moved_at
        if self.state == HALF_OPEN:
            self.below, self.reopens_below, self.opened_below = OPEN, now, now
        if self.state != FORCED_OPEN:
            self.move(FORCED_OPEN, now)

    def let_go(self, now):
        self.look_at_clock(now)
        self.holders -= 1
        if self.holders:
            return
        if self.below == CLOSED:
            self.row = 0
            self.move(CLOSED, now)
        elif self.below == OPEN:
            self.reopens_at = self.reopens_below
            self.move(OPEN, now)
            self.look_at_clock(now)
        else:
            self.go(self.below, now)

    def set_expiry(self, seconds, now):
        self.look_at_clock(now)
        self.own_expiry = seconds
        if self.holders and self.below == OPEN:
            self.reopens_below = self.opened_below + seconds
        if self.state == OPEN:
            self.reopens_at = self.moved_at + seconds
            self.look_at_clock(now)

    def reset_expiry(self, now):
        self.look_at_clock(now)
        self.own_expiry = None
        if self.holders and self.below == OPEN:
            self.reopens_below = now
        if self.state == OPEN:
            self.reopens_at = now
            self.look_at_clock(now)

    def reconfigure(self, policy, now):
        self.look_at_clock(now)
        if policy != self.policy:
            self.new_stay()
            if policy.trip != self.policy.trip:
                self.ended = []
        self.policy = policy

    def retry_after(self, now):
        if self.state == OPEN:
            return max(0.0, self.reopens_at - now)
        if self.state == FORCED_OPEN:
            return math.inf
        if self.state == HALF_OPEN and len(self.probes) >= self.policy.half_open_max_calls:
            first = min(call.began for call in self.probes)
            return max(0.0, first + self.policy.half_open_timeout - now)
        return 0.0


def at_once(functions):
    """What they return, each called in a thread of its own, at the same time."""
    results = []
    start = threading.Barrier(len(functions)) if functions else None

    def run(function):
        start.wait(10)
        results.append(function())

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class BreakerMachine(RuleBasedStateMachine):
    """Calls that begin and end at any time, the clock, and hands at the controls."""

    calls = Bundle("calls")
    holders = Bundle("holders")

    @initialize(policy=st.sampled_from(POLICIES))
    def start(self, policy):
        self.clock = FakeClock(100.0)
        breaker = Breaker("search", None, policy, Shared(clock=self.clock, wall=lambda: 0.0))
        breaker.open_gate()
        self.circuit = Circuit(breaker)
        self.model = Model(policy)
        self.log = []

    @rule(target=calls)
    def begin(self):
        call = self.model.begin(self.clock())
        permit = self.circuit.try_acquire()
        assert (permit is None) == (call is None)
        return permit, call

    @rule(call=consumes(calls), outcome=st.sampled_from(["success", "failure", "ignore"]))
    def end(self, call, outcome):
        permit, model = call
        if permit is not None and permit.pending:
            getattr(permit, outcome)()
            self.model.end(model, outcome, self.clock())

    @rule(call=calls, outcome=st.sampled_from(["success", "failure", "ignore"]))
    def say_another_word_about_a_settled_call(self, call, outcome):
        permit, _ = call
        if permit is not None and not permit.pending:
            getattr(permit, outcome)()

    @rule(
        call=calls,
        error=st.sampled_from([OSError, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]),
    )
    def leave_by_an_exception_and_keep_the_permit(self, call, error):
        permit, model = call
        if permit is not None and permit.pending:
            permit.__exit__(error, error(), None)
            outcome = "failure" if error is OSError else "ignore"
            self.model.end(model, outcome, self.clock())

    @rule(outcome=st.sampled_from(["success", "failure"]))
    def make_a_decorated_call(self, outcome):
        @self.circuit
        def call():
            if outcome == "failure":
                raise OSError

        model = self.model.begin(self.clock())
        try:
            call()
        except OSError:
            assert outcome == "failure"
        except Exception:
            assert model is None
        if model is not None:
            self.model.end(model, outcome, self.clock())

    @rule(outcome=st.sampled_from(["success", "failure", "ignore"]))
    def call_from_several_threads_at_once(self, outcome):
        # All begin, then all end alike: whoever comes first, the sum is the same.
        permits = at_once([self.circuit.try_acquire] * 4)
        models = [self.model.begin(self.clock()) for _ in permits]
        permits = [permit for permit in permits if permit is not None]
        models = [model for model in models if model is not None]
        assert len(permits) == len(models)
        at_once([getattr(permit, outcome) for permit in permits])
        for model in models:
            self.model.end(model, outcome, self.clock())

    @rule()
    def abandon_a_call(self):
        model = self.model.begin(self.clock())
        permit = self.circuit.try_acquire()
        assert (permit is None) == (model is None)
        del permit
        if model is not None:
            self.model.end(model, "ignore", self.clock())

    @rule(by=st.sampled_from([0.5, 2.0, 4.0, 10.0]))
    def advance(self, by):
        self.clock.advance(by)

    @rule()
    def tick(self):
        self.circuit._breaker.tick()
        self.model.look_at_clock(self.clock())

    @rule(outcome=st.sampled_from(["success", "failure"]))
    def report(self, outcome):
        getattr(self.circuit, outcome)()
        self.model.report(outcome, self.clock())

    @rule(seconds=st.sampled_from([None, 1.0, 20.0]))
    def open(self, seconds):
        self.circuit.open_circuit(expires_in=seconds)
        self.model.open(seconds, self.clock())

    @rule()
    def close(self):
        self.circuit.close_circuit()
        self.model.close(self.clock())

    @rule()
    def reset(self):
        self.circuit.reset_circuit()
        self.model.reset(self.clock())

    @rule(order=st.sampled_from([FORCED_OPEN, DISABLED, METRICS_ONLY]))
    def force(self, order):
        names = {FORCED_OPEN: "force_open", DISABLED: "disable", METRICS_ONLY: "metrics_only"}
        getattr(self.circuit, names[order])()
        self.model.force(order, self.clock())

    @rule(target=holders)
    def isolate(self):
        self.model.isolate(self.clock())
        return self.circuit.isolate()

    @rule(holder=consumes(holders))
    def let_go(self, holder):
        holder.release()
        self.model.let_go(self.clock())

    @rule(seconds=st.sampled_from([1.0, 3.0, 30.0, math.inf]))
    def set_expiry(self, seconds):
        if seconds == math.inf:
            self.circuit.disable_expiry()
        else:
            self.circuit.set_expiry(seconds)
        self.model.set_expiry(seconds, self.clock())

    @rule()
    def reset_expiry(self):
        self.circuit.reset_expiry()
        self.model.reset_expiry(self.clock())

    @rule(policy=st.sampled_from(POLICIES))
    def reconfigure(self, policy):
        self.circuit._breaker.reconfigure(policy, {})
        self.model.reconfigure(policy, self.clock())

    @invariant()
    def both_say_the_same(self):
        now, model, status = self.clock(), self.model, self.circuit.status()
        assert self.circuit.state == status.state == model.state_at(now)
        assert self.circuit.available() == model.would_admit(now)
        assert status.failure_count == model.row
        assert status.retry_after == pytest.approx(model.retry_after(now))
        assert status.half_open_in_flight == len(model.probes)
        assert status.generation == model.stay
        assert {name: getattr(status, name) for name in model.count} == model.count
        settled = status.successes + status.failures + status.ignored
        assert status.in_flight == status.calls - settled

    @invariant()
    def the_log_tells_every_move_in_order(self):
        for record in self.circuit._breaker.pending():
            assert record.seq == 1 + sum(len(earlier.events) for earlier in self.log)
            assert record.lost == 0
            record.published = True
            self.log.append(record)
        assert [
            (record.data["previous_state"], record.data["new_state"]) for record in self.log
        ] == self.model.moves


TestBreakerAgainstTheModel = pytest.mark.requirement(
    "BR-R01", "BR-R02", "BR-R03", "BR-R04", "BR-R05", "BR-R16", "BR-08"
)(BreakerMachine.TestCase)
TestBreakerAgainstTheModel.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None
)
