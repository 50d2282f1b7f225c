"""Pauses of our own are not the dependency's failures."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import trio

from brama.circuits import Breaker, Circuit, Policy, Shared, State
from brama.circuits.pulse import Pauses, Pulses

requirement = pytest.mark.requirement


def test_a_beat_that_comes_too_late_is_a_pause():
    pauses = Pauses()
    for now in (0.0, 0.05, 0.1, 2.1, 2.15):
        pauses.beat(now)
    assert pauses.longest(0.0, 2.15) == 2.0
    assert pauses.longest(1.1, 2.15) == 1.0  # only what the call has met
    assert pauses.longest(2.1, 2.15) == 0.0


def test_a_pause_that_is_not_over_counts():
    pauses = Pauses()
    pauses.beat(0.0)
    assert pauses.longest(0.0, 3.0) == 3.0


def test_resting_is_no_pause():
    pauses = Pauses()
    pauses.beat(0.0)
    pauses.rest()
    pauses.beat(10.0)
    assert pauses.longest(0.0, 10.0) == 0.0


class Paused(Pulses):
    """As if the process had paused once."""

    pause = 0.0

    def watch(self, meter):
        pass

    def longest(self, began, ended):
        return min(self.pause, ended - began)


def settle(world, circuit, seconds, outcome):
    permit = circuit.try_acquire()
    world.clock.advance(seconds)
    getattr(permit, outcome)()


@requirement("BR-R14")
def test_a_failure_during_a_pause_is_neutral(watched, records):
    watched.shared.pulses = Paused()
    circuit = watched.circuit(failure_threshold=1, stall_after=1.0)
    watched.shared.pulses.pause = 2.0
    settle(watched, circuit, 3.0, "failure")
    status = circuit.status()
    assert (status.state, status.failures, status.ignored) == (State.CLOSED, 0, 1)
    assert records(circuit)[-1].events == ("local_stall",)
    settle(watched, circuit, 0.5, "failure")  # it has met half a second of it
    assert circuit.state is State.OPEN


def test_a_call_that_was_slow_by_a_pause_is_not_slow(world):
    world.shared.pulses = Paused()
    circuit = world.circuit(failure_threshold=1, slow_after=2.0, stall_after=1.0)
    world.shared.pulses.pause = 2.0
    settle(world, circuit, 3.0, "success")
    assert circuit.state is State.CLOSED
    world.shared.pulses.pause = 0.0
    settle(world, circuit, 3.0, "success")
    assert circuit.state is State.OPEN


def test_a_call_that_hangs_over_a_pause_has_its_time_anew(world):
    world.shared.pulses = Paused()
    circuit = world.circuit(failure_threshold=1, slow_after=2.0, stall_after=1.0)
    hanging = circuit.try_acquire()
    world.shared.pulses.pause = 2.0
    world.clock.advance(2.0)
    circuit._breaker.tick()
    assert circuit.state is State.CLOSED
    world.shared.pulses.pause = 0.0
    world.clock.advance(2.0)
    circuit._breaker.tick()
    assert circuit.state is State.OPEN
    hanging.ignore()


def test_a_call_that_ends_while_it_is_looked_at_does_not_come_back(world):
    """Its thread has read the clock in time, and is overtaken by the look at those that hang."""

    class Overtaking(Paused):
        def longest(self, began, ended):
            if hanging:
                world.shared.clock = lambda: 1.0
                hanging.pop().success()
                world.shared.clock = world.clock
            return 2.0

    world.shared.pulses = Overtaking()
    circuit = world.circuit(failure_threshold=1, slow_after=2.0, stall_after=1.0)
    hanging = [circuit.try_acquire()]
    world.clock.advance(2.0)
    circuit._breaker.tick()
    status = circuit.status()
    assert (status.calls, status.successes, status.in_flight) == (1, 1, 0)
    world.shared.pulses = Paused()
    world.clock.advance(5.0)
    circuit._breaker.tick()
    assert circuit.state is State.CLOSED


@pytest.fixture
def circuit():
    breaker = Breaker("x", None, Policy(failure_threshold=1, stall_after=0.3), Shared())
    breaker.open_gate()
    return Circuit(breaker)


def pulses():
    return [thread for thread in threading.enumerate() if thread.name == "brama-pulse"]


def gone():
    for _ in range(200):
        if not pulses():
            return True
        time.sleep(0.01)
    return False


@requirement("BR-R14")
@pytest.mark.soak
@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_whoever_blocks_the_loop_does_not_blame_the_dependency(circuit, runtime):
    sleep = asyncio.sleep if runtime == "asyncio" else trio.sleep

    @circuit
    async def call():
        await sleep(0.1)
        raise TimeoutError

    async def main():
        if runtime == "asyncio":
            task = asyncio.ensure_future(call())
            await sleep(0.02)
            time.sleep(0.6)  # somebody's blocking call, on this loop
            with pytest.raises(TimeoutError):
                await task
        else:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def _():
                    with pytest.raises(TimeoutError):
                        await call()

                await sleep(0.02)
                time.sleep(0.6)

    asyncio.run(main()) if runtime == "asyncio" else trio.run(main)
    assert (circuit.state, circuit.status().ignored) == (State.CLOSED, 1)
    assert gone()


@pytest.mark.soak
def test_the_thread_beats_only_while_such_calls_are_under_way(circuit):
    assert not pulses()
    permit = circuit.try_acquire()
    time.sleep(0.2)
    assert len(pulses()) == 1
    permit.failure()
    assert circuit.state is State.OPEN  # there was no pause
    assert gone()
