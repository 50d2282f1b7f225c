"""Every permit is settled exactly once, on every way out."""

from __future__ import annotations

import gc
import threading

import pytest

from brama.circuits import State

pytestmark = pytest.mark.requirement("BR-R02")
requirement = pytest.mark.requirement

WORDS = ["success", "failure", "ignore"]


def counts(circuit):
    status = circuit.status()
    return status.successes, status.failures, status.ignored


@pytest.mark.parametrize("second", WORDS)
@pytest.mark.parametrize("first", WORDS)
def test_the_first_word_about_a_call_counts_and_the_second_does_nothing(world, first, second):
    circuit = world.circuit()
    permit = circuit.try_acquire()
    getattr(permit, first)()
    expected = counts(circuit)
    getattr(permit, second)()
    assert counts(circuit) == expected == tuple(int(word == first) for word in WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_inside_the_block_outweighs_the_way_it_ends(world, word):
    circuit = world.circuit()
    with circuit.guard() as permit:
        getattr(permit, word)()
    with pytest.raises(OSError), circuit.guard() as permit:
        getattr(permit, word)()
        raise OSError
    assert counts(circuit) == tuple(2 * (word == other) for other in WORDS)


def test_a_permit_tells_whether_it_is_pending(world):
    circuit = world.circuit()
    permit = circuit.guard()
    assert not permit.pending
    with permit:
        assert permit.pending
    assert not permit.pending
    assert "settled" in repr(permit)


@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
def test_eight_threads_settling_one_permit_settle_it_once(world, half_open):
    circuit = (world.half_open if half_open else world.circuit)(success_threshold=10_000)
    barrier = threading.Barrier(8)
    rounds = [circuit.try_acquire()]

    def race(word):
        for _ in range(200):
            barrier.wait()
            getattr(rounds[-1], word)()
            if barrier.wait() == 0:
                rounds.append(circuit.try_acquire())
            barrier.wait()

    words = ["success", "ignore"] * 4
    threads = [threading.Thread(target=race, args=(word,)) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rounds[-1].ignore()
    status = circuit.status()
    assert status.calls == 201
    assert status.successes + status.ignored == 201
    assert status.in_flight == 0


def test_a_permit_may_be_settled_in_another_thread(world):
    circuit = world.half_open()
    permit = circuit.try_acquire()
    thread = threading.Thread(target=permit.success)
    thread.start()
    thread.join()
    assert circuit.state is State.CLOSED


def test_a_permit_that_nobody_settles_counts_as_ignored_once_it_is_collected(world):
    circuit = world.circuit(failure_threshold=1)
    circuit.try_acquire()
    gc.collect()
    status = circuit.status()
    assert (status.ignored, status.in_flight, status.state) == (1, 0, State.CLOSED)


@requirement("BR-R16")
def test_a_probe_that_nobody_settles_gives_its_place_back_once_it_is_collected(world):
    circuit = world.half_open()
    circuit.try_acquire()
    gc.collect()
    assert circuit.available()
    circuit.try_acquire().success()
    assert circuit.state is State.CLOSED


@requirement("BR-R16")
@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
def test_a_permit_in_a_reference_cycle_is_settled_by_the_collector(world, half_open):
    circuit = (world.half_open if half_open else world.circuit)(failure_threshold=1)
    cycle = [circuit.try_acquire()]
    cycle.append(cycle)
    del cycle
    assert circuit.status().in_flight == 1
    gc.collect()
    status = circuit.status()
    assert (status.ignored, status.in_flight, status.half_open_in_flight) == (1, 0, 0)
    assert circuit.available()


def test_a_settled_permit_that_is_collected_is_not_settled_again(world):
    circuit = world.circuit()
    for word in WORDS:
        getattr(circuit.try_acquire(), word)()
    with circuit.guard():
        pass
    gc.collect()
    assert counts(circuit) == (2, 1, 1)


def test_a_guard_that_is_never_entered_leaves_no_trace(world):
    circuit = world.half_open()
    circuit.guard()
    with pytest.raises(RuntimeError, match="not entered"):
        circuit.guard().success()
    gc.collect()
    status = circuit.status()
    assert (status.calls, status.state) == (0, State.HALF_OPEN)


def test_leaked_permits_do_not_pile_up(world):
    circuit = world.circuit()
    for _ in range(1000):
        circuit.try_acquire()
    gc.collect()
    circuit.try_acquire().ignore()
    assert not world.shared.leaked


def test_generators_closed_early_do_not_pile_up_while_all_calls_succeed(world):
    circuit = world.circuit()

    @circuit
    def rows():
        yield 1
        yield 2

    for _ in range(1000):
        next(rows())
    assert not world.shared.leaked
    assert circuit.status().ignored == 1000


@pytest.mark.parametrize("kind", ["generator", "coroutine", "permit"])
def test_the_collector_may_end_a_guarded_call_inside_a_locked_section(world, kind):
    # Only the collector can do this: it runs whenever a container is made, also under the lock,
    # and the last lines of a suspended generator run with it.
    circuit = world.circuit(failure_threshold=2)

    @circuit
    def rows():
        yield

    @circuit
    async def fetch():
        await Suspend()

    def leak():
        if kind == "permit":
            suspended = circuit.try_acquire()
        elif kind == "generator":
            suspended = rows()
            next(suspended)
        else:
            suspended = fetch()
            suspended.send(None)
        cycle = [suspended]
        cycle.append(cycle)

    collected = []

    def wall():
        collected.append(gc.collect())
        return 0.0

    leak()
    world.shared.wall = wall
    thread = threading.Thread(target=circuit.failure, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "the collector waits for a lock that its own thread holds"
    assert collected
    assert (circuit.status().ignored, circuit.status().in_flight) == (1, 0)


class Suspend:
    def __await__(self):
        yield


@requirement("BR-R09")
def test_no_exception_is_kept_alive_by_the_breaker(world):
    circuit = world.circuit(failure_threshold=1)
    freed = []

    class Local:
        def __del__(self):
            freed.append(True)

    @circuit
    def call():
        local = Local()  # lives as long as the frame does
        raise OSError(str(local)[:0])

    with pytest.raises(OSError):
        call()
    gc.collect()
    assert circuit.state is State.OPEN
    assert freed
