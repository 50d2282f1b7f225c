"""Functions of every kind can be decorated, and stay what they are."""

from __future__ import annotations

import asyncio
import functools
import inspect
import warnings
from unittest.mock import AsyncMock, Mock

import pytest

from brama.circuits import CircuitOpenError, State

requirement = pytest.mark.requirement


def plain(value: int = 1, *, fail: bool = False) -> int:
    """Plain."""
    if fail:
        raise OSError("down")
    return value


async def coroutine(value: int = 1, *, fail: bool = False) -> int:
    """Coroutine."""
    await asyncio.sleep(0)
    return plain(value, fail=fail)


def generator(value: int = 1, *, fail: bool = False):
    """Generator."""
    yield plain(value, fail=fail)


async def async_generator(value: int = 1, *, fail: bool = False):
    """Async generator."""
    yield plain(value, fail=fail)


class Callables:
    def method(self, value=1, *, fail=False):
        return plain(value, fail=fail)

    async def async_method(self, value=1, *, fail=False):
        return await coroutine(value, fail=fail)

    def generator_method(self, value=1, *, fail=False):
        yield from generator(value, fail=fail)

    async def async_generator_method(self, value=1, *, fail=False):
        async for item in async_generator(value, fail=fail):
            yield item


class CallableObject:
    def __call__(self, value=1, *, fail=False):
        return plain(value, fail=fail)


class AsyncCallableObject:
    async def __call__(self, value=1, *, fail=False):
        return await coroutine(value, fail=fail)


class GeneratorObject:
    def __call__(self, value=1, *, fail=False):
        yield plain(value, fail=fail)


class AsyncGeneratorObject:
    async def __call__(self, value=1, *, fail=False):
        yield plain(value, fail=fail)


