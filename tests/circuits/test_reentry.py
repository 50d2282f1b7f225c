"""The collector and handlers of signals run code of users in the middle of anything.

Here that code runs at every line of every locked section, one after the other, in the thread that
is inside; each time in a world of its own, in which everything must have been counted afterwards.
"""

from __future__ import annotations

import gc
import itertools
import signal
import sys
import threading
from pathlib import Path

import pytest

import brama.circuits
from brama.circuits import Bells, Catalogue, CircuitOpenError, CountWindow, State, TimeWindow

HERE = Path(brama.circuits.__file__).parent.name
PASSING = (State.CLOSED, State.DISABLED, State.METRICS_ONLY)


class Calls:
    """Calls through one circuit, and what has become of them."""

    def __init__(self, world, circuit):
        self.world, self.circuit = world, circuit
        self.made = self.failures = self.successes = self.ignored = self.refused = 0

    def fail(self):
        def failing():
            self.made += 1
            self.failures += 1
            raise OSError("no route")

        try:
            self.circuit.call(failing)
        except CircuitOpenError:
            self.refused += 1
        except OSError:
            pass

    def succeed(self):
        def fine():
            self.made += 1
            self.successes += 1

        try:
            self.circuit.call(fine)
        except CircuitOpenError:
            self.refused += 1

    def give_up(self):
        permit = self.circuit.try_acquire()
        if permit is None:
            self.refused += 1
        else:
            self.made += 1
            self.ignored += 1
            permit.ignore()

    def report(self):
        self.made += 1
        self.failures += 1
        self.circuit.failure("seen elsewhere")

    def look(self):
        circuit = self.circuit
        for reading in (circuit.status, circuit.why, circuit.dump, circuit._breaker.snapshot):
            reading()
        circuit.available()

    def open(self):
        self.circuit.open_circuit("by hand")

    def reset(self):
        self.circuit.reset_circuit()

    def force(self):
        self.circuit.force_open("by hand")

    def isolate(self):
        with self.circuit.isolate("by hand"):
            pass

    def configure(self):
        breaker = self.circuit._breaker
        breaker.reconfigure(breaker.policy, {})

    def expire(self):
        self.circuit.set_expiry(5.0)

    def tick(self):
        self.circuit._breaker.tick()

    def drain(self):
        breaker = self.circuit._breaker
        for record in breaker.take():
            record.published = True
        breaker.release()
        breaker.shared.settle(ours=True)  # as the bells do, once they have left their own lock


def apart(world, circuit):
    """One of another stripe."""
    made = (world.circuit(f"other_{number}") for number in itertools.count())
    return next(one for one in made if one._breaker.lock is not circuit._breaker.lock)


def closed(world):
    return world.circuit()


def fragile(world):
    return world.circuit(failure_threshold=1)


def windowed(world):
    return world.circuit(trip=CountWindow(size=4, rate=0.5, minimum=2))


def timed(world):
    return world.circuit(trip=TimeWindow(seconds=4, rate=0.5, minimum=2), slow_after=1.0)


def opened(world):
    circuit = world.circuit()
    circuit.open_circuit()
    return circuit


def half_open(world):
    return world.half_open()


OUTER = [
    (closed, Calls.fail),
    (closed, Calls.report),
    (closed, Calls.look),
    (closed, Calls.isolate),
    (closed, Calls.force),
    (fragile, Calls.fail),
    (windowed, Calls.fail),
    (windowed, Calls.configure),
    (timed, Calls.fail),
    (timed, Calls.succeed),
    (opened, Calls.fail),
    (opened, Calls.reset),
    (opened, Calls.expire),
    (opened, Calls.drain),
    (half_open, Calls.succeed),
    (half_open, Calls.fail),
    (half_open, Calls.give_up),
    (half_open, Calls.tick),
    (half_open, Calls.look),
]
INNER = [
    Calls.fail,
    Calls.succeed,
    Calls.give_up,
    Calls.report,
    Calls.look,
    Calls.open,
    Calls.reset,
    Calls.isolate,
]
FEW = [Calls.fail, Calls.give_up, Calls.look, Calls.open, Calls.isolate]
"""What each differs in; the rest is in the long run."""


