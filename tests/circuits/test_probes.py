"""Which calls may be probes, and what the other side's word about the wait does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from brama.circuits import CircuitOpenError, State
from brama.telemetry import ConfigError

# Calls that may be no probe


def test_a_call_that_may_be_no_probe_passes_a_closed_circuit(world):
    circuit = world.circuit()
    with circuit.guard(probe=False):
        pass
    circuit.try_acquire(probe=False).success()
    assert circuit.status().successes == 2


def test_a_call_that_may_be_no_probe_leaves_the_place_to_another(world):
    circuit = world.half_open()
    with pytest.raises(CircuitOpenError) as caught, circuit.guard(probe=False):
        pytest.fail("the block must not run")
    assert caught.value.state is State.HALF_OPEN
    assert circuit.try_acquire(probe=False) is None
    status = circuit.status()
    assert (status.half_open_in_flight, status.calls, status.refused) == (0, 0, 2)
    with circuit.guard():
        pass
    with circuit.guard(probe=False):
        pass
    assert circuit.state is State.CLOSED


def test_a_call_that_may_be_no_probe_rides_on_the_probe_around_it(world):
    circuit = world.half_open()
    with circuit.guard(), circuit.guard(probe=False):
        assert circuit.status().half_open_in_flight == 1
    assert circuit.state is State.CLOSED


# The other side's word about the wait


def test_a_failure_that_opens_the_circuit_opens_it_for_as_long_as_the_other_side_asks(world):
    circuit = world.circuit(failure_threshold=2, expiry=60.0)
    for _ in range(2):
        with circuit.guard() as permit:
            permit.failure("HTTP 503", retry_after=7)
    assert circuit.status().retry_after == 7.0
    world.clock.advance(7)
    assert circuit.available()


def test_a_failed_probe_opens_the_circuit_for_as_long_as_the_other_side_asks(world):
    circuit = world.half_open(expiry=60.0)
    circuit.try_acquire().failure("HTTP 503", retry_after=timedelta(minutes=2))
    assert circuit.status().retry_after == 120.0


def test_the_other_side_cannot_close_the_gate_for_longer_than_the_longest_expiry(world):
    circuit = world.circuit(failure_threshold=1, expiry=5.0, max_expiry=30.0)
    circuit.try_acquire().failure("HTTP 503", retry_after=86_400)
    assert circuit.status().retry_after == 30.0


def test_a_wait_that_was_asked_for_holds_this_once(world):
    circuit = world.circuit(failure_threshold=1, expiry=60.0)
    circuit.try_acquire().failure("HTTP 503", retry_after=7)
    world.clock.advance(7)
    circuit.try_acquire().failure("HTTP 503")
    assert circuit.status().retry_after == 60.0


@pytest.mark.parametrize("wait", [0, -1, float("nan"), "7", True])
def test_a_wait_that_is_none_is_refused_and_the_permit_is_still_to_be_settled(world, wait):
    permit = world.circuit().try_acquire()
    with pytest.raises(ConfigError, match="retry_after must be a number of seconds > 0"):
        permit.failure(retry_after=wait)
    assert permit.pending
    permit.ignore()