def wrapped(function):
    """A decorator of the usual sort: a plain function that hands the call on."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


KINDS = {
    "plain": plain,
    "bound method": Callables().method,
    "partial": functools.partial(plain),
    "object": CallableObject(),
    "partial of object": functools.partial(CallableObject()),
    "wrapped": wrapped(plain),
    "cached": functools.lru_cache(plain),
    "lambda": lambda value=1, *, fail=False: plain(value, fail=fail),
    "coroutine": coroutine,
    "async bound method": Callables().async_method,
    "async partial": functools.partial(functools.partial(coroutine)),
    "async object": AsyncCallableObject(),
    "partial of async object": functools.partial(AsyncCallableObject()),
    "wrapped coroutine": wrapped(coroutine),
    "twice wrapped coroutine": wrapped(wrapped(coroutine)),
    "partial of wrapped coroutine": functools.partial(wrapped(coroutine)),
    "generator": generator,
    "generator method": Callables().generator_method,
    "generator partial": functools.partial(generator),
    "generator object": GeneratorObject(),
    "async generator": async_generator,
    "async generator method": Callables().async_generator_method,
    "async generator partial": functools.partial(async_generator),
    "async generator object": AsyncGeneratorObject(),
}


def run(result):
    """Bring whatever a call returned to its end, and return what it gave."""
    if inspect.isawaitable(result):

        async def main():
            return await result

        return asyncio.run(main())
    if inspect.isgenerator(result):
        (item,) = result
        return item
    if inspect.isasyncgen(result):

        async def collect():
            return [item async for item in result]

        return asyncio.run(collect())[0]
    return result


@requirement("BR-R11")
@pytest.mark.parametrize("kind", KINDS)
def test_a_success_counts_when_the_call_has_ended_and_the_value_passes_through(world, kind):
    circuit = world.circuit()
    result = circuit(KINDS[kind])(1)
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        assert circuit.status().successes == 0
    assert run(result) == 1
    status = circuit.status()
    assert (status.calls, status.successes, status.in_flight) == (1, 1, 0)


@requirement("BR-R11")
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_counts_once_and_the_exception_passes_through(world, kind):
    circuit = world.circuit()
    with pytest.raises(OSError, match="down"):
        run(circuit(KINDS[kind])(fail=True))
    status = circuit.status()
    assert (status.calls, status.failures, status.in_flight) == (1, 1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_circuit_refuses_the_call_without_making_it(world, kind):
    circuit = world.circuit()
    circuit.open_circuit("deploy", expires_in=30)
    with pytest.raises(CircuitOpenError) as caught:
        run(circuit(KINDS[kind])(fail=True))
    error = caught.value
    assert (error.connection, error.scope, error.state) == ("payment_api", None, State.OPEN)
    assert (error.retry_after, error.reason) == (30.0, "deploy")
    assert (circuit.status().refused, circuit.status().calls) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_of_any_kind_may_be_the_probe(world, kind):
    circuit = world.half_open()
    assert run(circuit(KINDS[kind])(1)) == 1
    assert circuit.state is State.CLOSED


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_probe_of_any_kind_opens_the_circuit(world, kind):
    circuit = world.half_open()
    with pytest.raises(OSError):
        run(circuit(KINDS[kind])(fail=True))
    assert circuit.state is State.OPEN


@pytest.mark.parametrize("kind", KINDS)
def test_the_decorated_function_is_of_the_same_kind(world, kind):
    function = KINDS[kind]
    guarded = world.circuit()(function)
    asked = function
    while isinstance(asked, functools.partial):
        asked = asked.func
    if not inspect.isroutine(asked) and not hasattr(asked, "cache_info"):
        asked = type(asked).__call__
    for test in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert test(guarded) == test(asked)


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_stays(world, kind):
    function = KINDS[kind]
    assert inspect.signature(world.circuit()(function)) == inspect.signature(function)


def test_name_documentation_and_annotations_stay(world):
    guarded = world.circuit()(coroutine)
    assert (guarded.__name__, guarded.__doc__) == ("coroutine", "Coroutine.")
    assert guarded.__annotations__ == coroutine.__annotations__
    assert guarded.__wrapped__ is coroutine


def test_a_method_is_decorated_where_it_is_defined(world):
    circuit = world.circuit()

    class Client:
        @circuit
        def get(self, path):
            return self, path

        @classmethod
        @circuit
        def make(cls):
            return cls

        @staticmethod
        @circuit
        def add(a, b):
            return a + b

    client = Client()
    assert client.get("/") == (client, "/")
    assert Client.make() is Client
    assert client.add(1, 2) == 3
    assert circuit.status().successes == 3


def test_a_class_or_static_method_may_be_decorated_from_above_as_well(world):
    circuit = world.circuit()

    class Client:
        @circuit
        @classmethod
        def make(cls):
            return cls

        @circuit
        @staticmethod
        async def add(a, b):
            return a + b

    assert Client.make() is Client
    assert asyncio.run(Client.add(1, 2)) == asyncio.run(Client().add(1, 2)) == 3
    assert circuit.status().successes == 3


def test_a_decorator_of_one_s_own_may_stand_above_and_below(world):
    circuit = world.circuit()
    guarded = wrapped(circuit(wrapped(coroutine)))
    assert asyncio.run(guarded(3)) == 3
    assert circuit.status().successes == 1


def test_one_circuit_decorates_many_functions(world):
    circuit = world.circuit(failure_threshold=2)
    first, second = circuit(plain), circuit(generator)
    with pytest.raises(OSError):
        first(fail=True)
    with pytest.raises(OSError):
        list(second(fail=True))
    assert circuit.state is State.OPEN


def test_arguments_named_like_ours_reach_the_function(world):
    def call(self, function, breaker, generation, number):
        return self, function, breaker, generation, number

    guarded = world.circuit()(call)
    assert guarded(self=1, function=2, breaker=3, generation=4, number=5) == (1, 2, 3, 4, 5)


def test_mocks_are_recognised_by_what_they_return(world):
    circuit = world.circuit()
    with pytest.raises(OSError):
        asyncio.run(circuit(AsyncMock(side_effect=OSError))())
    assert circuit(Mock(return_value=5))() == 5
    assert (circuit.status().failures, circuit.status().successes) == (1, 1)


@requirement("BR-R11")
def test_a_plain_function_that_runs_the_coroutine_itself_stays_plain(world):
    @functools.wraps(coroutine)
    def runs(*args, **kwargs):
        return asyncio.run(coroutine(*args, **kwargs))

    circuit = world.circuit()
    guarded = circuit(runs)
    assert guarded(7) == 7
    with pytest.raises(OSError):
        guarded(fail=True)
    assert (circuit.status().successes, circuit.status().failures) == (1, 1)


@requirement("BR-R02")
def test_a_wrapped_coroutine_that_is_never_awaited_is_neutral(world):
    circuit = world.half_open()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's own word about it
        circuit(wrapped(coroutine))()
    assert circuit.available()
    assert circuit.status().ignored == 1


@pytest.mark.parametrize("function", [coroutine, generator, async_generator])
def test_a_call_that_is_never_begun_leaves_no_trace(world, function):
    circuit = world.half_open()
    call = circuit(function)()
    call.close() if hasattr(call, "close") else asyncio.run(call.aclose())
    assert circuit.status().calls == 0
    assert circuit.available()


@requirement("BR-R10")
@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (Callables, "a circuit decorates a function, got: <class"),
        (5, "a circuit decorates a function, got: 5"),
        (property(plain), "a circuit decorates a function, got: <property"),
    ],
    ids=["class", "number", "property"],
)
def test_what_is_no_function_is_refused_with_an_advice(world, thing, says):
    with pytest.raises(TypeError, match="a circuit decorates a function") as caught:
        world.circuit()(thing)
    assert says in str(caught.value)


@requirement("BR-R10")
def test_a_coroutine_object_is_refused_and_closed(world):
    call = coroutine()
    with pytest.raises(TypeError, match="leave out the call brackets"):
        world.circuit()(call)
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
