"""The snapshot of a circuit."""

from __future__ import annotations

import attrs
import pytest

from brama.circuits import Circuit, State, Status
from brama.circuits.breaker import Breaker
from brama.circuits.policy import Policy


def test_every_value_of_a_new_circuit(world):
    circuit = world.circuit("search", "shop")
    assert circuit.status() == Status(
        connection="search",
        scope="shop",
        state=State.CLOSED,
        failure_count=0,
        failure_threshold=5,
        expiry=60.0,
        expiry_strategy="fixed",
        initial_expiry=60.0,
        max_expiry=600.0,
        backoff_factor=2.0,
        opened_at=None,
        last_failure_time=None,
        registered_at=1_700_000_000.0,
        last_transition_at=None,
        retry_after=0.0,
        reason=None,
        opened_count=0,
        generation=1,
        half_open_in_flight=0,
        calls=0,
        successes=0,
        failures=0,
        ignored=0,
        refused=0,
        late=0,
        in_flight=0,
        metadata={},
    )


def test_every_value_that_a_busy_life_has_changed(world):
    circuit = world.circuit(failure_threshold=2, expiry=30.0)
    circuit.try_acquire().success()
    circuit.try_acquire().ignore()
    under_way = circuit.try_acquire()
    late = circuit.try_acquire()
    world.posix += 1
    circuit.try_acquire().failure("Timeout")
    world.posix += 1
    circuit.try_acquire().failure("HTTP 503")
    circuit.try_acquire()
    world.clock.advance(12)
    late.success()
    status = circuit.status()
    assert attrs.asdict(status) == attrs.asdict(
        world.circuit(failure_threshold=2, expiry=30.0).status()
    ) | {
        "state": State.OPEN,
        "failure_count": 2,
        "opened_at": 1_700_000_002.0,
        "last_failure_time": 1_700_000_002.0,
        "registered_at": 1_700_000_000.0,
        "last_transition_at": 1_700_000_002.0,
        "retry_after": 18.0,
        "reason": "HTTP 503",
        "opened_count": 1,
        "generation": 2,
        "calls": 6,
        "successes": 2,
        "failures": 2,
        "ignored": 1,
        "refused": 1,
        "late": 1,
        "in_flight": 1,
    }
    under_way.ignore()


def test_the_snapshot_is_frozen_and_does_not_follow_the_circuit(world):
    circuit = world.circuit()
    status = circuit.status()
    circuit.open_circuit()
    assert status.state is State.CLOSED
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        status.state = State.OPEN


def test_the_words_of_the_elixir_library_are_understood(world):
    status = world.circuit("search", failure_threshold=7).status()
    assert (status.identifier, status.max_attempts) == ("search", 7)


def test_the_metadata_of_the_registration_is_shown(world):
    breaker = Breaker("search", None, Policy(), world.shared)
    breaker.install(Policy(), {}, {"team": "shop"})
    breaker.open_gate()
    assert Circuit(breaker).status().metadata == {"team": "shop"}


def test_a_circuit_that_is_not_yet_registered_is_not_available(world):
    assert not Circuit(Breaker("search", None, Policy(), world.shared)).available()


def test_counts_agree_while_calls_are_under_way(world):
    circuit = world.circuit()
    with circuit.guard(), circuit.guard():
        status = circuit.status()
        assert (status.calls, status.in_flight) == (2, 2)
        circuit.reset_circuit()
        status = circuit.status()
        assert (status.calls, status.in_flight, status.late) == (2, 2, 0)
    status = circuit.status()
    assert (status.calls, status.in_flight, status.late) == (2, 0, 2)