def interrupted(lock, outer, inner, place, event="line"):
    """Run `outer`, and `inner` at the `place`-th event inside `lock`; whether it came so far."""
    events = itertools.count()
    done = False

    def inside(frame, what, _arg):
        nonlocal done
        if what == event and not done and lock._is_owned() and next(events) == place:
            done = True
            inner()
        return inside

    def entered(frame, _what, _arg):
        if Path(frame.f_code.co_filename).parent.name != HERE:
            return None
        frame.f_trace_opcodes = event == "opcode"
        return inside

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        outer()
    finally:
        sys.settrace(before)
    return done


def in_a_thread(function, seconds=60.0):
    """Run it, but not for ever."""
    raised = []

    def run():
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "a thread waits for a lock that it holds itself"
    if raised:
        raise raised[0]


def check(calls, records):
    breaker = calls.circuit._breaker
    assert not breaker.shared.leaked
    assert not breaker.shared.asked
    assert not breaker.lock._is_owned()
    status = calls.circuit.status()
    assert (status.successes, status.failures, status.ignored, status.refused) == (
        calls.successes,
        calls.failures,
        calls.ignored,
        calls.refused,
    )
    assert (status.calls, status.in_flight) == (calls.made, 0)
    assert status.half_open_in_flight == 0
    passes = breaker.admission or breaker.meter
    assert passes is (breaker.current if breaker.state in PASSING else None)
    # The log tells of one way through the states, which ends where it stands, numbered throughout.
    moves = [record for record in records(calls.circuit) if record.events[:1] == ("state_change",)]
    for former, latter in itertools.pairwise(moves):
        assert former.data["new_state"] is latter.data["previous_state"]
    assert not moves or moves[-1].data["new_state"] is breaker.state


def everywhere(new_world, records, make, outer, inner, event="line"):
    for place in itertools.count():
        world = new_world()
        calls = Calls(world, make(world))
        done = interrupted(
            calls.circuit._breaker.lock,
            lambda calls=calls: outer(calls),
            lambda calls=calls: inner(calls),
            place,
            event,
        )
        check(calls, records)
        if done and inner is Calls.open and outer not in (Calls.succeed, Calls.fail):
            assert calls.circuit._breaker.state is State.OPEN, "the order came to nothing"
        if not done:
            assert place, "there was no locked section"
            return


@pytest.mark.parametrize("inner", FEW, ids=lambda inner: inner.__name__)
@pytest.mark.parametrize(
    ("make", "outer"), OUTER, ids=[f"{make.__name__}-{outer.__name__}" for make, outer in OUTER]
)
def test_code_that_runs_inside_a_locked_section_neither_waits_nor_changes_what_is_half_done(
    world, watched, records, make, outer, inner
):
    in_a_thread(lambda: everywhere(type(world), records, make, outer, inner))


@pytest.mark.soak
@pytest.mark.parametrize("inner", INNER, ids=lambda inner: inner.__name__)
@pytest.mark.parametrize(
    ("make", "outer"), OUTER, ids=[f"{make.__name__}-{outer.__name__}" for make, outer in OUTER]
)
def test_so_it_is_between_any_two_instructions_while_somebody_wants_every_event(
    watched, records, make, outer, inner
):
    def another():
        world = type(watched)(watched.shared.interest)
        world.shared.watched = True
        return world

    in_a_thread(lambda: everywhere(another, records, make, outer, inner, "opcode"), 600.0)


@pytest.mark.parametrize("order", ["isolate", "unregister", "deactivate"])
def test_an_order_that_is_given_inside_takes_effect_when_the_section_is_left(world, order):
    catalogue = Catalogue(world.shared)
    circuit = catalogue.circuit("payment_api")
    held = []
    seen = []

    def inside():
        world.shared.wall = lambda: 0.0
        if order == "isolate":
            held.append(circuit.isolate("by hand"))
        elif order == "unregister":
            assert catalogue.unregister("payment_api")
        else:
            catalogue.deactivate()
        seen.append((circuit.state, circuit._breaker.registered, world.shared.bypass))
        return 0.0

    world.shared.wall = inside  # is asked for the time of the failure, inside
    in_a_thread(circuit.failure)
    assert seen == [(State.CLOSED, True, None)]
    if order == "isolate":
        assert circuit.state is State.FORCED_OPEN
        held[0].release()
        assert circuit.state is State.CLOSED
    elif order == "unregister":
        assert catalogue.find("payment_api") is None
        assert not circuit._breaker.registered
    else:
        assert circuit._breaker.admission is world.shared.bypass is not None


