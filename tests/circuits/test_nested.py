"""Entering a circuit inside a call of the same circuit."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import suppress

import pytest
import trio
import trio.testing

from brama.circuits import CircuitOpenError, State

pytestmark = pytest.mark.requirement("BR-R15")
requirement = pytest.mark.requirement


def counts(circuit):
    status = circuit.status()
    return status.calls, status.successes, status.failures, status.ignored


# One failure counts once


@pytest.mark.parametrize("form", ["decorated", "guard", "call", "mixed"])
def test_an_exception_that_passes_through_nested_entries_is_one_failure(world, form):
    circuit = world.circuit(failure_threshold=3)

    def down():
        raise OSError

    def guarded(function):
        def call():
            with circuit.guard():
                function()

        return call

    def called(function):
        return lambda: circuit.call(function)

    wrap = {
        "decorated": [circuit] * 3,
        "guard": [guarded] * 3,
        "call": [called] * 3,
        "mixed": [circuit, guarded, called],
    }[form]
    function = down
    for wrapper in wrap:
        function = wrapper(function)
    with pytest.raises(OSError):
        function()
    assert counts(circuit) == (3, 0, 1, 2)
    assert circuit.status().failure_count == 1


def test_an_exception_that_passes_through_nested_async_entries_is_one_failure(world):
    circuit = world.circuit(failure_threshold=3)

    @circuit
    async def inner():
        await asyncio.sleep(0)
        raise OSError

    @circuit
    async def outer():
        await inner()

    with pytest.raises(OSError):
        asyncio.run(outer())
    assert circuit.status().failure_count == 1


def test_a_failure_that_opens_the_circuit_is_counted_once_by_nested_entries(world):
    circuit = world.circuit(failure_threshold=1)

    @circuit
    def inner():
        raise OSError

    with pytest.raises(OSError):
        circuit(inner)()
    assert circuit.state is State.OPEN
    assert counts(circuit) == (2, 0, 1, 1)


def test_the_same_exception_object_raised_again_by_a_later_call_counts_again(world):
    circuit = world.circuit(failure_threshold=3)
    error = OSError("made once")

    @circuit
    def call():
        raise error

    for _ in range(3):
        with pytest.raises(OSError):
            call()
    assert circuit.state is State.OPEN


def test_two_exceptions_of_nested_entries_are_two_failures(world):
    circuit = world.circuit()

    @circuit
    def inner():
        raise OSError

    @circuit
    def outer():
        try:
            inner()
        except OSError:
            raise RuntimeError from None

    with pytest.raises(RuntimeError):
        outer()
    assert circuit.status().failures == 2


def test_nested_entries_of_two_circuits_count_in_both(world):
    front, back = world.circuit("front"), world.circuit("back")

    @front
    @back
    @front
    def call():
        raise OSError

    with pytest.raises(OSError):
        call()
    assert (front.status().failures, back.status().failures) == (1, 1)


def test_concurrent_calls_whose_exceptions_share_an_address_are_all_counted(world):
    # Each exception is freed before the next is made, and so the next often lies where the last
    # one lay. The calls fail in the reverse of the order in which they began, as nested ones do.
    circuit = world.circuit(failure_threshold=100)

    async def call(turn):
        try:
            async with circuit.guard():
                await turn.wait()
                raise TimeoutError
        except TimeoutError:
            pass

    async def main():
        turns = [asyncio.Event() for _ in range(50)]
        tasks = [asyncio.ensure_future(call(turn)) for turn in turns]
        await asyncio.sleep(0)
        for turn in reversed(turns):
            turn.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert counts(circuit) == (50, 0, 50, 0)


def test_the_same_exception_object_in_two_threads_is_two_failures(world):
    circuit = world.circuit()
    error = OSError("a shared connection died")
    first, second = circuit.guard(), circuit.guard()
    first.__enter__()
    second.__enter__()
    second.__exit__(OSError, error, None)
    thread = threading.Thread(target=first.__exit__, args=(OSError, error, None))
    thread.start()
    thread.join()
    assert circuit.status().failures == 2


async def test_the_same_exception_object_in_two_trio_tasks_is_two_failures(world):
    circuit = world.circuit()
    error = OSError("a shared connection died")
    turn = trio.Event()

    async def call(own):
        with suppress(OSError), circuit.guard():
            await own()
            raise error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, turn.wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(call, trio.lowlevel.checkpoint)
        await trio.testing.wait_all_tasks_blocked()
        turn.set()
    assert counts(circuit) == (2, 0, 2, 0)


async def test_an_exception_that_passes_through_nested_entries_of_a_trio_task_is_one_failure(world):
    circuit = world.circuit()
    with suppress(OSError):
        async with circuit.guard(), circuit.guard():
            await trio.lowlevel.checkpoint()
            raise OSError
    assert counts(circuit) == (2, 0, 1, 1)


def test_an_exception_that_takes_no_attributes_is_counted(world):
    class Closed(Exception):
        __dict__ = None  # type: ignore[assignment]

    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(Closed), circuit.guard():
        raise Closed
    assert circuit.state is State.OPEN


# Riding on the probe


@pytest.mark.parametrize("form", ["guard", "decorated", "try_acquire", "call", "generator"])
def test_a_nested_entry_rides_on_the_probe(world, form):
    circuit = world.half_open()

    def outer():
        circuit.call(int)
        with circuit.guard(), circuit.guard():
            pass
        permit = circuit.try_acquire()
        permit.success()
        assert circuit.state is State.HALF_OPEN

    if form == "guard":
        with circuit.guard():
            outer()
    elif form == "decorated":
        circuit(outer)()
    elif form == "try_acquire":
        with circuit.try_acquire():
            outer()
    elif form == "call":
        circuit.call(outer)
    else:

        @circuit
        def rows():
            outer()
            yield

        list(rows())
    assert circuit.state is State.CLOSED
    assert counts(circuit) == (1, 1, 0, 0)


def test_what_rides_on_a_probe_does_not_settle_it(world):
    circuit = world.half_open()
    with circuit.guard():
        with pytest.raises(OSError), circuit.guard():
            raise OSError
        circuit.try_acquire().failure("Timeout")
        circuit.try_acquire().ignore()
        circuit.try_acquire()
        gc.collect()
        assert circuit.status().half_open_in_flight == 1
    assert circuit.state is State.CLOSED


def test_an_exception_that_passes_through_a_rider_fails_the_probe_once(world):
    circuit = world.half_open()
    with pytest.raises(OSError), circuit.guard(), circuit.guard():
        raise OSError
    assert circuit.state is State.OPEN
    assert counts(circuit) == (1, 0, 1, 0)


def test_a_task_that_the_probe_starts_does_not_ride_on_it(world):
    circuit = world.half_open()

    async def call():
        async with circuit.guard():
            await asyncio.sleep(0)

    async def main():
        async with circuit.guard():
            await call()  # nested: it rides
            for refused in await asyncio.gather(call(), call(), return_exceptions=True):
                assert isinstance(refused, CircuitOpenError)

    asyncio.run(main())
    assert circuit.state is State.CLOSED


def test_nothing_rides_on_a_probe_that_is_settled(world):
    circuit = world.half_open(success_threshold=5)
    with circuit.guard() as probe:
        probe.success()
        other = circuit.try_acquire()
        assert circuit.status().half_open_in_flight == 1
        other.ignore()


@requirement("BR-R04")
def test_nothing_rides_on_a_probe_whose_lease_is_over(world):
    circuit = world.half_open(half_open_timeout=8.0)
    with circuit.guard():
        world.clock.advance(8.0)
        probe = circuit.try_acquire()
        assert circuit.status().half_open_in_flight == 1
        assert circuit.status().calls == 2
        probe.success()
    assert circuit.status().late == 1


@requirement("BR-R04")
def test_a_guard_that_is_never_left_does_not_let_its_thread_past_the_circuit_for_ever(world):
    circuit = world.half_open(half_open_timeout=8.0)
    circuit.guard().__enter__()
    world.clock.advance(8.0)
    circuit.try_acquire().failure()
    assert circuit.state is State.OPEN
    assert circuit.try_acquire() is None


def test_nothing_rides_on_a_probe_of_another_stay(world):
    circuit = world.half_open()
    with circuit.guard():
        circuit.open_circuit()
        assert circuit.try_acquire() is None


def test_an_entry_after_the_probe_closed_the_circuit_is_a_call_of_its_own(world):
    circuit = world.half_open()
    with circuit.guard() as probe:
        probe.success()
        with circuit.guard():
            pass
    assert counts(circuit) == (2, 2, 0, 0)


def test_the_probes_of_two_circuits_carry_riders_of_both(world):
    front, back = world.half_open(), world.circuit("back")
    back.open_circuit()
    world.clock.advance(60)
    with front.guard(), back.guard(), front.guard(), back.guard():
        assert front.status().half_open_in_flight == back.status().half_open_in_flight == 1
    assert (front.state, back.state) == (State.CLOSED, State.CLOSED)


def test_a_call_may_ask_and_steer_its_own_circuit(world):
    circuit = world.circuit()

    @circuit
    def call():
        circuit.status()
        circuit.failure()
        circuit.open_circuit()
        circuit.close_circuit()
        return circuit.available()

    assert call()
    assert circuit.status().late == 1


def test_one_exception_that_fails_several_tasks_counts_for_each_of_them(world):
    circuit = world.circuit(failure_threshold=3)

    async def main():
        shared = asyncio.get_running_loop().create_future()

        async def call(number):
            with circuit.guard():
                try:
                    await asyncio.shield(shared)
                finally:  # the later the call began, the sooner it fails
                    for _ in range(5 - number):
                        await asyncio.sleep(0)

        tasks = [asyncio.ensure_future(call(number)) for number in range(5)]
        await asyncio.sleep(0)
        shared.set_exception(ConnectionError("the pool is gone"))
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert circuit.state is State.OPEN
    assert circuit.status().failures == 5
