"""What Brama brings for the tests of its users."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import trio

import brama
from brama.circuits import State
from brama.circuits.testing import (
    FakeClock,
    add_failures,
    assert_circuit_closed,
    assert_circuit_half_open,
    assert_circuit_open,
    capture_events,
    deactivated,
    set_state,
    simulate_failures,
    simulate_recovery,
)
from brama.telemetry import ConfigError


def test_the_clock_stands_still_until_it_is_advanced():
    clock = FakeClock()
    assert [clock(), clock()] == [0.0, 0.0]
    assert clock.advance(1.5) == 1.5
    assert clock() == 1.5


def test_the_clock_may_start_anywhere_and_go_on_by_a_timedelta():
    clock = FakeClock(100)
    clock.advance(timedelta(minutes=1))
    assert clock() == 160.0
    assert repr(clock) == "<FakeClock at 160.0 s>"


@pytest.mark.parametrize("by", [-1, float("nan"), "1", None])
def test_the_clock_never_goes_back(by):
    clock = FakeClock(5.0)
    with pytest.raises(ConfigError, match="by must be a number of seconds >= 0, got: "):
        clock.advance(by)
    assert clock() == 5.0


def test_advances_from_many_threads_add_up():
    clock = FakeClock()

    def advance():
        for _ in range(2000):
            clock.advance(1)

    threads = [threading.Thread(target=advance) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock() == 16_000.0


# Circuits as a test needs them


@pytest.mark.requirement("BR-22")
@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("before", list(State))
def test_a_circuit_is_brought_from_any_state_into_any_other(world, before, state):
    circuit = world.circuit(expiry=60.0)
    set_state(circuit, before)
    assert set_state(circuit, str(state)) is circuit
    assert circuit.state is state
    if state is State.HALF_OPEN:
        assert circuit.try_acquire() is not None


def test_half_open_by_order_is_told_and_may_be_asked_for_again(world, transitions):
    circuit = world.circuit()
    set_state(circuit, "half_open", reason="why not")
    assert transitions(circuit) == [("closed", "open"), ("open", "half_open")]
    probe = circuit.try_acquire()
    set_state(circuit, State.HALF_OPEN)
    probe.failure()
    assert (circuit.state, circuit.status().late) == (State.HALF_OPEN, 1)


def test_an_unknown_state_is_refused(world):
    with pytest.raises(ConfigError, match="state must be one of closed, open"):
        set_state(world.circuit(), "shut")


@pytest.mark.requirement("BR-22", "B16")
@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_exactly_as_many_failures_are_added_as_are_asked_for(world, count):
    circuit = world.circuit(failure_threshold=5)
    add_failures(circuit, count)
    assert circuit.status().failures == count
    assert circuit.state is (State.OPEN if count == 5 else State.CLOSED)


@pytest.mark.parametrize("count", [-1, 1.0, None, True])
def test_failures_are_counted_in_whole_numbers(world, count):
    with pytest.raises(ConfigError, match="count must be a whole number >= 0"):
        simulate_failures(world.circuit(), count)


@pytest.mark.requirement("BR-22")
@pytest.mark.parametrize("before", ["open", "half_open", "closed"])
def test_a_recovery_closes_the_circuit(world, before):
    circuit = world.circuit(success_threshold=3)
    add_failures(circuit, 2)
    set_state(circuit, before)
    simulate_recovery(circuit)
    assert (circuit.state, circuit.status().failure_count) == (State.CLOSED, 0)


@pytest.mark.requirement("BR-22")
def test_an_assertion_says_what_led_to_the_state(world):
    circuit = world.circuit(failure_threshold=2)
    assert_circuit_closed(circuit)
    add_failures(circuit, 2, reason="Timeout")
    assert_circuit_open(circuit)
    with pytest.raises(
        AssertionError, match="is open and not closed: reason 'Timeout', 2 of 2 failures in a row"
    ):
        assert_circuit_closed(circuit)
    world.clock.advance(60)
    assert_circuit_half_open(circuit)
    with pytest.raises(AssertionError, match="is half_open and not open"):
        assert_circuit_open(circuit)


def test_a_circuit_may_be_named_in_any_system():
    system = brama.System(brama.Settings())
    system.circuit("api", scope="shop")
    set_state("api", "open", scope="shop", system=system)
    assert_circuit_open("api", scope="shop", system=system)
    with pytest.raises(brama.UnknownConnectionError):
        set_state("api", "open", system=system)


# Events


@pytest.mark.requirement("BR-22")
def test_events_are_captured_in_order_and_waited_for():
    with (
        brama.System(brama.Settings()) as system,
        capture_events(events=["circuit_opened", "circuit_closed"], system=system) as events,
    ):
        circuit = system.circuit("api")
        assert (len(events), events.names) == (0, [])
        circuit.open_circuit()
        circuit.close_circuit()
        assert [event.connection for event in events.wait(2)] == ["api", "api"]
        assert events.names == ["circuit_opened", "circuit_closed"]
        assert events.of("circuit_closed") == [events[1]]
        with pytest.raises(TimeoutError, match=r"2 of 3 events after 0.01 s: \['circuit_opened'"):
            events.wait(3, timeout=0.01)
        events.clear()
        assert list(events) == []


async def test_events_are_awaited_too(autojump_clock):
    system = brama.System(brama.Settings())
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        wanted = ["circuit_opened", "circuit_half_opened"]
        with capture_events(events=wanted, system=system) as events:
            system.circuit("api", expiry=10.0).open_circuit()
            with trio.fail_after(20):
                await events.arrive(2)
            assert events.names == wanted
        system.stop()


# Deactivation


@pytest.fixture
def system() -> brama.System:
    return brama.System(brama.Settings(failure_threshold=1))


@pytest.mark.requirement("BR-22")
@pytest.mark.parametrize("state", list(State))
def test_a_deactivated_circuit_lets_every_call_through_and_counts_nothing(system, state):
    circuit = system.circuit("api")
    set_state(circuit, state)
    before = circuit.status()
    guarded = circuit(lambda: "answer")
    with deactivated(system):
        for _ in range(10):
            assert guarded() == "answer"
            with pytest.raises(OSError), circuit.guard():
                raise OSError
            circuit.try_acquire().failure()
            circuit.failure("reported")
            circuit.success()
        assert circuit.available()
        assert circuit.state is state
    after = circuit.status()
    assert (after.calls, after.failures, after.refused, after.in_flight, after.state) == (
        before.calls,
        before.failures,
        before.refused,
        before.in_flight,
        state,
    )
    refusing = state in (State.OPEN, State.FORCED_OPEN)
    assert (circuit.try_acquire() is None) is refusing


def test_circuits_made_or_moved_while_deactivated_do_not_refuse_either(system):
    known = system.circuit("known")
    with deactivated(system), deactivated(system):
        known.open_circuit()
        made = system.circuit("made", policy=brama.Policy(initial_state="forced_open"))
        windowed = system.circuit("windowed", trip=brama.CountWindow(size=2, minimum=1))
        for circuit in (known, made, windowed):
            circuit.call(int)
            add_failures(circuit, 5)
            circuit.call(int)
    assert [known.state.value, made.state.value, windowed.state.value] == [
        "open",
        "forced_open",
        "closed",
    ]
    for circuit in (known, made):
        with pytest.raises(brama.CircuitOpenError):
            circuit.call(int)
    add_failures(windowed, 2)
    assert_circuit_open(windowed)


def test_calls_that_outlast_the_deactivation_are_not_counted_and_those_from_before_are(system):
    circuit = system.circuit("api")
    before = circuit.try_acquire()
    with deactivated(system):
        inside = circuit.try_acquire()
        before.success()
    inside.failure()
    status = circuit.status()
    assert (status.calls, status.successes, status.failures, status.in_flight) == (1, 1, 0, 0)
    assert circuit.state is State.CLOSED


def test_a_decorator_of_an_unregistered_circuit_passes_too(system):
    circuit = system.circuit("api")
    guarded = circuit(lambda: 1)
    system.unregister("api")
    with deactivated(system):
        assert guarded() == 1
    assert system.circuit("api").status().calls == 0


def test_a_system_may_be_deactivated_by_its_settings():
    settings = brama.Settings.from_environment(
        {"BRAMA_TESTING_MODE": "yes", "BRAMA_FAILURE_THRESHOLD": "1"}
    )
    circuit = brama.System(settings).circuit("api")
    add_failures(circuit, 3)
    assert circuit.call(lambda: "answer") == "answer"
    with pytest.raises(ConfigError, match="BRAMA_TESTING_MODE must be true or false"):
        brama.Settings.from_environment({"BRAMA_TESTING_MODE": "maybe"})
    with pytest.raises(ConfigError, match="testing_mode must be True or False"):
        brama.Settings(testing_mode=1)


@pytest.mark.parametrize("start", [float("nan"), float("inf"), "0", None, True])
def test_the_clock_starts_at_a_number(start):
    with pytest.raises(ConfigError, match="start must be a number of seconds"):
        FakeClock(start)