def test_orders_from_inside_are_carried_out_in_their_order_and_by_their_own_thread(world):
    circuit = world.circuit()
    apart_from_it = apart(world, circuit)
    ran = []

    def inside():
        world.shared.wall = lambda: 0.0
        for number in range(3):
            world.shared.later(
                lambda ours, number=number: ran.append((number, threading.get_ident()))
            )
        other = threading.Thread(target=apart_from_it.status)
        other.start()
        other.join()
        assert not ran
        return 0.0

    world.shared.wall = inside
    circuit.failure()
    assert ran == [(number, threading.get_ident()) for number in range(3)]


def test_a_finalizer_that_makes_a_failing_call_does_not_hang_the_thread_that_collects(world):
    circuit = world.circuit(failure_threshold=3)
    calls = Calls(world, circuit)

    class Last:
        def __init__(self):
            self.itself = self

        def __del__(self):
            calls.fail()

    def inside():
        world.shared.wall = lambda: 0.0
        gc.collect()
        return 0.0

    Last()
    world.shared.wall = inside
    in_a_thread(calls.report)
    status = circuit.status()
    assert (status.failures, status.failure_count, status.state) == (2, 2, State.CLOSED)
    in_a_thread(calls.fail)
    assert circuit.state is State.OPEN


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals here")
def test_a_handler_of_a_signal_may_make_a_failing_call_inside(world):
    circuit = world.circuit(failure_threshold=3)
    calls = Calls(world, circuit)
    inside = []

    def wall():
        world.shared.wall = lambda: 0.0
        signal.raise_signal(signal.SIGINT)
        return 0.0

    def handler(*_):
        inside.append(circuit._breaker.lock._is_owned())
        if inside[-1]:
            calls.fail()

    world.shared.wall = wall
    before = signal.signal(signal.SIGINT, handler)
    try:
        calls.report()
    finally:
        signal.signal(signal.SIGINT, before)
    assert inside == [True]
    assert circuit.status().failures == 2


def test_what_cannot_be_done_later_is_logged_and_stops_nothing_else(world, caplog):
    circuit = world.circuit()
    done = []

    def inside():
        world.shared.wall = lambda: 0.0
        world.shared.later(lambda ours: 1 / 0)
        world.shared.later(lambda *, ours: done.append(ours))
        return 0.0

    world.shared.wall = inside
    circuit.failure()
    assert done == [False]
    assert "could not be done" in caplog.text
    assert not world.shared.asked


def test_the_bells_wait_for_a_circuit_without_their_own_lock(world):
    # With it, whoever is inside and rings for another circuit would wait for them, and they for it.
    circuit = world.circuit()
    breaker, another = circuit._breaker, apart(world, circuit)._breaker
    bells = Bells(lambda function: None)
    bells.actors[breaker] = None
    left = []
    with breaker.lock:
        thread = threading.Thread(target=lambda: left.append(bells.leave(breaker)), daemon=True)
        thread.start()
        for _ in range(100):
            in_a_thread(lambda: bells.ring(another), 10.0)
        assert not left
    thread.join(10.0)
    assert left == [True]


def test_a_permit_that_is_given_back_inside_is_settled_when_the_section_is_left(world):
    circuit = world.circuit()
    permit = circuit.try_acquire()
    seen = []

    def inside():
        world.shared.wall = lambda: 0.0
        permit.ignore()
        seen.append(circuit.status().ignored)
        return 0.0

    world.shared.wall = inside
    in_a_thread(circuit.failure)
    assert seen == [0]
    assert not world.shared.leaked
    assert circuit.status().ignored == 1
