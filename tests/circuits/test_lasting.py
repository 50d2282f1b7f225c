"""What a plain function returns may only be the beginning of the call."""

from __future__ import annotations

import asyncio
import functools
import gc
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import pytest

from brama.circuits import State

pytestmark = pytest.mark.requirement("BR-R11")
requirement = pytest.mark.requirement


@pytest.fixture(params=["closed", "half_open"])
def circuit(world, request):
    return (world.half_open if request.param == "half_open" else world.circuit)(failure_threshold=1)


def settled(circuit):
    status = circuit.status()
    assert (status.in_flight, status.half_open_in_flight) == (0, 0)
    return status.successes, status.failures, status.ignored


def under_way(circuit):
    status = circuit.status()
    return status.in_flight == 1 and status.successes == status.failures == 0


SUCCESS, FAILURE, NEUTRAL = (1, 0, 0), (0, 1, 0), (0, 0, 1)


async def fetch(*, fail=False):
    await asyncio.sleep(0)
    if fail:
        raise OSError("down")
    return 7


def rows(*, fail=False):
    yield 1
    if fail:
        raise OSError("down")
    yield 2


async def arows(*, fail=False):
    for row in rows(fail=fail):
        yield row


FORMS = {
    "decorated": lambda circuit, function: circuit(function),
    "call": lambda circuit, function: functools.partial(circuit.call, function),
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


# Coroutines


def test_a_lambda_that_returns_a_coroutine_succeeds_when_that_has_ended(circuit):
    call = circuit(lambda: fetch())  # noqa: PLW0108 - that is the case
    coroutine = call()
    assert under_way(circuit)
    assert asyncio.run(coroutine) == 7
    assert settled(circuit) == SUCCESS


def test_a_lambda_whose_coroutine_fails_has_failed(circuit):
    with pytest.raises(OSError, match="down"):
        asyncio.run(circuit(lambda: fetch(fail=True))())
    assert settled(circuit) == FAILURE
    assert circuit.state is State.OPEN


@requirement("BR-10")
def test_a_coroutine_that_is_cancelled_is_neutral(circuit):
    async def main():
        task = asyncio.ensure_future(circuit(lambda: asyncio.sleep(9))())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert settled(circuit) == NEUTRAL


def test_a_function_that_returns_now_this_and_now_that_is_right_each_time(world):
    circuit = world.circuit(failure_threshold=9)
    call = circuit(lambda value: value)
    for value in (1, "a", None, 2, [3], None):
        assert call(value) == value
    assert asyncio.run(call(fetch())) == 7
    assert list(call(rows())) == [1, 2]
    with pytest.raises(OSError):
        asyncio.run(call(fetch(fail=True)))
    assert settled(circuit) == (8, 1, 0)


@requirement("BR-R15")
def test_a_call_inside_the_coroutine_rides_on_the_probe_and_one_beside_it_does_not(world):
    circuit = world.half_open()

    async def outer():
        circuit.call(int)
        return 1

    coroutine = circuit(lambda: outer())()  # noqa: PLW0108
    assert circuit.try_acquire() is None
    assert asyncio.run(coroutine) == 1
    assert circuit.state is State.CLOSED


@requirement("BR-R10")
def test_call_refuses_what_would_have_to_be_awaited_and_counts_nothing(world):
    class Awaitable:
        def __await__(self):
            yield

    circuit = world.circuit(failure_threshold=1)
    for function in (fetch, Awaitable, lambda: fetch()):  # noqa: PLW0108
        with pytest.raises(TypeError, match=r"write: await circuit\.acall"):
            circuit.call(function)
    assert settled(circuit) == (0, 0, 3)


# Generators


@forms
def test_a_generator_is_a_success_at_its_end_and_not_at_its_creation(circuit, form):
    items = form(circuit, functools.partial(lambda: rows()))()  # noqa: PLW0108
    assert under_way(circuit)
    assert list(items) == [1, 2]
    assert settled(circuit) == SUCCESS


def test_a_generator_function_in_call_is_guarded_to_its_end(circuit):
    items = circuit.call(rows, fail=True)
    assert next(items) == 1
    with pytest.raises(OSError, match="down"):
        next(items)
    assert settled(circuit) == FAILURE


@forms
def test_a_wrapped_generator_function_is_guarded_to_its_end(circuit, form):
    @functools.wraps(rows)
    def wrapper(**options):
        return rows(**options)

    items = form(circuit, wrapper)(fail=True)
    with pytest.raises(OSError, match="down"):
        list(items)
    assert settled(circuit) == FAILURE


@forms
def test_an_async_generator_is_guarded_to_its_end(circuit, form):
    async def main():
        seen = []
        with pytest.raises(OSError, match="down"):
            async for item in form(circuit, lambda: arows(fail=True))():
                seen.append(item)  # noqa: PERF401 - what came before the error
        return seen

    assert asyncio.run(main()) == [1]
    assert settled(circuit) == FAILURE


@forms
@requirement("BR-R02")
def test_a_generator_that_nobody_reads_is_neutral(circuit, form):
    form(circuit, lambda: rows())()  # noqa: PLW0108
    gc.collect()
    assert settled(circuit) == NEUTRAL


@forms
@requirement("BR-R02")
def test_a_generator_that_is_left_early_is_neutral(circuit, form):
    for _ in form(circuit, lambda: rows())():  # noqa: PLW0108
        break
    gc.collect()
    assert settled(circuit) == NEUTRAL


# Futures


@forms
def test_a_task_is_settled_when_it_is_done_and_stays_a_task(circuit, form):
    async def main():
        task = form(circuit, lambda: asyncio.ensure_future(fetch()))()
        assert isinstance(task, asyncio.Task)
        assert under_way(circuit)
        return await task

    assert asyncio.run(main()) == 7
    assert settled(circuit) == SUCCESS


@forms
def test_a_task_that_fails_or_is_cancelled_says_so(world, form):
    circuit = world.circuit()

    async def main():
        call = form(circuit, lambda coroutine: asyncio.ensure_future(coroutine))  # noqa: PLW0108
        with pytest.raises(OSError, match="down"):
            await call(fetch(fail=True))
        task = call(fetch())
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)

    asyncio.run(main())
    assert settled(circuit) == (0, 1, 1)


