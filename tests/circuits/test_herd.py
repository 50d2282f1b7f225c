"""Crowds at one circuit: nobody too many gets through, nothing is counted twice."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio

from brama.circuits import CircuitOpenError, CountWindow, State, TimeWindow

requirement = pytest.mark.requirement

POLICIES = {
    "row": {},
    "count window": {"trip": CountWindow(size=100, rate=0.9)},
    "time window": {"trip": TimeWindow(seconds=60, rate=0.9)},
    "slow calls": {"slow_after": 1000.0},
}


def in_threads(count, job):
    together = threading.Barrier(count)

    def run():
        together.wait()
        job()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.soak
@requirement("BR-R02")
@pytest.mark.parametrize("policy", POLICIES)
def test_sixteen_threads_and_their_calls_are_counted_exactly(world, policy):
    circuit = world.circuit(**POLICIES[policy])
    calls = 100_000 if policy == "row" else 20_000

    @circuit
    def call():
        pass

    def job():
        for _ in range(calls):
            call()

    in_threads(16, job)
    status = circuit.status()
    assert (status.calls, status.successes, status.in_flight) == (16 * calls, 16 * calls, 0)


@requirement("BR-07")
@pytest.mark.parametrize("places", [1, 3])
def test_of_a_thousand_callers_exactly_the_permitted_probes_go_out(world, places):
    circuit = world.half_open(half_open_max_calls=places, success_threshold=places)
    admitted = []

    def job():
        for _ in range(25):
            permit = circuit.try_acquire()
            if permit is not None:
                admitted.append(permit)

    in_threads(40, job)
    assert len(admitted) == places
    assert circuit.status().refused == 1000 - places
    for permit in admitted:
        permit.success()
    assert circuit.state is State.CLOSED


@requirement("BR-07")
@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_of_a_thousand_tasks_exactly_one_goes_out(world, runtime):
    circuit = world.half_open()
    out = []

    @circuit
    async def call():
        out.append(1)
        await (asyncio.sleep(0) if runtime == "asyncio" else trio.sleep(0))
        await (asyncio.sleep(0.01) if runtime == "asyncio" else trio.sleep(0.01))

    refused = []

    async def caller():
        try:
            await call()
        except CircuitOpenError:
            refused.append(1)

    async def on_asyncio():
        await asyncio.gather(*(caller() for _ in range(1000)))

    async def on_trio():
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(caller)

    asyncio.run(on_asyncio()) if runtime == "asyncio" else trio.run(on_trio)
    assert (len(out), len(refused)) == (1, 999)
    assert circuit.state is State.CLOSED


@requirement("BR-05")
def test_threads_open_a_window_once_and_no_failure_is_lost(world, transitions):
    circuit = world.circuit(trip=CountWindow(size=10_000, rate=0.5, minimum=2000))

    def job():
        for number in range(250):
            permit = circuit.try_acquire()
            if permit is not None:
                permit.failure() if number % 2 else permit.success()

    in_threads(8, job)
    # The two-thousandth outcome completes the minimum, with half of them failures.
    assert circuit.state is State.OPEN
    assert transitions(circuit) == [("closed", "open")]
    status = circuit.status()
    assert (status.successes, status.failures) == (1000, 1000)
