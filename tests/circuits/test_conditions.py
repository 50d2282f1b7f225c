"""Conditions of the user's own."""

from __future__ import annotations

import threading

import attrs
import pytest

from brama.circuits import ConsecutiveFailures, Policy, State, TripPolicy, any_of

requirement = pytest.mark.requirement


@attrs.frozen
class Timeouts:
    """Opens after some timeouts, whatever comes between."""

    most: int = 2

    def watch(self):
        seen = 0

        def see(outcome):
            nonlocal seen
            seen += outcome.reason == "Timeout"
            return f"{seen} timeouts" if seen >= self.most else None

        return see


def settle(circuit, *reasons):
    for reason in reasons:
        permit = circuit.try_acquire()
        permit.success() if reason is None else permit.failure(reason)


@requirement("BR-05")
def test_a_condition_of_the_users_own_opens_the_circuit(world):
    circuit = world.circuit(trip=Timeouts(2))
    settle(circuit, "Timeout", None, "500", None)
    assert circuit.state is State.CLOSED
    settle(circuit, "Timeout")
    assert circuit.state is State.OPEN
    assert circuit.why().cause.rule == "2 timeouts"
    assert circuit.status().reason == "Timeout"


@requirement("BR-05")
def test_it_is_one_of_several(world):
    circuit = world.circuit(trip=any_of(Timeouts(2), ConsecutiveFailures(3)))
    settle(circuit, "500", "500", "500")
    assert circuit.state is State.OPEN
    circuit.close_circuit()
    settle(circuit, "Timeout", None, "Timeout")
    assert circuit.state is State.OPEN


def test_it_begins_anew_with_each_stay_in_closed(world):
    circuit = world.circuit(trip=Timeouts(2))
    settle(circuit, "Timeout")
    circuit.reset_circuit()
    settle(circuit, "Timeout")
    assert circuit.state is State.CLOSED


def test_it_is_known_by_its_shape_and_compared_by_value():
    assert isinstance(Timeouts(), TripPolicy)
    assert Policy(trip=Timeouts(2)) == Policy(trip=Timeouts(2))


@requirement("BR-R07")
def test_it_is_never_called_under_the_lock_and_may_use_the_circuit(world):
    class Nosy:
        def watch(self):
            def see(outcome):
                assert not circuit._breaker.lock._is_owned()
                circuit.status()
                if outcome.failed:
                    settle(circuit, None)
                return False

            return see

    circuit = world.circuit(trip=Nosy())
    settle(circuit, "a", None, "b")
    assert (circuit.status().successes, circuit.status().failures) == (3, 2)


def test_one_that_raises_is_logged_and_says_nothing(world, caplog):
    class Broken:
        def watch(self):
            def see(outcome):
                raise RuntimeError("mine")

            return see

    circuit = world.circuit(trip=any_of(Broken(), ConsecutiveFailures(2)))
    settle(circuit, "a", "b")
    assert circuit.state is State.OPEN
    assert "mine" in caplog.text


def test_threads_show_their_outcomes_one_at_a_time_and_none_is_left(world):
    inside, seen, overlaps = [], [], []

    class Census:
        def watch(self):
            def see(outcome):
                inside.append(1)
                if len(inside) > 1:
                    overlaps.append(1)
                seen.append(outcome.failed)
                inside.pop()

            return see

    circuit = world.circuit(trip=Census())

    def job():
        for _ in range(300):
            settle(circuit, None, "x")

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert (len(seen), sum(seen)) == (4800, 2400)
    assert circuit.status().in_flight == 0


def test_it_sees_calls_that_hang(world):
    seen = []

    class Watching:
        def watch(self):
            return seen.append

    circuit = world.circuit(trip=Watching(), slow_after=2.0)
    hanging = circuit.try_acquire()
    world.clock.advance(2)
    circuit._breaker.tick()
    assert seen == []  # our own loop calls no code of users
    settle(circuit, None)
    assert [outcome.slow for outcome in seen] == [True, False]
    hanging.ignore()
