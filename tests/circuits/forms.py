"""Every way to make a guarded call: what is true of one is true of all.

A form takes a circuit and the body of the call, and makes one call. The async ones run on asyncio
and trio, but for the last.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from brama.circuits import Circuit

Body = Callable[[], Any]
AsyncBody = Callable[[], Awaitable[Any]]


def decorated(circuit: Circuit, body: Body) -> None:
    circuit(body)()


def decorated_partial(circuit: Circuit, body: Body) -> None:
    circuit(functools.partial(lambda called: called(), body))()


def decorated_method(circuit: Circuit, body: Body) -> None:
    class Client:
        @circuit
        def call(self) -> None:
            body()

    Client().call()


def decorated_wrapper(circuit: Circuit, body: Body) -> None:
    @functools.wraps(body)
    def wrapper() -> None:
        body()

    circuit(wrapper)()


def with_answer(circuit: Circuit, body: Body) -> None:
    def refuse(error: Exception) -> None:
        raise error

    circuit(body, fallback=refuse)()


def call(circuit: Circuit, body: Body) -> None:
    circuit.call(body)


def guard(circuit: Circuit, body: Body) -> None:
    with circuit.guard():
        body()


def acquired(circuit: Circuit, body: Body) -> None:
    permit = circuit.try_acquire()
    if permit is None:
        raise circuit._breaker.refusal()
    with permit:
        body()


def generator(circuit: Circuit, body: Body) -> None:
    @circuit
    def items() -> Iterator[int]:
        yield 1
        body()
        yield 2

    for _ in items():
        pass


def generator_with_answer(circuit: Circuit, body: Body) -> None:
    def refuse(error: Exception) -> Any:
        raise error

    @circuit(fallback=refuse)
    def items() -> Iterator[int]:
        body()
        yield 1

    for _ in items():
        pass


def returned_generator(circuit: Circuit, body: Body) -> None:
    def items() -> Iterator[int]:
        yield 1
        body()

    for _ in circuit.call(lambda: items()):  # noqa: PLW0108 - a plain function is meant
        pass


class Items:
    """An iterator that is no generator."""

    def __init__(self, body: Body) -> None:
        self.steps = iter([lambda: None, body])

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.steps)()


def stream_of_items(circuit: Circuit, body: Body) -> None:
    for _ in circuit.guard_stream(Items(body)):
        pass


@contextmanager
def block() -> Iterator[None]:
    yield


def stream_of_a_block(circuit: Circuit, body: Body) -> None:
    with circuit.guard_stream(block()):
        body()


SYNC = {
    form.__name__.replace("_", " "): form
    for form in (
        decorated,
        decorated_partial,
        decorated_method,
        decorated_wrapper,
        with_answer,
        call,
        guard,
        acquired,
        generator,
        generator_with_answer,
        returned_generator,
        stream_of_items,
        stream_of_a_block,
    )
}


async def async_decorated(circuit: Circuit, body: AsyncBody) -> None:
    @circuit
    async def made() -> None:
        await body()

    await made()


async def async_decorated_wrapper(circuit: Circuit, body: AsyncBody) -> None:
    async def made() -> None:
        await body()

    @functools.wraps(made)
    def wrapper() -> Any:
        return made()

    await circuit(wrapper)()


async def returned_coroutine(circuit: Circuit, body: AsyncBody) -> None:
    async def made() -> None:
        await body()

    await circuit(lambda: made())()  # noqa: PLW0108 - a plain function is meant


async def async_with_answer(circuit: Circuit, body: AsyncBody) -> None:
    async def refuse(error: Exception) -> None:
        raise error

    @circuit(fallback=refuse)
    async def made() -> None:
        await body()

    await made()


async def acall(circuit: Circuit, body: AsyncBody) -> None:
    await circuit.acall(body)


async def async_guard(circuit: Circuit, body: AsyncBody) -> None:
    async with circuit.guard():
        await body()


async def guard_in_a_task(circuit: Circuit, body: AsyncBody) -> None:
    with circuit.guard():
        await body()


async def async_generator(circuit: Circuit, body: AsyncBody) -> None:
    @circuit
    async def items() -> AsyncIterator[int]:
        yield 1
        await body()
        yield 2

    async for _ in items():
        pass


class AsyncItems:
    """An async iterator that is no generator."""

    def __init__(self, body: AsyncBody) -> None:
        self.steps = iter([body])

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        step = next(self.steps, None)
        if step is None:
            raise StopAsyncIteration
        return await step()


async def stream_of_async_items(circuit: Circuit, body: AsyncBody) -> None:
    async for _ in circuit.guard_stream(AsyncItems(body)):
        pass


@asynccontextmanager
async def async_block() -> AsyncIterator[None]:
    yield


async def stream_of_an_async_block(circuit: Circuit, body: AsyncBody) -> None:
    async with circuit.guard_stream(async_block()):
        await body()


async def stream_that_is_awaited(circuit: Circuit, body: AsyncBody) -> None:
    async def made() -> None:
        await body()

    await circuit.guard_stream(lambda: made())  # noqa: PLW0108 - a plain function is meant


async def returned_task(circuit: Circuit, body: AsyncBody) -> None:
    async def made() -> None:
        await body()

    await circuit(lambda: asyncio.ensure_future(made()))()
    await asyncio.sleep(0)  # its callbacks come a turn later


ASYNC = {
    form.__name__.replace("_", " "): form
    for form in (
        async_decorated,
        async_decorated_wrapper,
        returned_coroutine,
        async_with_answer,
        acall,
        async_guard,
        guard_in_a_task,
        async_generator,
        stream_of_async_items,
        stream_of_an_async_block,
        stream_that_is_awaited,
        returned_task,
    )
}


def on_asyncio(form: Callable[[Circuit, AsyncBody], Any]) -> Callable[[Circuit, Body], None]:
    """An async form as a sync one: its body is a plain function, on a loop of its own."""

    def run(circuit: Circuit, body: Body) -> None:
        async def abody() -> None:
            await asyncio.sleep(0)
            body()

        async def main() -> BaseException | None:
            # What ends a task may not leave it, lest it ends the loop.
            try:
                await form(circuit, abody)
            except BaseException as error:
                return error
            return None

        error = asyncio.run(main())
        if error is not None:
            raise error

    return run


FORMS: dict[str, Callable[[Circuit, Body], None]] = {
    **SYNC,
    **{name: on_asyncio(form) for name, form in ASYNC.items()},
}
