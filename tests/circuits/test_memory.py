"""What a circuit weighs, and that it does not grow."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import islice

import pytest

from brama.circuits import (
    Breaker,
    Circuit,
    ConsecutiveFailures,
    CountWindow,
    Policy,
    TimeWindow,
    any_of,
)
from brama.circuits.feed import Tray

pytestmark = pytest.mark.requirement("BR-34")


@pytest.fixture
def memory(world):
    """Bytes in use now, in this test."""
    world.shared.bell = lambda _breaker: None  # the world would remember every ring
    world.shared.tray = Tray(limit=0)  # it belongs to the system, and is full after some thousand
    tracemalloc.start()

    def used():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield used
    tracemalloc.stop()


def test_an_idle_circuit_weighs_less_than_a_kibibyte(world, memory, record_property):
    names = [f"connection-{number}" for number in range(1000)]
    policy = Policy()
    kept = []
    before = memory()
    for name in names:
        breaker = Breaker(name, "scope", policy, world.shared)
        breaker.open_gate()
        kept.append(Circuit(breaker))
    weight = (memory() - before) / len(names)
    record_property("bytes_per_idle_circuit", weight)
    assert weight < 1024


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"trip": CountWindow()}, 1600),
        ({"trip": TimeWindow()}, 1600),
        ({"slow_after": 2.0}, 1600),
        ({"trip": any_of(TimeWindow(), ConsecutiveFailures(5)), "slow_after": 2.0}, 2048),
    ],
)
def test_an_idle_circuit_with_a_window_weighs_little_more(world, memory, options, most):
    names = [f"connection-{number}" for number in range(500)]
    policy = Policy(**options)
    before = memory()
    kept = []
    for name in names:
        breaker = Breaker(name, "scope", policy, world.shared)
        breaker.open_gate()
        kept.append(Circuit(breaker))
    assert (memory() - before) / len(names) < most


def test_a_window_of_many_calls_weighs_what_its_failures_weigh(world, memory):
    circuit = world.circuit(trip=CountWindow(size=100_000, rate=0.5, minimum=1000))
    call = circuit(lambda: None)
    call()
    before = memory()
    for number in range(20_000):
        if number % 100:
            call()
        else:
            circuit.try_acquire().failure("Timeout")
    assert memory() - before < 20_000


def test_a_circuit_that_has_opened_often_weighs_little_more_once_it_is_idle(world, memory):
    circuits = [world.circuit(f"connection-{number}") for number in range(301)]
    cycles(world, circuits.pop(), 5)
    unused = iter(circuits)

    def open_a_hundred():
        for circuit in islice(unused, 100):
            cycles(world, circuit, 5)

    assert growth(memory, open_a_hundred) / 100 < 512


def cycles(world, circuit, times):
    """Open and close the circuit, with calls of every outcome, all results on time or late."""
    for _ in range(times):
        late = circuit.try_acquire()
        circuit.try_acquire().ignore()
        for _ in range(5):
            with pytest.raises(OSError), circuit.guard():
                raise OSError
        circuit.try_acquire()
        world.clock.advance(60)
        circuit.try_acquire().success()
        late.success()
        del late
        for record in circuit._breaker.pending():
            record.published = True
        circuit._breaker.release()


def growth(memory, act):
    """The least of three rounds: a leak shows in each, what another thread allocates in some."""
    grown = []
    for _ in range(3):
        before = memory()
        act()
        grown.append(memory() - before)
    return min(grown)


def test_a_thousand_openings_leave_a_circuit_no_larger(world, memory):
    circuit = world.circuit()
    cycles(world, circuit, 50)
    assert growth(memory, lambda: cycles(world, circuit, 350)) < 2048
    assert circuit.status().opened_count == 1100


def test_openings_while_one_call_hangs_leave_a_circuit_no_larger(world, memory):
    circuit = world.circuit()
    hanging = circuit.try_acquire()
    cycles(world, circuit, 50)
    assert growth(memory, lambda: cycles(world, circuit, 350)) < 2048
    hanging.success()
    assert circuit.status().in_flight == 0


def test_failures_without_end_leave_an_open_circuit_no_larger(world, memory):
    circuit = world.circuit()
    circuit.open_circuit(expires_in=1e9)
    call = circuit(lambda: None)

    def refuse(times):
        for _ in range(times):
            circuit.failure("Timeout")
            with pytest.raises(Exception, match="was not made"):
                call()

    refuse(50)
    assert growth(memory, lambda: refuse(350)) < 2048


def test_a_circuit_that_nobody_holds_is_freed(world):
    gc.collect()
    gc.disable()
    try:
        circuit = world.circuit("fleeting")
        call = circuit(lambda: 1)
        call()
        circuit.open_circuit()
        breakers = [thing for thing in gc.get_objects() if isinstance(thing, Breaker)]
        world.rings.clear()
        assert any(breaker.name == "fleeting" for breaker in breakers)
        del circuit, call, breakers
        left = [thing for thing in gc.get_objects() if isinstance(thing, Breaker)]
        assert not any(breaker.name == "fleeting" for breaker in left)
    finally:
        gc.enable()
