"""Neutral outcomes give the permit back and touch no counter that decides."""

from __future__ import annotations

import asyncio

import pytest
import trio
import trio.testing

from brama.circuits import State

pytestmark = pytest.mark.requirement("BR-R03")
requirement = pytest.mark.requirement


class Refused(Exception):
    """The user's own: the request was wrong, not the connection."""


class RefusedAgain(Refused):
    pass


def raising(circuit, error):
    @circuit
    def call():
        raise error

    with pytest.raises(type(error) if isinstance(error, BaseException) else error):
        call()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_what_ends_the_caller_says_nothing_about_the_connection(world, error):
    circuit = world.circuit(failure_threshold=1)
    raising(circuit, error)
    status = circuit.status()
    assert (status.state, status.failures, status.ignored) == (State.CLOSED, 0, 1)


def test_an_ignored_exception_is_neutral_and_so_are_its_subclasses(world):
    circuit = world.circuit(failure_threshold=1, ignore=Refused)
    raising(circuit, Refused)
    raising(circuit, RefusedAgain)
    status = circuit.status()
    assert (status.state, status.failures, status.ignored) == (State.CLOSED, 0, 2)


def test_an_exception_that_is_not_recorded_is_neutral(world):
    circuit = world.circuit(failure_threshold=1, record=(OSError,))
    raising(circuit, ValueError)
    assert circuit.status().ignored == 1
    raising(circuit, ConnectionError)
    assert circuit.state is State.OPEN


def test_ignore_has_the_last_word_over_record(world):
    circuit = world.circuit(failure_threshold=1, record=(OSError,), ignore=(ConnectionError,))
    raising(circuit, ConnectionError)
    assert circuit.status().ignored == 1


def test_an_exception_above_exception_counts_when_the_policy_records_it(world):
    circuit = world.circuit(failure_threshold=1, record=(BaseException,))
    raising(circuit, SystemExit)
    assert circuit.state is State.OPEN


def test_a_time_out_is_a_failure(world):
    circuit = world.circuit(failure_threshold=2)
    raising(circuit, TimeoutError)
    raising(circuit, trio.TooSlowError)
    assert circuit.state is State.OPEN


def test_a_neutral_outcome_neither_ends_nor_extends_a_row_of_failures(world):
    circuit = world.circuit(failure_threshold=2)
    raising(circuit, OSError)
    raising(circuit, KeyboardInterrupt)
    assert circuit.status().failure_count == 1
    raising(circuit, OSError)
    assert circuit.state is State.OPEN


@requirement("BR-R16")
@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, Refused])
def test_a_neutral_probe_gives_its_place_to_the_next(world, error):
    circuit = world.half_open(ignore=Refused)
    raising(circuit, error)
    assert circuit.state is State.HALF_OPEN
    assert circuit.status().half_open_in_flight == 0
    circuit.try_acquire().success()
    assert circuit.state is State.CLOSED


@requirement("BR-R16")
def test_a_neutral_probe_does_not_free_the_place_of_another(world):
    circuit = world.half_open(half_open_max_calls=2)
    first, second = circuit.try_acquire(), circuit.try_acquire()
    first.ignore()
    first.ignore()
    assert circuit.status().half_open_in_flight == 1
    third = circuit.try_acquire()
    assert third is not None
    assert circuit.try_acquire() is None
    second.ignore()
    third.ignore()


@pytest.mark.parametrize("form", ["decorated", "guard", "acall"])
@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
def test_cancelling_an_asyncio_task_is_neutral(world, form, half_open):
    circuit = (world.half_open if half_open else world.circuit)(failure_threshold=1)

    async def wait():
        await asyncio.sleep(3600)

    async def guarded():
        async with circuit.guard():
            await wait()

    call = {"decorated": circuit(wait), "guard": guarded, "acall": lambda: circuit.acall(wait)}[
        form
    ]

    async def main():
        task = asyncio.ensure_future(call())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert circuit.status().in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    status = circuit.status()
    assert (status.failures, status.ignored, status.in_flight) == (0, 1, 0)
    assert circuit.available()


def test_an_asyncio_time_out_inside_the_call_is_a_failure_and_one_around_it_is_neutral(world):
    circuit = world.circuit()

    @circuit
    async def inside():
        async with asyncio.timeout(0):
            await asyncio.sleep(3600)

    @circuit
    async def wait():
        await asyncio.sleep(3600)

    async def main():
        with pytest.raises(TimeoutError):
            await inside()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await wait()

    asyncio.run(main())
    status = circuit.status()
    assert (status.failures, status.ignored) == (1, 1)


@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
async def test_cancelling_a_trio_scope_is_neutral(world, autojump_clock, half_open):
    circuit = (world.half_open if half_open else world.circuit)(failure_threshold=1)

    @circuit
    async def wait():
        await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        await wait()
    assert scope.cancelled_caught
    status = circuit.status()
    assert (status.failures, status.ignored, status.in_flight) == (0, 1, 0)
    assert circuit.available()


async def test_a_cancelled_nursery_of_guarded_calls_is_neutral(world, autojump_clock):
    circuit = world.circuit(failure_threshold=1)

    @circuit
    async def wait():
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert circuit.status().in_flight == 5
        nursery.cancel_scope.cancel()
    assert (circuit.status().ignored, circuit.state) == (5, State.CLOSED)
