"""Waiting for the verdict of the probes instead of being refused."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import trio

from brama.circuits import Catalogue, CircuitOpenError, State
from brama.circuits.testing import set_state

requirement = pytest.mark.requirement


@pytest.fixture
def patient(world):
    circuit = world.half_open(half_open_wait=30.0)
    return circuit, circuit.try_acquire()


def waits(circuit, number=1):
    while len((circuit._breaker._rare and circuit._breaker._rare.waiters) or ()) < number:
        time.sleep(0.001)


@requirement("BR-07")
@pytest.mark.parametrize(("verdict", "made"), [("success", True), ("failure", False)])
def test_threads_wait_for_the_verdict(patient, verdict, made):
    circuit, probe = patient
    results = []

    @circuit
    def call():
        return True

    def job():
        try:
            results.append(call())
        except CircuitOpenError:
            results.append(False)

    threads = [threading.Thread(target=job) for _ in range(5)]
    for thread in threads:
        thread.start()
    waits(circuit, 5)
    getattr(probe, verdict)()
    for thread in threads:
        thread.join(10)
    assert results == [made] * 5
    assert circuit.status().refused == (0 if made else 5)


@requirement("BR-07")
def test_a_place_that_a_neutral_probe_gives_back_goes_to_one_that_waits(patient):
    circuit, probe = patient
    made = []
    thread = threading.Thread(target=lambda: made.append(circuit.call(lambda: 1)))
    thread.start()
    waits(circuit)
    probe.ignore()
    thread.join(10)
    assert made == [1]
    assert circuit.state is State.CLOSED


@requirement("BR-07")
@pytest.mark.parametrize(("verdict", "made"), [("success", True), ("failure", False)])
def test_asyncio_tasks_wait_for_the_verdict(patient, verdict, made):
    circuit, probe = patient

    @circuit
    async def call():
        return True

    async def form():
        async with circuit.guard():
            return True

    async def main():
        tasks = [asyncio.ensure_future(one) for one in (call(), circuit.acall(call), form())]
        while len(circuit._breaker._rare.waiters or ()) < 3:
            await asyncio.sleep(0)
        getattr(probe, verdict)()
        return await asyncio.gather(*tasks, return_exceptions=True)

    circuit._breaker._have_rare()
    results = asyncio.run(main())
    assert [result is True for result in results] == [made] * 3
    assert not circuit._breaker._rare or not circuit._breaker._rare.waiters


@requirement("BR-07")
async def test_trio_tasks_wait_for_the_verdict_and_can_be_cancelled(patient, autojump_clock):
    circuit, probe = patient
    made = []

    @circuit
    async def call():
        made.append(trio.current_time())

    async def cancelled():
        with trio.move_on_after(2):
            await call()
            raise AssertionError("admitted")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(cancelled)
        await trio.sleep(5)
        assert len(circuit._breaker._rare.waiters) == 1
        probe.success()
    assert made == [5]


@requirement("BR-07")
async def test_a_wait_has_an_end(world, autojump_clock):
    circuit = world.half_open(half_open_wait=4.0)
    probe = circuit.try_acquire()
    began = trio.current_time()
    with pytest.raises(CircuitOpenError):
        await circuit.acall(trio.sleep, 0)
    assert trio.current_time() - began == pytest.approx(4.0)
    assert circuit.status().refused == 1
    probe.ignore()


async def test_nobody_waits_past_the_lease_of_a_lost_probe(world, autojump_clock):
    circuit = world.half_open(half_open_wait=1000.0, half_open_timeout=4.0)
    lost = circuit.try_acquire()

    async def pass_time():
        await trio.sleep(4)
        world.clock.advance(4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pass_time)
        await trio.sleep(0)
        await circuit.acall(trio.sleep, 0)
    assert circuit.state is State.CLOSED
    lost.ignore()


@pytest.mark.parametrize("runtime", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)])
def test_plain_functions_in_a_task_and_try_acquire_do_not_wait(patient, runtime):
    circuit, probe = patient

    async def main():
        assert circuit.try_acquire() is None
        with pytest.raises(CircuitOpenError), circuit.guard():
            pass

    runtime(main())
    probe.ignore()


def test_an_open_circuit_is_not_waited_for(world):
    circuit = world.circuit(half_open_wait=30.0)
    circuit.open_circuit()
    with pytest.raises(CircuitOpenError):
        circuit.call(int)
    assert circuit.status().refused == 1


def test_who_waits_for_a_circuit_that_is_unregistered_asks_again(patient):
    circuit, probe = patient
    made = []
    thread = threading.Thread(target=lambda: made.append(circuit.call(lambda: 1)))
    thread.start()
    waits(circuit)
    circuit._breaker.close("by hand")
    thread.join(10)
    assert made == [1]
    probe.ignore()


@requirement("BR-07")
def test_the_longest_of_waits_is_no_error(world):
    circuit = world.half_open(half_open_wait=1e300, half_open_timeout=1e300)
    probe = circuit.try_acquire()
    made = []
    thread = threading.Thread(target=lambda: made.append(circuit.call(lambda: 1)))
    thread.start()
    waits(circuit)
    probe.success()
    thread.join(10)
    assert made == [1]


@requirement("BR-07")
def test_those_who_wait_go_on_when_the_circuit_is_unregistered(world):
    circuit = Catalogue(world.shared).circuit("search", half_open_wait=30.0)
    set_state(circuit, "half_open")
    probe = circuit.try_acquire()
    made = []
    thread = threading.Thread(target=lambda: made.append(circuit.call(lambda: 1)))
    thread.start()
    waits(circuit)
    circuit._breaker.shut_gate("connection_unregistered")
    thread.join(10)
    probe.success()
    assert (made, circuit.status().late) == ([1], 0)
