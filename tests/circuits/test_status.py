"""The snapshot of a circuit."""

from __future__ import annotations

import attrs
import pytest

from brama.circuits import Circuit, ConnectionKind, State, Status, TimeWindow
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
        last_success_time=None,
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
        window=None,
        kind=ConnectionKind.OTHER,
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
    world.posix += 12
    late.success()
    status = circuit.status()
    assert attrs.asdict(status) == attrs.asdict(
        world.circuit(failure_threshold=2, expiry=30.0).status()
    ) | {
        "state": State.OPEN,
        "failure_count": 2,
        "opened_at": 1_700_000_002.0,
        "last_failure_time": 1_700_000_002.0,
        "last_success_time": 1_700_000_002.0,  # when a look first saw it: at the first failure
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


# The last success, of which a fast call leaves no time


def last_success(world, circuit):
    """Seconds since then, by the clock of the test."""
    at = circuit.status().last_success_time
    return None if at is None else round(world.posix - at, 6)


@pytest.mark.parametrize("options", [{}, {"slow_after": 1e6}, {"trip": TimeWindow()}])
def test_the_last_success_is_known_to_whoever_looks_in_time(world, options):
    circuit = world.circuit(**options)
    assert last_success(world, circuit) is None
    circuit.call(lambda: None)
    assert last_success(world, circuit) == 0.0
    world.clock.advance(50.0)
    assert last_success(world, circuit) == 50.0


def test_a_success_that_nobody_saw_is_dated_by_the_next_look_and_never_earlier(world):
    circuit = world.circuit()
    for look in (
        circuit.failure,
        circuit.open_circuit,
        lambda: circuit._breaker.idle_for(world.clock()),
        lambda: circuit._breaker.reconfigure(Policy(slow_after=9.0), {}),
    ):
        circuit.reset_circuit()
        circuit.call(lambda: None)
        world.clock.advance(4.0)
        look()
        world.clock.advance(1000.0)
        circuit._breaker.tick()
        assert last_success(world, circuit) == 1000.0
    world.clock.advance(1.0)
    circuit.failure()
    circuit.force_open()
    assert last_success(world, circuit) == 1001.0


def test_the_last_success_of_a_probe_and_of_a_report_is_exact(world):
    circuit = world.half_open()
    circuit.call(lambda: None)
    world.clock.advance(5.0)
    assert last_success(world, circuit) == 5.0
    circuit.success()
    world.clock.advance(3.0)
    circuit.failure()
    assert last_success(world, circuit) == 3.0


def test_a_late_success_is_not_the_last_one(world):
    circuit = world.circuit()
    permit = circuit.try_acquire()
    circuit.open_circuit()
    permit.success()
    assert (last_success(world, circuit), circuit.status().late) == (None, 1)


def test_the_last_success_is_stored_and_restored(world):
    before = world.circuit()
    before.success()
    world.clock.advance(20.0)
    circuit = world.circuit()
    circuit.load(before.dump())
    world.clock.advance(1.0)
    assert last_success(world, circuit) == 21.0
    stored = before.dump()
    del stored["last_success_time"]
    circuit.load(stored)
    assert last_success(world, circuit) is None
