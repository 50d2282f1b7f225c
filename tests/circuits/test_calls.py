"""``call``, ``acall`` and ``try_acquire``."""

from __future__ import annotations

import asyncio
import functools
import inspect

import pytest

from brama.circuits import CircuitOpenError, State

requirement = pytest.mark.requirement


def add(a, *, b=0):
    return a + b


async def async_add(a, *, b=0):
    await asyncio.sleep(0)
    return a + b


def down():
    raise OSError("down")


async def async_down():
    raise OSError("down")


def test_call_returns_what_the_function_returns(world):
    circuit = world.circuit()
    assert circuit.call(add, 1, b=2) == 3
    assert circuit.status().successes == 1


def test_call_counts_the_exception_and_passes_it_on(world):
    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(OSError, match="down"):
        circuit.call(down)
    assert circuit.state is State.OPEN


def test_call_is_refused_while_the_circuit_is_open(world):
    circuit = world.circuit()
    circuit.open_circuit()
    with pytest.raises(CircuitOpenError):
        circuit.call(pytest.fail, "the function must not be called")


@requirement("BR-R10")
def test_call_refuses_a_coroutine_function_and_counts_nothing(world):
    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(TypeError, match=r"write: await circuit\.acall\(function"):
        circuit.call(async_add, 1)
    status = circuit.status()
    assert (status.failures, status.ignored, status.in_flight) == (0, 1, 0)


def test_acall_returns_what_the_function_returns(world):
    circuit = world.circuit()
    assert asyncio.run(circuit.acall(async_add, 1, b=2)) == 3
    assert circuit.status().successes == 1


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(async_add, 1),
        lambda: async_add(1),
        lambda: asyncio.ensure_future(async_add(1)),
    ],
    ids=["partial", "lambda", "future"],
)
def test_acall_takes_whatever_returns_an_awaitable(world, function):
    circuit = world.circuit()

    async def main():
        return await circuit.acall(function)

    assert asyncio.run(main()) == 1
    assert circuit.status().successes == 1


def test_acall_counts_the_exception_and_passes_it_on(world):
    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(OSError, match="down"):
        asyncio.run(circuit.acall(async_down))
    assert circuit.state is State.OPEN


def test_acall_counts_an_exception_that_is_raised_before_there_is_a_coroutine(world):
    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(OSError, match="down"):
        asyncio.run(circuit.acall(down))
    assert circuit.state is State.OPEN


@requirement("BR-R10")
def test_a_refused_acall_makes_no_coroutine(world):
    circuit = world.circuit()
    circuit.open_circuit()
    with pytest.raises(CircuitOpenError):
        asyncio.run(circuit.acall(pytest.fail, "the function must not be called"))


@requirement("BR-R10")
def test_acall_refuses_a_coroutine_object_and_closes_it(world):
    circuit = world.circuit()
    call = async_add(1)
    with pytest.raises(TypeError, match="takes the function and its arguments apart"):
        asyncio.run(circuit.acall(call))
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
    assert circuit.status().calls == 0


def test_acall_of_a_plain_function_is_refused_and_counts_nothing(world):
    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(TypeError, match=r"for a plain function write: circuit\.call"):
        asyncio.run(circuit.acall(add, 1))
    status = circuit.status()
    assert (status.failures, status.ignored, status.state) == (0, 1, State.CLOSED)


def test_arguments_named_like_ours_cannot_be_taken_for_ours(world):
    circuit = world.circuit()
    assert circuit.call(dict, name=1, scope=2) == {"name": 1, "scope": 2}


def test_try_acquire_answers_none_instead_of_raising(world):
    circuit = world.circuit()
    circuit.open_circuit()
    assert circuit.try_acquire() is None
    assert circuit.status().refused == 1


def test_the_word_about_an_acquired_permit_may_come_at_any_later_time(world):
    circuit = world.circuit(failure_threshold=1)
    permit = circuit.try_acquire()
    world.clock.advance(10_000)
    permit.failure(reason="Timeout")
    assert (circuit.state, circuit.status().reason) == (State.OPEN, "Timeout")


@pytest.mark.parametrize("function", [None, 5, "charge"])
def test_what_cannot_be_called_is_no_failure_of_the_connection(world, function):
    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(TypeError, match=r"circuit.call\(function, argument\), got"):
        circuit.call(function)
    assert (circuit.state, circuit.status().calls) == (State.CLOSED, 0)


@pytest.mark.parametrize("probe", [None, 0, 1, "no"])
def test_whether_a_call_may_be_a_probe_is_true_or_false(world, probe):
    circuit = world.circuit()
    for ask in (circuit.try_acquire,) if probe else (circuit.guard, circuit.try_acquire):
        with pytest.raises(ValueError, match="probe must be True or False"):
            ask(probe=probe)
    assert circuit.status().calls == 0


def test_a_permit_is_acquired_once(world):
    circuit = world.circuit()
    permit = circuit.try_acquire()
    with pytest.raises(RuntimeError, match="acquired once"):
        permit.acquire()
    permit.success()
    assert circuit.status().in_flight == 0


def test_a_partial_method_is_guarded_where_it_is_defined(world):
    circuit = world.circuit()

    class Client:
        def send(self, method, path):
            return self, method, path

        get = circuit(functools.partialmethod(send, "GET"))

    client = Client()
    assert client.get("/") == (client, "GET", "/")
    assert circuit.status().successes == 1


def test_call_hands_every_keyword_on_whatever_its_name(world):
    given = {"self": 1, "function": 2, "probe": 3}
    assert world.circuit().call(dict, **given) == given


async def test_acall_hands_every_keyword_on_whatever_its_name(world):
    async def echo(**given: int) -> dict[str, int]:
        return given

    given = {"function": 2, "probe": 3}
    assert await world.circuit().acall(echo, **given) == given
