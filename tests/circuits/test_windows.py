"""Windows of calls and of time, against a list of outcomes that is searched anew each time."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brama.circuits import (
    ConsecutiveFailures,
    CountWindow,
    Policy,
    State,
    TimeWindow,
    Window,
    any_of,
)

from .conftest import World

requirement = pytest.mark.requirement


def run(circuit, outcomes):
    """Make calls that end as `outcomes` say (``s`` or ``f``); the states after each."""
    states = []
    for outcome in outcomes:
        permit = circuit.try_acquire()
        if permit is None:
            states.append("refused")
            continue
        permit.success() if outcome == "s" else permit.failure("Timeout")
        states.append(circuit.state.value)
    return states


# Windows of calls, in the words of the specifications of the field


@requirement("BR-05")
@pytest.mark.parametrize(
    ("trip", "outcomes", "opens_at"),
    [
        # MicroProfile Fault Tolerance: half of a full window of four
        (CountWindow(size=4, rate=0.5), "sffs", 4),
        (CountWindow(size=4, rate=0.5), "ffss", 4),  # also by a success, which fills the window
        (CountWindow(size=4, rate=0.5), "ff", None),  # not full yet
        (CountWindow(size=4, rate=0.75), "sfsfsff", 7),  # f s f f: three of four
        (CountWindow(size=4, rate=0.75), "sfsfsfsf", None),
        (CountWindow(size=10, rate=0.2, minimum=5), "ssssf", 5),
        (CountWindow(size=10, rate=0.2, minimum=5), "sssff", 5),
        (CountWindow(size=2, rate=1.0), "fsfsff", 6),
        # what has left the window does not count any more
        (CountWindow(size=3, rate=0.67), "fssf" + "ss" + "f", None),
        (CountWindow(size=100, rate=0.5, minimum=10), "f" * 9, None),
        (CountWindow(size=100, rate=0.5, minimum=10), "f" * 10, 10),
        (CountWindow(size=100, rate=0.5, minimum=10), "s" * 5 + "f" * 5, 10),
        (CountWindow(size=100, rate=0.5, minimum=10), "s" * 50 + "f" * 49, None),
        (CountWindow(size=100, rate=0.5, minimum=10), "s" * 50 + "f" * 50, 100),
    ],
)
def test_a_window_of_calls_opens_with_the_call_that_reaches_its_rate(trip, outcomes, opens_at):
    circuit = World().circuit(trip=trip)
    states = run(circuit, outcomes)
    assert ("open" in states) == (opens_at is not None)
    if opens_at is not None:
        assert states.index("open") + 1 == opens_at


@requirement("BR-05")
def test_neutral_calls_are_not_in_the_window():
    circuit = World().circuit(trip=CountWindow(size=4, rate=0.5))
    run(circuit, "ff")
    for _ in range(50):
        circuit.try_acquire().ignore()
    assert run(circuit, "ss")[-1] == "open"


@requirement("BR-05")
def test_a_closed_circuit_begins_with_an_empty_window():
    world = World()
    circuit = world.circuit(trip=CountWindow(size=4, rate=0.5), expiry=10.0)
    assert run(circuit, "ffff")[-1] == "open"
    world.clock.advance(10)
    assert run(circuit, "sfff") == ["closed"] * 4
    assert circuit.status().failure_count == 3


@requirement("BR-05", "BR-24")
def test_a_window_goes_on_when_another_option_is_changed_and_not_when_it_is():
    world = World()
    trip = CountWindow(size=4, rate=0.5)
    circuit = world.circuit(trip=trip)
    run(circuit, "fss")
    circuit._breaker.reconfigure(Policy(trip=trip, expiry=5.0), {})
    assert run(circuit, "f") == ["open"]
    circuit = world.circuit("other", trip=trip)
    run(circuit, "fss")
    circuit._breaker.reconfigure(Policy(trip=CountWindow(size=4, rate=0.6)), {})
    assert run(circuit, "fff") == ["closed"] * 3


class Ring:
    """The last calls, as a list."""

    def __init__(self, trip):
        self.trip = trip
        self.calls = []

    def end(self, failed, _now):
        self.calls = [*self.calls, failed][-self.trip.size :]
        enough = len(self.calls) >= self.trip.minimum
        return enough and sum(self.calls) >= self.trip.rate * len(self.calls)

    def content(self, _now):
        return Window(calls=len(self.calls), failures=sum(self.calls), slow=0)


class Buckets:
    """The calls of the last seconds, as a list of times."""

    def __init__(self, trip):
        self.trip = trip
        self.calls = []

    def end(self, failed, now):
        bucket = int(now // self.trip.width)
        self.calls.append((bucket, failed))
        self.calls = [call for call in self.calls if call[0] > bucket - self.trip.buckets]
        failures = sum(failed for _, failed in self.calls)
        enough = len(self.calls) >= self.trip.minimum
        return enough and failures > 0 and failures >= self.trip.rate * len(self.calls)

    def content(self, now):
        oldest = int(now // self.trip.width) - self.trip.buckets
        left = [failed for bucket, failed in self.calls if bucket > oldest]
        return Window(calls=len(left), failures=sum(left), slow=0)


class InARow:
    def __init__(self, trip):
        self.trip = trip
        self.row = 0

    def end(self, failed, _now):
        self.row = self.row + 1 if failed else 0
        return self.row >= self.trip.failures

    def content(self, _now):
        return None


class AnyOne:
    def __init__(self, trip):
        self.parts = [model_of(condition) for condition in trip.conditions]

    def end(self, failed, now):
        found = [part.end(failed, now) for part in self.parts]  # every one must hear of it
        return any(found)

    def content(self, now):
        return next(filter(None, [part.content(now) for part in self.parts]), None)


def model_of(trip):
    return {
        CountWindow: Ring,
        TimeWindow: Buckets,
        ConsecutiveFailures: InARow,
        type(any_of(trip)): AnyOne,
    }[type(trip)](trip)


COUNTS = st.builds(
    lambda size, rate, share: CountWindow(size, rate, max(1, round(size * share))),
    st.integers(1, 12),
    st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
    st.floats(0.1, 1.0),
)
TIMES = st.builds(
    TimeWindow,
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(1, 5),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.integers(1, 6),
)
ROWS = st.builds(ConsecutiveFailures, st.integers(1, 5))
TRIPS = st.one_of(
    COUNTS, TIMES, ROWS, st.builds(any_of, st.one_of(COUNTS, TIMES, ROWS), COUNTS, TIMES)
)
STEPS = st.lists(
    st.tuples(st.sampled_from("sssf"), st.sampled_from([0.0, 0.0, 0.1, 0.25, 1.0])),
    max_size=40,
)


@requirement("BR-05")
@settings(max_examples=400, deadline=None)
@example(
    trip=TimeWindow(1.0, 5, 0.1, 2),
    steps=[("s", 0.0), ("s", 0.0), ("f", 1.0)],
    timed=False,
    forms=[False] * 40,
)
@given(trip=TRIPS, steps=STEPS, timed=st.booleans(), forms=st.lists(st.booleans(), min_size=40))
def test_every_window_opens_exactly_when_a_list_of_its_calls_says_so(trip, steps, timed, forms):
    world, model = World(), model_of(trip)
    circuit = world.circuit(trip=trip, slow_after=1000.0 if timed else None)
    guarded = circuit(act)
    for (outcome, wait), decorated in zip(steps, forms, strict=False):
        world.clock.advance(wait)
        if decorated:
            assert circuit.status().window == model.content(world.clock())
            try:
                guarded(outcome)
            except OSError:
                pass
        else:
            permit = circuit.try_acquire()
            permit.success() if outcome == "s" else permit.failure()
        expected = model.end(outcome == "f", world.clock())
        assert (circuit.state is State.OPEN) == bool(expected)
        if expected:
            assert circuit.status().window is None
            return
        if not decorated:
            assert circuit.status().window == model.content(world.clock())


@requirement("BR-01")
def test_the_status_shows_what_the_window_holds():
    world = World()
    trip = TimeWindow(seconds=10, buckets=10, rate=0.9, minimum=10)
    circuit = world.circuit(trip=trip, slow_after=2.0)
    late = circuit.try_acquire()
    world.clock.advance(1.0)
    run(circuit, "ssf")
    world.clock.advance(3.0)
    assert circuit.status().window == Window(calls=3, failures=1, slow=0)
    late.success()
    assert circuit.status().window == Window(calls=4, failures=1, slow=1)
    world.clock.advance(8.0)
    assert circuit.status().window == Window(calls=1, failures=0, slow=1)
    circuit.open_circuit()
    assert circuit.status().window is None


def act(outcome):
    if outcome == "f":
        raise OSError


# Windows of time


@requirement("BR-05")
def test_a_window_of_time_forgets():
    world = World()
    circuit = world.circuit(trip=TimeWindow(seconds=10, buckets=10, rate=0.5, minimum=4))
    run(circuit, "fff")
    world.clock.advance(10)
    assert run(circuit, "fff") == ["closed"] * 3
    assert run(circuit, "s") == ["open"]


@requirement("BR-05")
def test_old_successes_that_are_forgotten_let_the_rate_rise():
    world = World()
    circuit = world.circuit(trip=TimeWindow(seconds=10, buckets=10, rate=0.5, minimum=4))
    run(circuit, "s" * 10)
    world.clock.advance(5)
    run(circuit, "f" * 6)
    assert circuit.state is State.CLOSED
    world.clock.advance(5)
    assert run(circuit, "s") == ["open"]
    assert circuit.status().reason == "6 of 7 calls failed"


@requirement("BR-05")
def test_a_window_may_be_shorter_than_a_second():
    world = World()
    circuit = world.circuit(trip=TimeWindow(seconds=0.5, buckets=5, rate=0.5, minimum=2))
    run(circuit, "f")
    world.clock.advance(0.5)
    assert run(circuit, "f") == ["closed"]
    world.clock.advance(0.1)
    assert run(circuit, "f") == ["open"]


# Slow calls


def slow(world, circuit, seconds, fail=False):
    permit = circuit.try_acquire()
    world.clock.advance(seconds)
    permit.failure() if fail else permit.success()


@requirement("BR-05")
def test_too_many_slow_calls_open_a_window():
    world = World()
    circuit = world.circuit(trip=CountWindow(size=4, rate=1.0), slow_after=2.0, slow_rate=0.5)
    for seconds in (0.1, 1.9, 2.0):
        slow(world, circuit, seconds)
    assert circuit.state is State.CLOSED
    slow(world, circuit, 3.0)
    assert circuit.state is State.OPEN
    assert circuit.status().reason == "2 of 4 calls were slow"


@requirement("BR-05")
def test_slow_calls_in_a_row_open_like_failures_in_a_row():
    world = World()
    circuit = world.circuit(failure_threshold=3, slow_after=2.0)
    for seconds in (2.0, 2.0, 0.1, 2.0, 2.0):
        slow(world, circuit, seconds)
    assert circuit.state is State.CLOSED
    slow(world, circuit, 2.0)
    assert circuit.state is State.OPEN


def test_a_slow_probe_has_failed():
    world = World()
    circuit = world.half_open(slow_after=2.0)
    slow(world, circuit, 1.0)
    assert circuit.state is State.CLOSED
    circuit.open_circuit(expires_in=10)
    world.clock.advance(10)
    slow(world, circuit, 2.0)
    assert circuit.state is State.OPEN
    assert circuit.status().reason == "slow probe"


# Calls that hang


@requirement("BR-05")
def test_calls_that_hang_open_the_circuit_before_they_return():
    world = World()
    circuit = world.circuit(failure_threshold=3, slow_after=2.0)
    hanging = [circuit.try_acquire() for _ in range(3)]
    world.clock.advance(1.9)
    circuit.try_acquire().ignore()
    assert circuit.state is State.CLOSED
    world.clock.advance(0.1)
    assert circuit.try_acquire() is None
    assert circuit.state is State.OPEN
    assert circuit.status().in_flight == 3
    for permit in hanging:
        permit.success()
    assert (circuit.state, circuit.status().late) == (State.OPEN, 3)


def test_the_timer_finds_calls_that_hang_without_traffic():
    world = World()
    circuit = world.circuit(failure_threshold=2, slow_after=2.0)
    hanging = [circuit.try_acquire() for _ in range(2)]
    assert world.rings == [circuit._breaker]
    assert circuit._breaker.tick() == 2.0
    world.clock.advance(2.0)
    circuit._breaker.tick()
    assert circuit.state is State.OPEN
    assert str(circuit.why().incidents[-1]).endswith("no answer for 2.0 s (slow)")
    for permit in hanging:
        permit.ignore()


def test_a_short_time_is_told_as_what_it_is_and_not_as_nothing():
    world = World()
    circuit = world.circuit(failure_threshold=1, slow_after=0.02)
    permit = circuit.try_acquire()
    world.clock.advance(0.02)
    circuit._breaker.tick()
    assert circuit.status().reason == "no answer for 0.02 s"
    permit.ignore()


def test_a_closed_circuit_with_nothing_under_way_needs_no_actor():
    world = World()
    circuit = world.circuit(slow_after=2.0)
    slow(world, circuit, 0.1)
    assert not circuit._breaker.release()
    world.clock.advance(2.0)
    assert circuit._breaker.tick() == 2.0  # there was traffic
    world.clock.advance(2.0)
    assert circuit._breaker.tick() is None
    assert circuit._breaker.release()
    slow(world, circuit, 0.1)
    assert not circuit._breaker.release()
    assert len(world.rings) == 2


@pytest.mark.parametrize(
    "trip", [CountWindow(size=4, rate=0.5), TimeWindow(60, rate=0.5, minimum=4)]
)
def test_a_call_that_hung_counts_once_however_it_ends(trip):
    for ending, opens in (("success", False), ("failure", True), ("ignore", False)):
        world = World()
        circuit = world.circuit(trip=trip, slow_after=2.0)
        run(circuit, "s")
        hanging = circuit.try_acquire()
        world.clock.advance(2.0)
        run(circuit, "s")
        getattr(hanging, ending)()
        assert circuit.state is State.CLOSED
        states = run(circuit, "f")
        # success: s slow s f; failure: s f s f; neutral: s s f
        assert ("open" in states) == opens, ending
        if ending == "ignore":
            assert run(circuit, "f") == ["open"]


def test_a_hanging_call_is_one_slow_call_event(watched, records):
    circuit = watched.circuit(slow_after=2.0)
    hanging = circuit.try_acquire()
    watched.clock.advance(2.5)
    circuit._breaker.tick()
    hanging.success()
    told = [r.data["reason"] for r in records(circuit) if r.events == ("slow_call",)]
    assert told == ["under way for 2.5 s"]


# Shares and sizes at their edges


@requirement("BR-05")
@pytest.mark.parametrize("share", range(1, 101))
def test_a_share_in_percent_is_reached_by_as_many_of_a_hundred_calls(share):
    trip = CountWindow(size=100, rate=share / 100, minimum=100)
    assert Policy(trip=trip).failure_threshold == share
    circuit = World().circuit(trip=trip)
    states = run(circuit, "s" * (100 - share) + "f" * share)
    assert (states[-2], states[-1]) == ("closed", "open")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"buckets": 100_001}, "buckets must be at most 100000"),
        ({"seconds": 1e-9}, "seconds must be at least 1e-06 s for each of 10 buckets"),
        ({"seconds": 5e-324}, "seconds must be at least 1e-06 s"),
    ],
)
def test_a_window_that_no_clock_or_memory_could_hold_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        TimeWindow(**options)


@pytest.mark.parametrize("size", [None, "10", 1.5, True, -1, 0, [1]])
def test_the_size_of_a_window_is_a_whole_number(size):
    with pytest.raises(ValueError, match="size must be a whole number >= 1"):
        CountWindow(size=size)