def test_an_exception_that_nobody_retrieves_is_still_reported(world):
    circuit = world.circuit()
    reports = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        call = circuit(lambda: asyncio.ensure_future(fetch(fail=True)))
        call()
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    assert settled(circuit) == FAILURE
    assert [report["message"] for report in reports] == ["Task exception was never retrieved"]


@forms
def test_a_future_of_an_executor_is_settled_when_it_is_done(circuit, form):
    with ThreadPoolExecutor(1) as pool:
        future = form(circuit, pool.submit)(int, "7")
        assert isinstance(future, Future)
        assert future.result(5) == 7
    assert settled(circuit) == SUCCESS


def test_a_future_that_fails_is_a_failure(circuit):
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError):
        circuit(pool.submit)(int, "seven").result(5)
    assert settled(circuit) == FAILURE


# Context managers that have not begun


@contextmanager
def stream(*, fail=False):
    yield 5
    if fail:
        raise OSError("cannot hang up")


@asynccontextmanager
async def astream():
    yield 5


@forms
def test_a_block_of_contextlib_is_guarded_while_it_is_open(circuit, form):
    with form(circuit, stream)() as five:
        assert five == 5
        assert under_way(circuit)
    assert settled(circuit) == SUCCESS


@forms
@pytest.mark.parametrize("fail", [False, True], ids=["inside", "at its end"])
def test_a_block_that_dies_is_a_failure(circuit, form, fail):
    with pytest.raises(OSError), form(circuit, stream)(fail=fail):
        if not fail:
            raise OSError
    assert settled(circuit) == FAILURE


@forms
def test_an_async_block_of_contextlib_is_guarded_while_it_is_open(circuit, form):
    async def main():
        async with form(circuit, astream)() as five:
            assert under_way(circuit)
            return five

    assert asyncio.run(main()) == 5
    assert settled(circuit) == SUCCESS


def test_something_that_is_awaited_or_entered_stays_so(world):
    class Request:
        """As aiohttp's sessions return it."""

        def __await__(self):
            return fetch().__await__()

        async def __aenter__(self):
            return await self

        async def __aexit__(self, *_):
            pass

    circuit = world.circuit()
    get = circuit(lambda: Request())  # noqa: PLW0108

    async def main():
        async with get() as entered:
            assert circuit.status().in_flight == 1
        return entered, await get()

    assert asyncio.run(main()) == (7, 7)
    assert settled(circuit) == (2, 0, 0)


def test_a_finished_result_that_is_a_context_manager_is_a_success_at_once(world, tmp_path):
    circuit = world.circuit()
    with circuit.call(open, tmp_path / "file", "w"):
        assert settled(circuit) == SUCCESS
