"""A result counts in the stay in which its call began, and nowhere else."""

from __future__ import annotations

from contextlib import nullcontext

import attrs
import pytest

from brama.circuits import State

pytestmark = pytest.mark.requirement("BR-R01", "BR-08", "B9")


def to_open(world, circuit):
    circuit.failure()
    circuit.failure()


def to_half_open(world, circuit):
    to_open(world, circuit)
    world.clock.advance(60.0)
    circuit._breaker.tick()


def to_half_open_with_a_probe_out(world, circuit):
    to_half_open(world, circuit)
    world.probe = circuit.try_acquire()


def to_closed_again(world, circuit):
    to_half_open(world, circuit)
    circuit.success()


def to_closed_again_with_one_failure(world, circuit):
    to_closed_again(world, circuit)
    circuit.failure()


def to_closed_by_hand(world, circuit):
    to_open(world, circuit)
    circuit.close_circuit()


def to_reset(world, circuit):
    circuit.reset_circuit()


STATES = {
    to_open: State.OPEN,
    to_half_open: State.HALF_OPEN,
    to_half_open_with_a_probe_out: State.HALF_OPEN,
    to_closed_again: State.CLOSED,
    to_closed_again_with_one_failure: State.CLOSED,
    to_closed_by_hand: State.CLOSED,
    to_reset: State.CLOSED,
}


def success(guard):
    guard.__exit__(None, None, None)


def failure(guard):
    guard.failure("Timeout")


def exception(guard):
    error = OSError("reset by peer")
    guard.__exit__(type(error), error, None)


def ignored(guard):
    guard.ignore()


def cancelled(guard):
    error = KeyboardInterrupt()
    guard.__exit__(type(error), error, None)


COUNTED = {
    success: "successes",
    failure: "failures",
    exception: "failures",
    ignored: "ignored",
    cancelled: "ignored",
}


@pytest.mark.parametrize("outcome", COUNTED, ids=lambda outcome: outcome.__name__)
@pytest.mark.parametrize("later", STATES, ids=lambda later: later.__name__)
def test_a_late_result_is_counted_and_moves_nothing(world, transitions, later, outcome):
    circuit = world.circuit(failure_threshold=2, success_threshold=1)
    guard = circuit.guard()
    guard.__enter__()
    later(world, circuit)
    before, moves = circuit.status(), transitions(circuit)
    assert before.state is STATES[later]

    outcome(guard)

    field = COUNTED[outcome]
    assert circuit.status() == attrs.evolve(
        before,
        late=1,
        in_flight=before.in_flight - 1,
        **{field: getattr(before, field) + 1},
    )
    assert transitions(circuit) == moves


@pytest.mark.parametrize("outcome", COUNTED, ids=lambda outcome: outcome.__name__)
def test_a_late_result_of_a_decorated_call_is_counted_and_moves_nothing(world, outcome):
    circuit = world.circuit(failure_threshold=2)
    raised = {
        exception: OSError,
        failure: OSError,
        ignored: KeyboardInterrupt,
        cancelled: SystemExit,
    }

    @circuit
    def call():
        circuit.reset_circuit()
        circuit.failure()
        if outcome in raised:
            raise raised[outcome]

    with pytest.raises(raised[outcome]) if outcome in raised else nullcontext():
        call()

    status = circuit.status()
    assert (status.late, status.failure_count, status.state) == (1, 1, State.CLOSED)


def test_a_late_success_does_not_close_a_circuit_whose_probe_is_out(world):
    circuit = world.circuit(failure_threshold=1)
    early = circuit.try_acquire()
    circuit.failure()
    world.clock.advance(60.0)
    probe = circuit.try_acquire()
    early.success()
    assert circuit.state is State.HALF_OPEN
    assert circuit.try_acquire() is None
    probe.failure()
    assert circuit.state is State.OPEN


def test_late_results_are_known_as_late_however_many_generations_have_gone_by(world):
    circuit = world.circuit()
    early = [circuit.try_acquire() for _ in range(3)]
    for _ in range(100):
        circuit.reset_circuit()
    early[0].success()
    early[1].failure()
    early[2].ignore()
    for _ in range(100):
        circuit.reset_circuit()
    status = circuit.status()
    assert (status.late, status.successes, status.failures, status.ignored) == (3, 1, 1, 1)
    assert (status.calls, status.in_flight) == (3, 0)


def test_a_call_that_was_admitted_and_has_not_yet_counted_itself_is_not_lost(world):
    circuit = world.circuit()
    generation = circuit._breaker.admission  # where a thread may stand for a while
    for _ in range(100):
        circuit.reset_circuit()
    next(generation.started)
    next(generation.succeeded)
    del generation
    for _ in range(100):
        circuit.reset_circuit()
    status = circuit.status()
    assert (status.calls, status.successes, status.late, status.in_flight) == (1, 1, 1, 0)


def test_a_late_success_is_told_as_late_and_not_as_a_success(watched, records):
    circuit = watched.circuit()
    early = circuit.try_acquire()
    circuit.reset_circuit()
    early.success()
    told = [name for record in records(circuit) for name in record.events]
    assert told[-1] == "late_result"
    assert "success" not in told
